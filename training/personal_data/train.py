"""Train the classifier of personal data: ``python -m training.personal_data.train --help``.

Two stages. First on templates and taught sentences; then on those and the development sets. `--leave SOURCE` keeps one
set out of the second stage, which shows what a kind of text costs that was never seen; `--halves` trains on one half of
each set and measures on the other.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from firedoor.core.detect.names import ORDINARY, Names
from firedoor.core.detect.tokens import ROWS, tokens
from training.personal_data import corpora, fill, lists, noise
from training.personal_data.encode import UNKNOWN, Encoded, Vocabulary
from training.personal_data.fill import Labelled
from training.personal_data.measure import NEUTRAL, Score, Spans
from training.personal_data.network import PAD, TAGS, Network

SHARES = {
    "en": 0.36,
    "de": 0.11,
    "fr": 0.09,
    "es": 0.09,
    "it": 0.09,
    "nl": 0.08,
    "pl": 0.12,
    "pt": 0.02,
    "cs": 0.02,
    "sv": 0.01,
    "da": 0.01,
}
GENRES = {"shop": 1.2, "trades": 1.2, "records": 0.9, "prose": 1.4, "official": 0.9, "prompts": 0.8, "nothing": 1.3}
BATCH = 3000
"""Tokens of a batch."""
TIMES = {"multidogo": 5, "presidio_synth": 5, "pl_pii_bench": 10, "restaurant8k": 6, "synth_ecom": 8}
"""How often the second stage sees a development set: the small ones more often."""
WORD_DROPOUT = 0.2
LIST_DROPOUT = 0.3


def made(count: int, names: Names, rng: random.Random) -> list[Labelled]:
    """`count` texts from templates."""
    languages = [x for x in SHARES if fill.templates(x)]
    words = {x: _nobodys(x, names) for x in languages}
    found = []
    for language in rng.choices(languages, [SHARES[x] for x in languages], k=count):
        text = fill.sample(language, rng, GENRES)
        found.append(noise.noisy(noise.reworded(text, words[language], rng), rng))
    return found


def _nobodys(language: str, names: Names) -> list[str]:
    """Frequent words of a language that are on no list of names or cities; none where frequencies are not at hand."""
    if language not in lists.COUNTED:
        return []
    words = lists.frequent(language)
    return [word for word, flags in zip(words, names.flags(words), strict=True) if flags == ORDINARY]


def varied(texts: list[Labelled], times: int, rng: random.Random) -> list[Labelled]:
    """`texts` several times, from the second time on with other orthography."""
    return texts + [noise.noisy(t, rng) for _ in range(times - 1) for t in texts]


def batches(texts: list[Encoded], rng: random.Random) -> list[list[Encoded]]:
    """Texts of about the same length together."""
    order = sorted(texts, key=lambda t: len(t.places) + rng.random() * 8)
    found: list[list[Encoded]] = [[]]
    for text in order:
        if not len(text.places):
            continue
        if found[-1] and (len(found[-1]) + 1) * len(text.places) > BATCH:
            found.append([])
        found[-1].append(text)
    rng.shuffle(found)
    return found


def _tensors(
    batch: list[Encoded], vocabulary: Vocabulary
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(len(t.places) for t in batch)
    places = np.zeros((len(batch), longest), dtype=np.int64)
    tags = np.full((len(batch), longest), UNKNOWN, dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.float32)
    for row, text in enumerate(batch):
        size = len(text.places)
        places[row, :size], tags[row, :size], mask[row, :size] = text.places, text.tags, 1
    distinct, inverse = np.unique(places, return_inverse=True)
    bags = torch.from_numpy(vocabulary.bags[distinct].astype(np.int64))
    return bags, torch.from_numpy(inverse.reshape(places.shape)), torch.from_numpy(mask), torch.from_numpy(tags)


def fit(
    network: Network,
    texts: list[Encoded],
    vocabulary: Vocabulary,
    *,
    epochs: int,
    rate: float,
    rng: random.Random,
    say: str,
) -> None:
    """Train `network` for `epochs` over `texts`, the rate falling to nothing."""
    table = [network.table.weight]
    rest = [p for n, p in network.named_parameters() if not n.startswith("table")]
    optimizer = torch.optim.Adam([{"params": table, "lr": rate * 2}, {"params": rest, "lr": rate}], betas=(0.9, 0.98))
    steps = epochs * len(batches(texts, rng))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1.0, (s + 1) / 100) * max(0.02, 1 - s / max(1, steps))
    )
    network.train()
    step, began, seen = 0, time.time(), 0.0
    for epoch in range(epochs):
        for batch in batches(texts, rng):
            bags, places, mask, tags = _tensors(batch, vocabulary)
            words = torch.rand(len(bags)) < WORD_DROPOUT
            bags[words, 1:3] = PAD  # the word itself: what remains is its parts, its shape, its neighbours
            bags[(torch.rand(len(bags)) < LIST_DROPOUT) & (bags[:, -1] >= ROWS), -1] = PAD
            logits = network(bags, places, mask)
            loss = functional.cross_entropy(
                logits.reshape(-1, len(TAGS)), tags.reshape(-1), ignore_index=UNKNOWN, label_smoothing=0.03
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            seen = loss.item() if not seen else 0.98 * seen + 0.02 * loss.item()
            if step % 200 == 0:
                print(f"{say} epoch {epoch} step {step}/{steps} loss {seen:.4f} {time.time() - began:.0f}s", flush=True)


def probabilities(network: Network, texts: list[Labelled], names: Names) -> list[np.ndarray]:
    """Per text [tokens, tags]."""
    vocabulary = Vocabulary(names)
    encoded = [Encoded(t, vocabulary, limit=4000) for t in texts]
    vocabulary.close()
    network.eval()
    found = []
    with torch.no_grad():
        for text in encoded:
            if not len(text.places):
                found.append(np.zeros((0, len(TAGS)), dtype=np.float32))
                continue
            bags, places, mask, _ = _tensors([text], vocabulary)
            found.append(torch.softmax(network(bags, places, mask)[0], -1).numpy())
    return found


def spans(text: str, chances: np.ndarray, threshold: float) -> Spans:
    """The personal spans: where the chance of any personal tag is at least `threshold`, under the likeliest label."""
    found: Spans = []
    where = tokens(text)
    personal = [i for i, tag in enumerate(TAGS) if i and tag[2:] not in NEUTRAL]
    for token, row in zip(where, chances, strict=False):
        best = max(personal, key=lambda i: row[i])
        if row[personal].sum() < threshold:
            continue
        label = TAGS[best][2:]
        if (
            found
            and found[-1][2] == label
            and text[found[-1][1] : token.start].strip(" -.'\u2019") == ""
            and TAGS[best][0] == "I"
        ):
            found[-1] = (found[-1][0], token.end, label)
        else:
            found.append((token.start, token.end, label))
    return found


def report(
    network: Network, sets: dict[str, list[Labelled]], names: Names, thresholds: tuple[float, ...] = (0.5, 0.3, 0.2)
) -> None:
    """Print the classifier's score alone, per set and threshold."""
    for name, texts in sets.items():
        chances = probabilities(network, texts, names)
        for threshold in thresholds:
            total = Score()
            for text, rows in zip(texts, chances, strict=True):
                total.add(text, spans(text.text, rows, threshold))
            print(
                f"  {name:15} @{threshold}: {total} false {dict(total.false.most_common(4))} missed {dict(total.missed.most_common(4))}",
                flush=True,
            )


def main() -> None:
    """Train, report, save."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path, help="folder of the development sets")
    ask.add_argument("names", type=Path, help="the word lists")
    ask.add_argument("out", type=Path, help="where the weights go (.pt)")
    ask.add_argument("--taught", type=Path, help="sentences labelled by the teacher")
    ask.add_argument("--base", type=Path, help="weights after the first stage: made if it does not exist")
    ask.add_argument("--texts", type=int, default=160_000)
    ask.add_argument("--epochs", type=int, default=3)
    ask.add_argument("--leave", choices=corpora.SOURCES)
    ask.add_argument("--halves", action="store_true")
    ask.add_argument("--width", type=int, default=104)
    ask.add_argument("--seed", type=int, default=20261123)
    given = ask.parse_args()
    rng = random.Random(given.seed)
    torch.manual_seed(given.seed)
    torch.set_num_threads(2)
    names = Names(given.names.read_bytes())
    learn: dict[str, list[Labelled]] = {}
    held: dict[str, list[Labelled]] = {}
    for source in corpora.SOURCES:
        one, other = corpora.halves(given.data, source)
        learn[source], held[source] = (one, other) if given.halves else (one + other, one + other)
    clean = corpora.development(given.data, "banking77")
    taught = corpora.taught(given.taught) if given.taught else []
    network = Network(width=given.width)
    if given.base and given.base.exists():
        network.load_state_dict(torch.load(given.base))
    else:
        first = made(given.texts, names, rng) + varied(taught, 2, rng)
        _stage(network, first, names, epochs=given.epochs, rate=2e-3, rng=rng, say="base")
        if given.base:
            torch.save(network.state_dict(), given.base)
        report(network, {**held, "banking77": clean}, names)
    second = made(given.texts // 4, names, rng) + taught + varied(clean[::2] if given.halves else clean, 3, rng)
    for source, texts in learn.items():
        if source != given.leave:
            second += varied(texts, TIMES[source], rng)
    _stage(network, second, names, epochs=2, rate=1e-3, rng=rng, say="all")
    torch.save(network.state_dict(), given.out)
    print("left out:", given.leave)
    report(network, {**held, "banking77": clean[1::2] if given.halves else clean}, names)


def _stage(
    network: Network, texts: list[Labelled], names: Names, *, epochs: int, rate: float, rng: random.Random, say: str
) -> None:
    vocabulary = Vocabulary(names)
    encoded = [Encoded(t, vocabulary) for t in texts]
    vocabulary.close()
    print(
        say,
        len(encoded),
        "texts",
        sum(len(t.places) for t in encoded),
        "tokens",
        len(vocabulary.bags),
        "distinct",
        flush=True,
    )
    fit(network, encoded, vocabulary, epochs=epochs, rate=rate, rng=rng, say=say)


if __name__ == "__main__":
    main()

"""Train the model of attacks: ``python -m training.prompt_attacks.train DATA OUT.pt``; see ``--help``.

`--run N` keeps the sources of one group out, and a third of all the rest, by template or text: what was left out measures
what the model does with what it never saw. Without it everything is learned: that is what is shipped.
"""

from __future__ import annotations

import argparse
import random
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from firedoor.core.detect.attack.model import BLOCK, HEADS
from firedoor.core.detect.attack.signs import ROLES
from training.prompt_attacks import corpora, fill, harmless, linear, noise
from training.prompt_attacks.corpora import Example
from training.prompt_attacks.encode import Vocabulary
from training.prompt_attacks.network import Network

GROUPS = (
    ("deepset", "yanismiraoui", "bipia", "multidogo"),
    ("neuralchemy", "prompt_extraction_zhang", "garak_sysprompt", "ecom_own_templates", "wands_queries"),
    ("slabs", "inthewild_jailbreak", "asb_tools", "ecom_reviews_inj", "hinglish", "banking77"),
)
"""Sources that are left out together: of each kind of attack some, so that the others can stand in for them."""
FOLDS = len(GROUPS)
ROLE_HEADS = len(ROLES)
BATCH = 4000
"""Words of a batch."""
NOISE = 0.2
"""Of the texts, in their spelling."""
LONGEST = 256
"""Words of a training text; of a longer one another part each time."""
KEPT = 0.998
"""Of the average of weights, at each step."""
EVERY = 8
"""Steps between two looks of the average."""
SHARES = {
    "slabs": 0.8, "neuralchemy": 1.0, "deepset": 1.5, "yanismiraoui": 1.5, "bipia": 1.5, "asb_tools": 1.5, "hinglish": 1.0,
    "garak_sysprompt": 4, "prompt_extraction_zhang": 2, "inthewild_jailbreak": 1.5, "ecom_own_templates": 2,
    "ecom_reviews_inj": 2, "encoded_own": 0, "multidogo": 1.0, "banking77": 1.0, "wands_queries": 2, "reviews_womens": 2,
    "awesome_prompts": 4, "self_instruct": 2, "t0_adversarial_qa": 0.7, "t0_amazon_polarity": 0.7, "personal_templates": 1,
}  # fmt: skip
"""How often an epoch sees each text of a source, on average."""
TEMPLATES = 2.5
"""How often it sees each template of ours."""
HARMLESS = 3.0
"""How many times as often a harmless one that is not English: in no language shall a word be suspect for being foreign."""


class Encoded(NamedTuple):
    """A text as places in a vocabulary, and what the heads should say."""

    places: npt.NDArray[np.int32]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def fold(group: str) -> int:
    """The fold that a template or text is in."""
    return zlib.crc32(group.encode("utf-8", "surrogatepass")) % FOLDS


def share(example: Example) -> float:
    """How often an epoch sees `example`, on average."""
    if example.source in SHARES:
        return SHARES[example.source]
    if max(example.targets) > 0:
        return TEMPLATES
    return TEMPLATES * (HARMLESS if example.lang != "en" else 1.5)


def variant(example: Example, rng: random.Random, much: float = NOISE) -> str:
    """The text of `example` as it is seen this time: filled anew if it is a template, noisy with chance `much`."""
    text = example.text
    if example.group.count("/") >= 2 and example.source.startswith("templates-"):
        lang, _, template = example.group.split("/", 2)
        text = fill.filled(template, lang, rng)
    return noise.noisy(text, rng, much)


def epoch_of(examples: list[Example], rng: random.Random) -> list[Example]:
    """The texts of one epoch: drawn by their shares, noisy, some of them planted in others."""
    drawn = []
    for example in examples:
        times = share(example)
        times = int(times) + (rng.random() < times % 1)
        drawn += [example._replace(text=variant(example, rng)) for _ in range(times)]
    return drawn + planted(drawn, rng)


def planted(drawn: list[Example], rng: random.Random) -> list[Example]:
    """Attacks among harmless sentences, and harmless texts one after the other, so that length tells nothing."""
    papers = [e for e in drawn if corpora.paper(e)]
    chats = [e for e in drawn if e.kind in {"benign_chat", "benign_ask"} and e.targets[1] == 0 and len(e.text) < 300]
    found = []
    for example in drawn:
        document = example.role != "shopper" or example.kind == "benign_document"
        task = example.targets[0] == 0 and example.targets[1] == 1  # harmless where it is typed
        if len(example.text) > 900 or rng.random() > (0.6 if example.kind == "indirect" else 0.25 if task else 0.12):
            continue
        among = papers if document or task or rng.random() < 0.15 else chats
        before, behind = rng.choice(among), rng.choice(among)
        attack = max(example.targets) > 0
        if not attack and (example.kind == "benign_hard" or (among is papers) != document):
            continue
        way = rng.randrange(4)
        parts = (
            [before.text, example.text]
            if way == 0
            else [example.text, behind.text]
            if way == 1
            else [before.text, example.text, behind.text]
        )
        text = rng.choice((" ", "\n", ". ", "\n\n", " - ")).join(parts)
        weights = example.weights
        if task:
            weights = (0.0, *weights[1:])
        elif not attack:
            weights = tuple(map(min, weights, before.weights))
        found.append(example._replace(text=text, weights=weights))
    return found


def encoded(examples: list[Example], vocabulary: Vocabulary, rng: random.Random) -> list[Encoded]:
    """`examples` as numbers; of long ones some part."""
    targets, weights = corpora.answers(examples)
    found = []
    for number, example in enumerate(examples):
        places = vocabulary.encode(example.text)
        if len(places) > LONGEST:
            at = rng.choice((0, rng.randrange(len(places) - LONGEST)))
            places = places[at : at + LONGEST]
        if len(places):
            found.append(Encoded(places, targets[number], weights[number]))
    return found


def batches(texts: list[Encoded], rng: random.Random) -> list[list[Encoded]]:
    """Texts of about the same length together."""
    order = sorted(texts, key=lambda t: len(t.places) + rng.random() * 6)
    found: list[list[Encoded]] = [[]]
    for text in order:
        if found[-1] and (len(found[-1]) + 1) * _padded(len(text.places)) > BATCH:
            found.append([])
        found[-1].append(text)
    rng.shuffle(found)
    return found


def _padded(size: int) -> int:
    return size if size <= BLOCK else -(-size // BLOCK) * BLOCK


def tensors(batch: list[Encoded], bags: npt.NDArray[np.int32]) -> tuple[Tensor, Tensor, Tensor]:
    """The features of the distinct words, the places of the texts' words among them, and which of those are words."""
    longest = _padded(max(len(t.places) for t in batch))
    places = np.zeros((len(batch), longest), dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.float32)
    for row, text in enumerate(batch):
        size = len(text.places)
        places[row, :size], mask[row, :size] = text.places, 1
    distinct, inverse = np.unique(places, return_inverse=True)
    return (
        torch.from_numpy(bags[distinct].astype(np.int64)),
        torch.from_numpy(inverse.reshape(places.shape)),
        torch.from_numpy(mask),
    )


Optimizers = tuple[tuple[torch.optim.Optimizer, float], ...]


def _optimizers(network: Network, rate: float) -> Optimizers:
    """One for the table, of which a step touches few rows, and one for the rest; each with its rate."""
    rest = [p for n, p in network.named_parameters() if not n.startswith("table")]
    return (
        (torch.optim.SparseAdam([network.table.weight], lr=rate, betas=(0.9, 0.98)), rate),
        (torch.optim.Adam(rest, lr=rate, betas=(0.9, 0.98)), rate),
    )


def _pace(optimizers: Optimizers, times: float) -> None:
    for optimizer, rate in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * times


def _learn(network: Network, optimizers: Optimizers, loss: Tensor) -> None:
    for optimizer, _ in optimizers:
        optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(
        [p for p in network.parameters() if p.grad is not None and not p.grad.is_sparse], 1.0
    )
    for optimizer, _ in optimizers:
        optimizer.step()


def fit(
    network: Network, examples: list[Example], *, epochs: int, rate: float, rng: random.Random, say: str
) -> Network:
    """Train `network` for `epochs`, the rate falling to nothing; returns the average of its weights."""
    optimizers = _optimizers(network, rate)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(KEPT**EVERY)
    )
    vocabulary = Vocabulary()
    began, step, seen, steps = time.time(), 0, 0.0, 0
    network.train()
    for epoch in range(epochs):
        texts = encoded(epoch_of(examples, rng), vocabulary, rng)
        bags = vocabulary.bags()
        made = batches(texts, rng)
        steps = steps or epochs * len(made)
        for batch in made:
            _pace(optimizers, min(1.0, (step + 1) / 200) * max(0.02, 1 - step / steps))
            words, places, mask = tensors(batch, bags)
            lost = torch.rand(words.shape) < 0.05
            whole = torch.rand(len(words)) < 0.1  # the word itself: what remains is its parts and its neighbours
            lost[:, 0] |= whole
            words[lost] = network.table.padding_idx
            odds, _ = network(words, places, mask)
            targets = torch.from_numpy(np.stack([t.targets for t in batch]))
            weights = torch.from_numpy(np.stack([t.weights for t in batch]))
            losses = functional.binary_cross_entropy_with_logits(odds, targets * 0.98 + 0.005, reduction="none")
            weights[:, ROLE_HEADS:] *= 1 + 3 * targets[:, ROLE_HEADS:]  # few texts ask for any one attribute
            losses = losses * weights
            loss = losses[:, :ROLE_HEADS].sum() / (weights[:, :ROLE_HEADS].sum() + 1)
            loss = loss + 3 * losses[:, ROLE_HEADS:].sum() / (weights[:, ROLE_HEADS:].sum() + 1)
            _learn(network, optimizers, loss)
            step += 1
            if step % EVERY == 0:
                average.update_parameters(network)
            seen = loss.item() if not seen else 0.98 * seen + 0.02 * loss.item()
            if step % 200 == 0:
                print(f"{say} epoch {epoch} step {step}/{steps} loss {seen:.4f} {time.time() - began:.0f}s", flush=True)
    result: Network = average.module
    return result


def learn_meaning(network: Network, path: Path, *, epochs: int, rate: float, rng: random.Random) -> None:
    """Train `network` to say what the teacher says (`meaning.py`), whatever the spelling."""
    made = np.load(path, allow_pickle=True)
    texts, wanted = made["texts"], made["targets"].astype(np.float32)
    vocabulary = Vocabulary()
    optimizers = _optimizers(network, rate)
    began, step, seen = time.time(), 0, 0.0
    steps = 0
    network.train()
    for epoch in range(epochs):
        coded = [vocabulary.encode(noise.noisy(text, rng, 0.3) if len(text) > 3 else text)[:LONGEST] for text in texts]
        bags = vocabulary.bags()
        numbers = [n for n in range(len(texts)) if len(coded[n])]
        numbers.sort(key=lambda n: len(coded[n]) + rng.random() * 8)
        groups: list[list[int]] = [[]]
        for n in numbers:
            if groups[-1] and (len(groups[-1]) + 1) * _padded(len(coded[n])) > 2 * BATCH:
                groups.append([])
            groups[-1].append(n)
        rng.shuffle(groups)
        steps = steps or epochs * len(groups)
        empty = np.zeros(0, dtype=np.float32)
        for group in groups:
            _pace(optimizers, min(1.0, (step + 1) / 100) * max(0.05, 1 - step / steps))
            words, places, mask = tensors([Encoded(coded[n], empty, empty) for n in group], bags)
            words[torch.rand(len(words)) < 0.1, 0] = network.table.padding_idx
            target = torch.from_numpy(wanted[group])
            said = network(words, places, mask)[1]
            loss = (1 - functional.cosine_similarity(said, target)).mean() + 0.1 * functional.mse_loss(said, target)
            _learn(network, optimizers, loss)
            step += 1
            seen = loss.item() if not seen else 0.98 * seen + 0.02 * loss.item()
            if step % 200 == 0:
                print(
                    f"meaning epoch {epoch} step {step}/{steps} loss {seen:.4f} {time.time() - began:.0f}s", flush=True
                )


def odds_of(network: Network, texts: list[str]) -> npt.NDArray[np.float32]:
    """Log-odds [texts, heads] of whole texts."""
    vocabulary = Vocabulary()
    coded = [vocabulary.encode(text) for text in texts]
    bags = vocabulary.bags()
    found = np.full((len(texts), len(HEADS)), -20, dtype=np.float32)
    order = sorted((n for n in range(len(texts)) if len(coded[n])), key=lambda n: len(coded[n]))
    empty = np.zeros(len(HEADS), dtype=np.float32)
    network.eval()
    with torch.no_grad():
        at = 0
        while at < len(order):
            count = max(1, BATCH // _padded(len(coded[order[min(at + 60, len(order) - 1)]])))
            rows = order[at : at + count]
            found[rows] = network(*tensors([Encoded(coded[n], empty, empty) for n in rows], bags))[0].numpy()
            at += count
    return found


def left_out(example: Example, run: int) -> bool:
    """Whether `run` does not see it."""
    return example.source in GROUPS[run] or fold(example.group) == run


def spelt(examples: list[Example], rng: random.Random) -> list[Example]:
    """Each text as it is, some planted in others, and some with noise and their templates filled once more."""
    found = [e._replace(text=variant(e, rng, 0.1)) for e in examples if share(e)]
    return (
        found
        + planted(found, rng)
        + [e._replace(text=variant(e, rng, 0.8)) for e in examples if share(e) and (share(e) > 1 or rng.random() < 0.3)]
    )


def gathered(data: Path, rng: random.Random) -> list[Example]:
    """Everything there is to learn from."""
    found = [e for source in (*corpora.ATTACKS, *corpora.HARMLESS) for e in corpora.development(data, source)]
    found += corpora.conversations(data.parent / "pii")
    found += fill.all_made(rng) + harmless.sentences(rng)
    return [e._replace(text=fill.hosts(e.text, rng)) for e in found]


def main() -> None:
    """Train and save."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path, help="folder of the development sets")
    ask.add_argument("out", type=Path, help="where the weights go (.pt)")
    ask.add_argument("--run", type=int, choices=range(FOLDS), help="what to leave out")
    ask.add_argument("--start", type=Path, help="weights to start from")
    ask.add_argument("--meaning", type=Path, help="learn this first, and save to OUT.pt (`meaning.py`)")
    ask.add_argument("--epochs", type=int, default=4)
    ask.add_argument("--rate", type=float, default=1.5e-3)
    ask.add_argument("--seed", type=int, default=20261123)
    ask.add_argument("--width", type=int, default=96)
    given = ask.parse_args()
    torch.manual_seed(given.seed)
    torch.set_num_threads(1)
    rng = random.Random(given.seed)
    network = Network(width=given.width)
    if given.start:
        network.load_state_dict(torch.load(given.start), strict=False)
    if given.meaning:
        learn_meaning(network, given.meaning, epochs=given.epochs, rate=given.rate, rng=rng)
    else:
        examples = [e for e in gathered(given.data, rng) if given.run is None or not left_out(e, given.run)]
        print(f"{len(examples)} examples", flush=True)
        spellings = spelt(examples, rng)
        said = linear.fit(spellings, [share(e) for e in spellings], rng)
        print("linear part done", flush=True)
        network = fit(network, examples, epochs=given.epochs, rate=given.rate, rng=rng, say=given.out.stem)
        np.savez_compressed(given.out.with_suffix(".npz"), **said._asdict())
    torch.save(network.state_dict(), given.out)


if __name__ == "__main__":
    main()

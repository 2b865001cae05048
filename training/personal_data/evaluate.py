"""Measure trained weights as the product would use them, rules included: ``python -m training.personal_data.evaluate``.

With `--calibrate OUT` it also looks for each label's threshold: the one with the best F-score of characters in which
recall counts more than precision (`BETA`), for a value left in clear is worse than a word masked for nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from firedoor.core.detect.classifier import Classifier, Embedder
from firedoor.core.detect.names import Names
from firedoor.core.detect.pipeline import Pipeline
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.detect.spans import Span
from training.personal_data import corpora
from training.personal_data.fill import Labelled
from training.personal_data.measure import NEUTRAL, Score
from training.personal_data.network import LABELS, PAD, TAGS, Network

BETA = 1.4
STEPS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OWN = [label for label in LABELS if label not in NEUTRAL]


def loaded(path: Path) -> Network:
    """The network in a file of weights."""
    state = torch.load(path)
    network = Network(width=state["trunk.enter.weight"].shape[0], size=state["table.weight"].shape[1])
    network.load_state_dict(state)
    network.eval()
    return network


def classifier(network: Network, names: Names, thresholds: dict[str, float]) -> Classifier:
    """The product's classifier over `network`, its table made int8 as it is shipped."""
    values = network.table.weight.detach().numpy()[:PAD]
    scale = (np.quantile(np.abs(values), 0.9995, axis=0) / 127).astype(np.float32)
    table = np.clip(np.round(values / scale), -127, 127).astype(np.int8)

    def graph(vectors: np.ndarray) -> np.ndarray:
        if not len(vectors):
            return np.zeros((0, len(TAGS)), dtype=np.float32)
        with torch.no_grad():
            return torch.softmax(network.trunk(torch.from_numpy(vectors)[None]), -1)[0].numpy()

    return Classifier(Embedder(table, scale, names), graph, TAGS, thresholds)


def calibrated(found: dict[str, list[tuple[Labelled, list[Span]]]], rules: Rules) -> dict[str, float]:
    """A threshold for each label, from spans found at the lowest of `STEPS` with their scores.

    Every set counts the same, however many characters it has.
    """
    counts = {label: np.zeros((len(STEPS), 2)) for label in OWN}  # right and wrong characters
    missing = dict.fromkeys(OWN, 0.0)
    for texts in found.values():
        size = sum(end - start for text, _ in texts for start, end, label in text.spans if label not in NEUTRAL) or 1000
        for text, spans in texts:
            gold, skip = bytearray(len(text.text)), bytearray(len(text.text))
            for start, end, label in text.spans:
                (skip if label in NEUTRAL else gold)[start:end] = b"\1" * (end - start)
            for span in rules.find(text.text):
                skip[span.start : span.end] = b"\1" * (span.end - span.start)
            covered = bytearray(len(text.text))
            for span in spans:
                span_range = [i for i in range(span.start, span.end) if text.text[i].isalnum() and not skip[i]]
                right = sum(gold[i] for i in span_range)
                for number, step in enumerate(STEPS):
                    if span.score >= step:
                        counts[span.label][number] += (right / size, (len(span_range) - right) / size)
                for i in span_range:
                    covered[i] = 1
            for start, end, label in text.spans:
                if label in missing:
                    missing[label] += (
                        sum(text.text[i].isalnum() and not covered[i] and not skip[i] for i in range(start, end)) / size
                    )
    chosen = {}
    for label in OWN:
        total = counts[label][0, 0] + missing[label]
        right, wrong = counts[label][:, 0], counts[label][:, 1]
        worth = (1 + BETA**2) * right / ((1 + BETA**2) * right + wrong + BETA**2 * (total - right) + 1e-9)
        chosen[label] = STEPS[int(worth.argmax())] if right.any() else 0.5
    return chosen


def main() -> None:
    """Measure, print, calibrate."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("weights", type=Path)
    ask.add_argument("names", type=Path)
    ask.add_argument("data", type=Path, help="folder of the development sets")
    ask.add_argument("--thresholds", type=Path, help="JSON: label to threshold")
    ask.add_argument("--flat", type=float, help="one threshold for all labels")
    ask.add_argument("--only", help="one set")
    ask.add_argument("--halves", action="store_true", help="the halves that `train --halves` does not learn from")
    ask.add_argument("--calibrate", type=Path)
    ask.add_argument("--no-rules", action="store_true")
    ask.add_argument("--languages", action="store_true")
    given = ask.parse_args()
    torch.set_num_threads(1)
    names = Names(given.names.read_bytes())
    network, rules = loaded(given.weights), Rules()
    sets: dict[str, list[Labelled]] = {}
    for source in (given.only,) if given.only else (*corpora.SOURCES, "ambientmeta", "banking77"):
        one, other = corpora.halves(given.data, source)
        sets[source] = other if given.halves else one + other
    thresholds = json.loads(given.thresholds.read_text()) if given.thresholds else dict.fromkeys(OWN, given.flat or 0.3)
    if given.calibrate:
        low = classifier(network, names, dict.fromkeys(OWN, STEPS[0]))
        found = {n: [(t, low.find(t.text)) for t in texts] for n, texts in sets.items() if n != "ambientmeta"}
        thresholds = calibrated(found, rules)
        given.calibrate.write_text(json.dumps(thresholds, indent=1) + "\n")
        print(thresholds)
    tiers = (
        [classifier(network, names, thresholds)] if given.no_rules else [rules, classifier(network, names, thresholds)]
    )
    pipeline = Pipeline(tiers)
    means = []
    for source, texts in sets.items():
        total, by_language = Score(), {}
        for text in texts:
            spans = [(s.start, s.end, s.label) for s in pipeline.find(text.text)]
            total.add(text, spans)
            by_language.setdefault(text.language, Score()).add(text, spans)
        if source in corpora.SOURCES:
            means.append((total.f1, total.values_left))
        print(
            f"{source:15} {total} false {dict(total.false.most_common(5))} missed {dict(total.missed.most_common(5))}",
            flush=True,
        )
        if given.languages and len(by_language) > 1:
            for language, part in sorted(by_language.items()):
                print(f"    {language}: {part}")
    if means:
        print(f"mean F1 {np.mean([m[0] for m in means]):.3f} left {np.mean([m[1] for m in means]):.3f}")


if __name__ == "__main__":
    main()

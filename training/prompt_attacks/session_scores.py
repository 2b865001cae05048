"""Scores for `sessions.py`: ``python -m training.prompt_attacks.session_scores DATA OUT FOLD0.pt FOLD1.pt …``.

Reads harmless texts of shoppers, and questions for what the shop keeps to itself, by networks that have not seen them
(as `evaluate.py` does), and writes what sessions add up: the log-odds of an attack, or of an attribute being asked for,
against the threshold, whichever is higher. OUT gets ``harmless-SOURCE.txt`` and ``probes.txt``, a number a line.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

from firedoor.core.detect.attack.model import AttackModel
from firedoor.models.attack_rules import attack_rules
from training.prompt_attacks.corpora import Example
from training.prompt_attacks.evaluate import NONE, chat, harmless, out_of_fold, read, thresholds
from training.prompt_attacks.export import loaded, weights_of
from training.prompt_attacks.train import gathered


def asks(example: Example) -> bool:
    """Whether a shopper asks for what they may not have."""
    return not harmless(example) and (example.kind == "asked" or example.source == "ecom_own_templates")


def main() -> None:
    """Read, calibrate, write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("weights", type=Path, nargs="+", help="one network for each fold, or one")
    ask.add_argument("--most", type=int, default=20_000, help="texts read, drawn anew in each run of this seed")
    ask.add_argument("--sources", nargs="*", help="probes of these only")
    ask.add_argument("--thresholds", type=Path)
    given = ask.parse_args()
    examples = [e for e in gathered(given.data, random.Random(5)) if chat(e) or asks(e)]
    if given.sources:
        examples = [e for e in examples if chat(e) or e.source in given.sources]
    random.Random(6).shuffle(examples)
    examples = examples[: given.most]
    rules = attack_rules()
    if len(given.weights) == 1:
        model = AttackModel(weights_of(loaded(given.weights[0])), NONE)
        odds = [read(e.text, model, rules) for e in examples]
    else:
        odds = out_of_fold(examples, given.weights, rules)
    at = json.loads(given.thresholds.read_text()) if given.thresholds else thresholds(examples, odds)
    scores: dict[str, list[str]] = defaultdict(list)
    for example, found in zip(examples, odds, strict=True):
        source = example.source if example.source in {"multidogo", "banking77", "wands_queries"} else "templates"
        weak = max(found.attack[0] - at["shopper"], found.asked - at["asked"])
        scores[f"harmless-{source}" if harmless(example) else "probes"].append(f"{weak:.4f}")
    given.out.mkdir(parents=True, exist_ok=True)
    for name, values in scores.items():
        (given.out / f"{name}.txt").write_text("\n".join(values) + "\n")
        print(name, len(values))


if __name__ == "__main__":
    main()

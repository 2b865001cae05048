"""Scores for `sessions.py`: ``python -m training.prompt_attacks.session_scores DATA OUT RUN0.pt RUN1.pt RUN2.pt``.

Reads harmless texts of shoppers, and questions for what the shop keeps to itself, by models that have not seen them
(as `evaluate.py` does, whose ``thresholds.json`` stands in OUT), and writes what sessions add up: the log-odds of an
attack, or of an attribute being asked for, against the threshold, whichever is higher. OUT gets
``harmless-SOURCE.txt`` and ``probes.txt``, a number a line.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

from firedoor.models.attack_rules import attack_rules
from training.prompt_attacks.corpora import Example, harmless
from training.prompt_attacks.evaluate import measured, turn
from training.prompt_attacks.train import FOLDS, gathered


def asks(example: Example) -> bool:
    """Whether a shopper asks for what they may not have."""
    return not harmless(example) and (example.kind == "asked" or example.source == "ecom_own_templates")


def main() -> None:
    """Read and write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("runs", type=Path, nargs=FOLDS)
    given = ask.parse_args()
    examples = [e for e in gathered(given.data, random.Random(5)) if turn(e) or asks(e)]
    at = json.loads((given.out / "thresholds.json").read_text())
    scores: dict[str, list[str]] = defaultdict(list)
    for m in measured(examples, given.runs, attack_rules()):
        source = m.example.source if m.example.source in {"multidogo", "banking77", "wands_queries"} else "templates"
        weak = max(m.odds.attack[0] - at["shopper"], m.odds.asked - at["asked"])
        scores[f"harmless-{source}" if harmless(m.example) else "probes"].append(f"{weak:.4f}")
    for name, values in scores.items():
        (given.out / f"{name}.txt").write_text("\n".join(values) + "\n")
        print(name, len(values))


if __name__ == "__main__":
    main()

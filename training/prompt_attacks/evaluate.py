"""Thresholds and figures: ``python -m training.prompt_attacks.evaluate DATA OUT FOLD0.pt FOLD1.pt …``.

Every text is measured by a network that has not seen it (`train.py --fold N`, one for each fold, or `--leave SOURCE …`),
and through the product's own code: its views, its rules and the model together. OUT gets ``thresholds.json``,
``figures.json`` and ``figures.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.attack.detector import weigh
from firedoor.core.detect.attack.model import ASKED, AttackModel
from firedoor.core.detect.attack.normal import views
from firedoor.core.detect.attack.signs import ROLES, Role, RuleHit, RuleSearch
from firedoor.models.attack_rules import attack_rules
from training.prompt_attacks.corpora import Example, chat, harmless, paper
from training.prompt_attacks.export import loaded, weights_of
from training.prompt_attacks.train import fold, gathered

ALARMS = 0.003
"""False alarms allowed on what shoppers write, in all."""
SPLIT = 0.62
"""The part of them that is left to the attack; the rest is for what is asked."""
NONE = dict.fromkeys((*ROLES, "asked"), 0.0)


class Odds(NamedTuple):
    """Log-odds of one text: of an attack in each role, and the highest of the attributes asked for."""

    attack: tuple[float, ...]
    asked: float
    attribute: str


class NoRules:
    """Finds nothing: the model alone."""

    def find(self, text: str, role: Role) -> list[RuleHit]:
        """See `RuleSearch`."""
        del text, role
        return []


def read(text: str, model: AttackModel, rules: RuleSearch | None, roles: Iterable[Role] = ROLES) -> Odds:
    """What `AttackDetector` would add up, without its thresholds."""
    attack = dict.fromkeys(ROLES, -99.0)
    asked = dict.fromkeys(ASKED, -99.0)
    for view in views(text).views:
        for role in roles:
            found = weigh(view.text, role, rules or NoRules(), model)
            attack[role] = max(attack[role], found.attack)
        for name, odds in found.asked.items():
            asked[name] = max(asked[name], odds)
    best = max(asked, key=lambda name: asked[name])
    return Odds(tuple(attack.values()), asked[best], best)


def out_of_fold(examples: list[Example], paths: list[Path], rules: RuleSearch | None) -> list[Odds]:
    """Each text by the network of its fold."""
    models = [AttackModel(weights_of(loaded(path)), NONE) for path in paths]
    return [read(e.text, models[fold(e.group)], rules) for e in examples]


def thresholds(examples: list[Example], odds: list[Odds]) -> dict[str, float]:
    """Log-odds for each role and for what is asked, at `ALARMS` on harmless texts."""

    def at(values: list[float], alarms: float) -> float:
        return round(float(np.quantile(values, 1 - alarms)) + 1e-3, 3)

    shop = [o for e, o in zip(examples, odds, strict=True) if chat(e)]
    papers = [o for e, o in zip(examples, odds, strict=True) if paper(e)]
    found = {
        "shopper": at([o.attack[0] for o in shop], ALARMS * SPLIT),
        "document": at([o.attack[1] for o in papers], ALARMS),
        "tool": at([o.attack[2] for o in papers], ALARMS),
    }
    low, high = -5.0, 15.0
    while high - low > 1e-3:  # so that both together stay within the bound
        middle = (low + high) / 2
        alarms = np.mean([o.attack[0] >= found["shopper"] or o.asked >= middle for o in shop])
        low, high = (low, middle) if alarms <= ALARMS else (middle, high)
    found["asked"] = round(high, 3)
    return found


def fires(example: Example, odds: Odds, at: Mapping[str, float]) -> bool:
    """Whether the text is an attack, or asks for an attribute, in the role it is measured in."""
    attack = odds.attack[ROLES.index(example.role)] >= at[example.role]
    return attack or (example.role == "shopper" and odds.asked >= at["asked"])


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not of:
        return 0.0, 1.0
    z = 1.96
    share = hits / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))


class Line(NamedTuple):
    """A share of texts that fire."""

    name: str
    hits: int
    of: int

    def text(self) -> str:
        """As a row of a table."""
        low, high = wilson(self.hits, self.of)
        return f"| {self.name} | {100 * self.hits / max(1, self.of):.1f} | {100 * low:.1f}-{100 * high:.1f} | {self.of} |"


def table(examples: list[Example], fired: npt.NDArray[np.bool_], key: Callable[[Example], str | None]) -> list[Line]:
    """Shares by `key`; texts without one are left out."""
    groups: dict[str, list[bool]] = {}
    for example, hit in zip(examples, fired, strict=True):
        name = key(example)
        if name is not None:
            groups.setdefault(name, []).append(bool(hit))
    return [Line(name, sum(hits), len(hits)) for name, hits in sorted(groups.items())]


def figures(examples: list[Example], odds: list[Odds], at: Mapping[str, float]) -> dict[str, list[Line]]:
    """All tables."""
    fired = np.array([fires(e, o, at) for e, o in zip(examples, odds, strict=True)])

    def others(e: Example) -> bool:
        return not e.source.startswith(("templates-", "personal"))

    return {
        "recall by kind, data of others": table(examples, fired, lambda e: e.kind if others(e) and not harmless(e) else None),
        "recall by source": table(examples, fired, lambda e: f"{e.source}: {e.kind}" if others(e) and not harmless(e) else None),
        "recall by encoder": table(examples, fired, lambda e: e.enc if e.enc and not harmless(e) else None),
        "recall by language, data of others": table(examples, fired, lambda e: e.lang if others(e) and not harmless(e) else None),
        "recall by kind, our templates": table(examples, fired, lambda e: e.kind if not others(e) and not harmless(e) else None),
        "recall by language, our templates": table(
            examples, fired, lambda e: f"{e.lang}: {'asked' if e.kind == 'asked' else 'attacks'}" if not others(e) and not harmless(e) else None
        ),
        "recall by attribute, our templates": table(
            examples, fired, lambda e: ASKED[int(np.argmax(e.targets[3:]))] if e.kind == "asked" else None
        ),
        "false alarms by source": table(examples, fired, lambda e: f"{e.source}: {e.kind}" if harmless(e) and others(e) else None),
        "false alarms by kind, our templates": table(examples, fired, lambda e: e.kind if harmless(e) and not others(e) else None),
        "false alarms by language, our templates": table(examples, fired, lambda e: e.lang if harmless(e) and not others(e) else None),
        "false alarms, in all": table(examples, fired, lambda e: "shop chat" if chat(e) else "documents" if paper(e) else None),
    }  # fmt: skip


def curve(examples: list[Example], odds: list[Odds]) -> list[dict[str, float]]:
    """Recall of typed attacks against false alarms, for other thresholds of the shopper's role."""
    shop = np.sort([o.attack[0] for e, o in zip(examples, odds, strict=True) if chat(e)])
    hard = np.array([o.attack[0] for e, o in zip(examples, odds, strict=True) if harmless(e) and e.kind == "benign_hard"])
    attacks = np.array([o.attack[0] for e, o in zip(examples, odds, strict=True) if e.targets[0] and e.kind != "indirect"])
    found = []
    for alarms in (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02):
        least = float(np.quantile(shop, 1 - alarms))
        found.append(
            {
                "alarms on shop chat": alarms,
                "threshold": round(least, 2),
                "recall": round(float((attacks >= least).mean()), 3),
                "alarms on hard harmless texts": round(float((hard >= least).mean()), 3),
            }
        )
    return found


def written(found: dict[str, list[Line]]) -> str:
    """The tables as Markdown."""
    parts = []
    for title, lines in found.items():
        parts += [f"### {title}", "", "| | % | 95 % interval | texts |", "|---|---|---|---|", *(line.text() for line in lines), ""]
    return "\n".join(parts)


def main() -> None:
    """Measure, calibrate, write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("weights", type=Path, nargs="+", help="one network for each fold; or one, with --leave or --fold")
    ask.add_argument("--leave", nargs="*", help="measure these sources only, at --thresholds")
    ask.add_argument("--fold", type=int, help="measure this fold only")
    ask.add_argument("--thresholds", type=Path)
    ask.add_argument("--no-rules", action="store_true")
    given = ask.parse_args()
    rules = None if given.no_rules else attack_rules()
    examples = gathered(given.data, random.Random(5))
    if given.leave:
        examples = [e for e in examples if e.source in given.leave or (given.fold is not None and fold(e.group) == given.fold)]
    elif given.fold is not None:
        examples = [e for e in examples if fold(e.group) == given.fold]
    if len(given.weights) == 1:
        model = AttackModel(weights_of(loaded(given.weights[0])), NONE)
        odds = [read(e.text, model, rules) for e in examples]
    else:
        odds = out_of_fold(examples, given.weights, rules)
    at = json.loads(given.thresholds.read_text()) if given.thresholds else thresholds(examples, odds)
    tables = figures(examples, odds, at)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "thresholds.json").write_text(json.dumps(at, indent=1) + "\n")
    result: dict[str, Any] = {"thresholds": at, "curve": curve(examples, odds)}
    result |= {title: [(*line, *wilson(line.hits, line.of)) for line in lines] for title, lines in tables.items()}
    (given.out / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "figures.md").write_text(written(tables))
    print(written(tables))
    print(json.dumps(result["curve"]), at)


if __name__ == "__main__":
    main()

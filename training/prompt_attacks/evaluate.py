"""Thresholds and figures: ``python -m training.prompt_attacks.evaluate DATA OUT RUN0.pt RUN1.pt RUN2.pt``.

Every text is measured by a model that has not seen it, nor any other filling of its template (`train.py --run N`), and
through the product's own code: its views, its rules and the model together. Of each source there are two figures: by the
runs that saw other texts of it, and by the one that left the whole source out; the second is the honest one. OUT gets
``thresholds.json``, ``figures.json`` and ``figures.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Mapping
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
from training.prompt_attacks.export import weights
from training.prompt_attacks.train import FOLDS, GROUPS, fold, gathered

ALARMS = 0.003
"""False alarms allowed on what shoppers write, in all."""
PAPER_ALARMS = 0.005
"""On harmless documents, a third of which are written to look like attacks."""
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


def read(text: str, model: AttackModel, rules: RuleSearch, role: Role) -> Odds:
    """What `AttackDetector` adds up, without its thresholds; `attack` in `role` and, as rows may come without, typed."""
    attack = dict.fromkeys(ROLES, -99.0)
    asked = dict.fromkeys(ASKED, -99.0)
    for view in views(text).views:
        for each in dict.fromkeys(("shopper", role)):
            found = weigh(view, each, rules, model)
            attack[each] = max(attack[each], found.attack)
        for name, odds in found.asked.items():
            asked[name] = max(asked[name], odds)
    best = max(asked, key=lambda name: asked[name])
    return Odds(tuple(attack.values()), asked[best], best)


class Measured(NamedTuple):
    """A text and what the model of one run makes of it; `unseen`: the run left its whole source out."""

    example: Example
    odds: Odds
    unseen: bool


def _role(example: Example) -> Role:
    return next(role for role in ROLES if role == example.role)


def measured(examples: list[Example], paths: list[Path], rules: RuleSearch) -> list[Measured]:
    """Each text by the run that left its template out, and by the one that left its source out."""
    found = []
    for run, path in enumerate(paths):
        model = AttackModel(weights(path), NONE)
        for e in examples:
            unseen = e.source in GROUPS[run]
            if unseen or fold(e.group) == run:
                found.append(Measured(e, read(e.text, model, rules, _role(e)), unseen))
    return found


def turn(example: Example) -> bool:
    """Whether it is an ordinary turn: harmless, and no near miss written to be one."""
    return chat(example) and example.kind != "benign_ask"


def thresholds(found: list[Measured]) -> dict[str, float]:
    """Log-odds for each role and for what is asked, at `ALARMS` on harmless texts, those of unseen sources among them."""
    shop = [m.odds for m in found if turn(m.example)]
    papers = [max(m.odds.attack[1:]) for m in found if paper(m.example) and not m.unseen]
    attack, asked = np.array([o.attack[0] for o in shop]), np.array([o.asked for o in shop])
    shopper = _least(lambda at: float((attack >= at).mean()), ALARMS * SPLIT)
    both = _least(lambda at: float(((attack >= shopper) | (asked >= at)).mean()), ALARMS)
    document = round(float(np.quantile(papers, 1 - PAPER_ALARMS)), 3)
    return {"shopper": shopper, "document": document, "tool": document, "asked": both}


def _least(alarms: Callable[[float], float], most: float) -> float:
    low, high = -10.0, 20.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if alarms(middle) <= most else (middle, high)
    return round(high, 3)


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
        return (
            f"| {self.name} | {100 * self.hits / max(1, self.of):.1f} | {100 * low:.1f}-{100 * high:.1f} | {self.of} |"
        )


def table(found: list[Measured], fired: list[bool], key: Callable[[Measured], str | None]) -> list[Line]:
    """Shares by `key`; texts without one are left out."""
    groups: dict[str, list[bool]] = {}
    for each, hit in zip(found, fired, strict=True):
        name = key(each)
        if name is not None:
            groups.setdefault(name, []).append(hit)
    return [Line(name, sum(hits), len(hits)) for name, hits in sorted(groups.items())]


def figures(found: list[Measured], at: Mapping[str, float]) -> dict[str, list[Line]]:
    """All tables."""
    fired = [fires(m.example, m.odds, at) for m in found]

    def made(key: Callable[[Example], str | None], *, ours: bool, good: bool, unseen: bool | None) -> list[Line]:
        def name(m: Measured) -> str | None:
            own = m.example.source.startswith(("templates-", "personal"))
            wanted = own == ours and harmless(m.example) == good and unseen in {None, m.unseen}
            return key(m.example) if wanted else None

        return table(found, fired, name)

    def source(e: Example) -> str:
        return f"{e.source}: {e.kind}"

    return {
        "recall by kind, whole source unseen": made(lambda e: e.kind, ours=False, good=False, unseen=True),
        "recall by source, whole source unseen": made(source, ours=False, good=False, unseen=True),
        "recall by kind, other texts of the source seen": made(lambda e: e.kind, ours=False, good=False, unseen=False),
        "recall by source, other texts of the source seen": made(source, ours=False, good=False, unseen=False),
        "recall by encoder": made(lambda e: e.enc or None, ours=False, good=False, unseen=False),
        "recall by language, data of others, whole source unseen": made(lambda e: e.lang, ours=False, good=False, unseen=True),
        "recall by kind, our sentences": made(lambda e: e.kind, ours=True, good=False, unseen=False),
        "recall by language, our sentences": made(
            lambda e: f"{e.lang}: {'asked' if e.kind == 'asked' else 'attacks'}", ours=True, good=False, unseen=False
        ),
        "recall by attribute, our sentences": made(
            lambda e: ASKED[int(np.argmax(e.targets[3:]))] if e.kind == "asked" else None, ours=True, good=False, unseen=False
        ),
        "false alarms by source, whole source unseen": made(source, ours=False, good=True, unseen=True),
        "false alarms by source, other texts of the source seen": made(source, ours=False, good=True, unseen=False),
        "false alarms by kind, our sentences": made(lambda e: e.kind, ours=True, good=True, unseen=False),
        "false alarms by language, our sentences": made(lambda e: e.lang if turn(e) else None, ours=True, good=True, unseen=False),
        "false alarms in all": table(
            found, fired,
            lambda m: "ordinary turns" if turn(m.example) else "documents" if paper(m.example) and not m.unseen else None,
        ),
    }  # fmt: skip


def curve(found: list[Measured]) -> list[dict[str, float]]:
    """Recall of typed attacks of unseen sources against false alarms, for other thresholds of the shopper's role."""

    def attack(wanted: Callable[[Measured], bool]) -> npt.NDArray[np.float64]:
        return np.array([m.odds.attack[0] for m in found if wanted(m)])

    shop = attack(lambda m: turn(m.example))
    hard = attack(lambda m: harmless(m.example) and m.example.kind == "benign_hard")
    typed = attack(lambda m: m.unseen and m.example.targets[0] == 1 and m.example.kind != "indirect")
    lines = []
    for alarms in (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02):
        least = float(np.quantile(shop, 1 - alarms))
        lines.append(
            {
                "alarms on ordinary turns": alarms,
                "threshold": round(least, 2),
                "recall": round(float((typed >= least).mean()), 3),
                "alarms on hard harmless texts": round(float((hard >= least).mean()), 3),
            }
        )
    return lines


def written(found: dict[str, list[Line]]) -> str:
    """The tables as Markdown."""
    parts = []
    for title, lines in found.items():
        parts += [
            f"### {title}",
            "",
            "| | % | 95 % interval | texts |",
            "|---|---|---|---|",
            *(line.text() for line in lines),
            "",
        ]
    return "\n".join(parts)


def main() -> None:
    """Measure, calibrate, write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("runs", type=Path, nargs=FOLDS)
    ask.add_argument("--no-rules", action="store_true", help="the model alone")
    given = ask.parse_args()
    found = measured(
        gathered(given.data, random.Random(5)), given.runs, NoRules() if given.no_rules else attack_rules()
    )
    at = thresholds(found)
    tables = figures(found, at)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "thresholds.json").write_text(json.dumps(at, indent=1) + "\n")
    result: dict[str, Any] = {"thresholds": at, "curve": curve(found)}
    result |= {title: [(*line, *wilson(line.hits, line.of)) for line in lines] for title, lines in tables.items()}
    (given.out / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "figures.md").write_text(written(tables))
    print(written(tables))
    print(json.dumps(result["curve"], indent=1), at)


if __name__ == "__main__":
    main()

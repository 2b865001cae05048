"""Calibrates and measures sessions: ``python -m training.prompt_attacks.sessions --help``.

Builds sessions of 5, 10 and 20 turns out of scores of single texts (`Turn.weak`, nats): harmless ones, and ones in
which some turns are probes, all of which pass alone. Chooses what `firedoor.core.sessions` has as constants, so that at
most 0.5 % of harmless sessions are slowed, on one half of the texts; prints how many sessions of the other half are
found, by the product's own code.

A harmless session has turns of one source, so that shoppers who all write alike count; otherwise turns are drawn
independently. They come 30 s apart. Without files of scores it invents some, to try things out.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core import sessions
from firedoor.core.sessions import ATTACK, RULES, Turn, ladder, note
from firedoor.core.sums import Sums, decayed

Scores = npt.NDArray[np.float64]
Sources = list[Scores]

TURNS = (5, 10, 20)
LONG = 200
SHARES = (0.3, 0.6, 1.0)
APART = 30.0
"""Seconds between two turns."""
FALSE = 0.005
"""Share of harmless sessions of ten turns that may be slowed."""
TEXTS = 2
"""So many texts alone never slow a session, whatever the scores of the texts at hand say."""
DRAWN = 20_000
"""Sessions drawn for a threshold: 100 of them lie beyond it."""
SHOWN = 2_000
"""Sessions drawn for a figure."""


class Settings(NamedTuple):
    """Constants of `firedoor.core.sessions`, in nats."""

    pivot: float
    least: float
    most: float
    allowance: float


NOW = Settings(sessions.PIVOT, sessions.LEAST, sessions.MOST, sessions.WEAK_ALLOWANCE)


def drawn(harmless: Sources, probes: Scores, turns: int, share: float, count: int, seed: int) -> Scores:
    """Sessions, one a row, of each source as many as it has texts; `share` of the turns, anywhere, are probes."""
    rng = np.random.default_rng(seed)
    sizes = np.array([len(source) for source in harmless], dtype=float)
    counts = rng.multinomial(count, sizes / sizes.sum())
    found = np.concatenate([rng.choice(source, (n, turns)) for source, n in zip(harmless, counts, strict=True)])
    probe = rng.permuted(np.broadcast_to(np.arange(turns) < round(share * turns), found.shape), axis=1)
    found[probe] = rng.choice(probes, int(probe.sum()))
    return found


def highest(weak: Scores, chosen: Settings) -> Scores:
    """The most that each session gathers, in nats; a text that does not pass alone counts as a refused attack."""
    rules = RULES["session"]
    added = np.clip(weak - chosen.pivot, chosen.least, chosen.most) - rules.forgives * chosen.allowance
    left = 2.0 ** (-APART / rules.half_life)
    texts = np.zeros(len(weak))
    refused = np.zeros(len(weak))
    top = np.zeros(len(weak))
    for number in range(weak.shape[1]):
        alone = weak[:, number] >= 0
        texts = np.maximum(0, texts * left + np.where(alone, -rules.forgives * chosen.allowance, added[:, number]))
        refused = np.maximum(0, refused * left + (np.where(alone, ATTACK, 0) - rules.forgives) * chosen.allowance)
        top = np.maximum(top, texts + refused)
    return top


def allowance_for(harmless: Sources, chosen: Settings) -> float:
    """Nats that `FALSE` of harmless sessions of ten turns reach, and at least what `TEXTS` texts can add."""
    sample = drawn(harmless, harmless[0], TURNS[1], 0, DRAWN, 1)
    allowance = chosen.allowance
    for _ in range(4):  # what is forgiven, and what an attack counts, are shares of it
        allowance = float(np.quantile(highest(sample, chosen._replace(allowance=allowance)), 1 - FALSE))
        allowance = max(allowance, TEXTS * chosen.most)
    return allowance


def choose(harmless: Sources, probes: Scores) -> Settings:
    """The settings that find most sessions of ten turns with three, six or ten probes."""
    best, found = NOW, -1.0
    samples = [drawn(harmless, probes, 10, share, 4000, 5) for share in SHARES]
    for pivot, least, most in itertools.product(np.arange(-6.0, -1.9, 0.5), (-0.25, -0.5, -1.0), (1.5, 2.0, 2.5, 3.0)):
        trial = Settings(float(pivot), least, most, NOW.allowance)
        trial = trial._replace(allowance=allowance_for(harmless, trial))
        rate = float(np.mean([highest(sample, trial) >= trial.allowance for sample in samples]))
        if rate > found:
            best, found = trial, rate
    return best


def slowed(weak: Scores) -> tuple[float, float]:
    """Shares of sessions that the product slows, or refuses, at some turn."""
    rules, rungs = RULES["session"], [0, 0]
    for row in weak:
        sums, reached = Sums(0.0), set()
        for number, value in enumerate(row):
            sums = decayed(sums, number * APART, rules.half_life)
            sums = note(sums, sums, Turn(weak=float(value), attack=bool(value >= 0)), rules)
            reached.add(ladder("session", sums, rules).rung)
        rungs[0] += bool(reached - {"observe"})
        rungs[1] += "refuse" in reached
    return rungs[0] / len(weak), rungs[1] / len(weak)


def interval(harmless: Sources, probes: Scores, turns: int, share: float) -> tuple[float, float, float, float]:
    """Share slowed with its 95 % interval, and share refused. The texts are drawn anew each time: they are the few."""
    rng = np.random.default_rng(7)
    shares = []
    for again in range(20):
        some = [rng.choice(source, len(source)) for source in harmless]
        tops = highest(drawn(some, rng.choice(probes, len(probes)), turns, share, SHOWN, 100 + again), NOW)
        shares.append(float(np.mean(tops >= NOW.allowance)))
    low, high = np.quantile(shares, (0.025, 0.975))
    rate, refused = slowed(drawn(harmless, probes, turns, share, SHOWN, 3))
    return rate, float(low), float(high), refused


def show(harmless: Sources, probes: Scores) -> None:
    """The table of figures with the constants as they are."""
    print("turns  probes  slowed  (95 %)          refused")
    for turns in TURNS:
        for share in (0.0, *SHARES):
            rate, low, high, refused = interval(harmless, probes, turns, share)
            print(f"{turns:5}  {share:5.0%}  {rate:6.2%}  {low:6.2%}-{high:6.2%}  {refused:7.2%}")
    rate, refused = slowed(drawn(harmless, probes, LONG, 0, SHOWN // 4, 3))
    print(f"{LONG:5}     0%  {rate:6.2%}                 {refused:7.2%}")


def invented(seed: int = 0) -> tuple[Sources, Scores]:
    """Scores as a linear model had them: harmless texts about -5.6, probes that pass alone about -2.2."""
    rng = np.random.default_rng(seed)
    probes = rng.normal(-2.2, 1.4, 2_000)
    return [rng.normal(-5.8, 1.6, 15_000), rng.normal(-5.0, 1.6, 5_000)], probes[probes < 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--harmless", type=Path, nargs="+", help="scores of a source of harmless texts, a number a line"
    )
    parser.add_argument("--probes", type=Path, help="scores of probes; those that do not pass alone are dropped")
    parser.add_argument("--choose", action="store_true", help="choose the constants, and print them")
    options = parser.parse_args()
    harmless, probes = invented()
    if options.harmless and options.probes:
        harmless, probes = [np.loadtxt(path, ndmin=1) for path in options.harmless], np.loadtxt(options.probes, ndmin=1)
        probes = probes[probes < 0]
    if options.choose:
        print(choose([source[::2] for source in harmless], probes[::2]))
    show([source[1::2] for source in harmless], probes[1::2])


if __name__ == "__main__":
    main()

"""kill -9 of control at every step of a case's first minute: before and after each call of store, journal, snapshot,
purge and count. Nothing is lost, nothing is done or told twice, and nothing goes before it is sealed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.incident_kills import ANSWERS
from tests.rooms.firstminutes import LEAK, STEPS

ROOT = Path(__file__).resolve().parents[2]


def killed(folder, numbers, rounds=1):
    """What became of the case after a kill at each of these moments."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.incident_kills", str(folder), str(rounds), *map(str, numbers)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def check(after, rounds=1):
    where = f"killed at moment {after['n']}: {after}"
    assert after["codes"][0] == after["codes"][2] == 0, where
    assert after["kinds"][:2] == ["opened", "findings"], where
    once = [step for step in STEPS if step != "counted"]  # who is affected is counted again when more was found
    wanted = [1 if step == "clocks_set" else rounds for step in once]
    assert [after["kinds"].count(step) for step in once] == wanted, where
    assert after["kinds"].count("counted") in range(1, 3 * rounds - 1), where
    assert set(after["kinds"]) == {"opened", "findings", *STEPS}, where
    # The evidence holds every entry, and the snapshot before the entry that names it, and both before the purge.
    assert after["on_record"] == sorted(after["entries"]), where
    order = after["order"]
    assert order.index("snapshot") < order.index("sealed") < order.index("purged"), where
    last = [len(order) - order[::-1].index(kind) for kind in ("snapshot", "sealed", "purged")]
    assert last == sorted(last), where
    assert (after["sealed"], after["uncovered"]) == (after["purged_under"], []), where
    assert len(set(after["sealed"])) == rounds, where
    assert set(after["sealed"]) <= set(after["snapshots"]), where
    assert len(after["snapshots"]) <= rounds + 1, where
    # What was kept is gone only under a seal.
    assert after["answers"] == 0, where
    assert after["before"]["answers"] in (0, ANSWERS), where
    assert after["before"]["answers"] == ANSWERS or after["before"]["snapshots"] >= rounds, where
    assert (after["shut"], after["contained"], after["found"]) == ([LEAK], LEAK, rounds), where
    assert after["epochs"][0] == after["epochs"][1], where


def test_a_kill_at_some_moments_of_the_first_minute_loses_nothing_and_does_nothing_twice(tmp_path):
    found = killed(tmp_path, range(3, 60, 7))
    for after in found:
        check(after)
    assert sum(after["codes"][1] == -9 for after in found) >= 6, "the moments lie in the first minute"


def test_a_kill_at_some_moments_of_a_later_round_loses_nothing_and_does_nothing_twice(tmp_path):
    found = killed(tmp_path, range(3, 60, 9), rounds=2)
    for after in found:
        check(after, rounds=2)
    assert sum(after["codes"][1] == -9 for after in found) >= 4, "the moments lie in the later round"


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rounds", [1, 2])
def test_a_kill_at_every_moment_of_the_first_minute(tmp_path, rounds):
    number, lived = 1, 0
    while lived < 3:  # behind the last moment the process ends by itself
        for after in killed(tmp_path, range(number, number + 10), rounds):
            check(after, rounds)
            lived += after["codes"][1] == 0
        number += 10
    assert number > 40

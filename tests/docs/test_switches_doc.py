"""The codes listed in docs/switches.md are those the code can give."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (
    "core/people.py",
    "core/switches.py",
    "control/switchboard.py",
    "control/waiting.py",
    "api/app.py",
    "api/bodies.py",
)


def test_every_code_of_a_refused_act_is_documented():
    text = "".join((ROOT / "src/firedoor" / room).read_text() for room in ROOMS)
    raised = set(re.findall(r'ActRefused\(\s*"([a-z_]+)"', text))
    documented = (ROOT / "docs/switches.md").read_text().partition("Codes of refused acts:")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", documented)) == raised

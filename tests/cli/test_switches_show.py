"""`firedoor switches` and `switches watch` on real pages, files and a real control; only the hosts' clock is set."""

import contextlib
import io
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from firedoor.agent.page import PageWriter
from firedoor.api import shapes
from firedoor.cli import switches_show, switches_watch
from firedoor.cli.switches_hosts import HostBook
from firedoor.config import Home
from firedoor.core.hosts import NO_AGE
from firedoor.core.people import key_id
from firedoor.core.switches import GlobalTable, Scope, Shown, Switch, Table
from firedoor.store.planfile import load

from .home import PLAN
from .manyhosts import Controlled

WHERE = "eu/alpenladen/support/eu-chat"
UNKNOWN = "0123456789abcdef"


class Page:
    """A region's folder with a page that a test writes, and the commands that look at it."""

    def __init__(self, root, plan=PLAN):
        self.home = Home(root)
        self.place = self.home.region("eu")
        self.place.make()
        if plan is not None:
            self.home.plan.write_text(plan)
        self.writer = PageWriter(self.place.page)
        self.version = 0
        self.beating = False
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.beat)
        self.thread.start()

    def beat(self):
        """However slow the machine is, the table is fresh for as long as a test wants it to be."""
        while not self.over.wait(0.1):
            with self.lock:
                if self.beating:
                    self.writer.beat()

    def show(self, *shut, drills=(), everywhere=None, beat=True):
        with self.lock:
            self.version += 1
            self.writer.publish(Shown(Table("eu", self.version, "ab" * 32, shut, drills=drills), everywhere))
            self.beating = beat
            if beat:
                self.writer.beat()
            if everywhere is not None:
                self.writer.beat_global()

    def close(self):
        self.over.set()
        self.thread.join()
        self.writer.close()

    def run(self, *args, code):
        env = {"FIREDOOR_HOME": str(self.home.root), "COLUMNS": "200"}
        result = CliRunner().invoke(switches_show.app, list(args), env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    def region(self, *args, code):
        (state,) = json.loads(self.run("--json", *args, code=code))["regions"]
        return state

    @contextlib.contextmanager
    def later(self, *steps, seconds=0.3):
        """Do `steps` one after the other while the block runs."""

        def go():
            for step in steps:
                time.sleep(seconds)
                step()

        thread = threading.Thread(target=go)
        thread.start()
        try:
            yield
        finally:
            thread.join()


@pytest.fixture
def page():
    folder = Path(tempfile.mkdtemp(prefix="fd"))  # a Unix socket's path is short
    made = Page(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def switch(scope, *keys, reason="operator", **more):
    return Switch(Scope.parse(scope), reason, 1_800_000_000.0, keys, **more)


def test_open_is_0_and_says_so(page):
    page.show()
    assert page.run(code=0).startswith("eu: all open (table version 1, ")
    assert page.region(code=0)["shut"] == []


def test_who_shut_what_and_why(page):
    ana = key_id(load(page.home.plan).plan.people["ana"])
    page.show(
        switch("eu/alpenladen/search", reason="leak", exchange="fx-1", incident="inc-7"),
        switch(WHERE, ana),
        switch("eu/other", UNKNOWN, ana),
    )
    told = page.run(code=3)
    assert "eu: something is shut (table version 1" in told
    assert f"{WHERE}  shut  since 2027-01-15T08:00:00.000Z  by ana  operator" in told
    assert "eu/alpenladen/search/*  shut  since 2027-01-15T08:00:00.000Z  by firedoor  leak  incident inc-7" in told
    rows = page.region(code=3)["shut"]
    assert [(row["scope"], row["by"]) for row in rows] == [
        (WHERE.replace("support/eu-chat", "search/*"), ["firedoor"]),
        (WHERE, ["ana"]),
        ("eu/other/*/*", [UNKNOWN, "ana"]),
    ]
    assert (rows[0]["exchange"], rows[0]["incident"], rows[0]["layer"]) == ("fx-1", "inc-7", "region")


def test_without_a_plan_it_names_keys(page):
    page.home.plan.write_text("firedoor: 1\n  nonsense")
    page.show(switch(WHERE, UNKNOWN))
    assert f"by {UNKNOWN}" in page.run(code=3)


def test_a_drill_is_a_layer_of_its_own(page):
    page.show(drills=(switch(WHERE, drill="black-friday"),))
    assert "drill black-friday" in page.run(code=3)
    (row,) = page.region(code=3)["shut"]
    assert (row["layer"], row["drill"]) == ("drill", "black-friday")


def test_switches_of_all_regions_stand_once_with_the_age_of_their_table(page):
    page.home.plan.write_text(PLAN + "switches: {home: us}\n")
    page.show()
    assert "no table of region us has come yet" in page.run(code=0)
    everywhere = GlobalTable("us", 12, (switch("*/alpenladen"),))
    page.show(switch("*/alpenladen"), everywhere=everywhere)
    told = page.run(code=3)
    assert told.count("*/alpenladen/*/*") == 1
    assert "switches of all regions: table version 12 of region us, " in told
    state = page.region(code=3)
    assert (state["home"], state["global_version"], state["shut"][0]["layer"]) == ("us", 12, "global")


def test_a_global_table_that_never_came_is_too_old_where_the_plan_asks_for_one(page):
    plan = PLAN.replace("    deadline: 2s\n", "    deadline: 2s\n    global_lease: 60s\n")
    page.home.plan.write_text(plan + "switches: {home: us}\n")
    page.show()
    state = page.region(code=4)
    assert (state["state"], state["global_stale"]) == ("stale", True)
    page.show(everywhere=GlobalTable("us", 1))
    assert page.region(code=0)["global_age_s"] < 60


def test_stale_is_4_whatever_is_shut(page):
    assert page.region(code=4)["age_s"] is None
    page.show(switch(WHERE), beat=False)
    state = page.region(code=4)
    assert (state["state"], len(state["shut"])) == ("stale", 1)
    assert "STALE" in page.run(code=4)


def test_the_shut_file_counts_without_a_table_that_knows_it(page):
    page.show()
    page.place.shut_file.touch()
    assert "SHUT file: all of eu is shut" in page.run(code=3)
    page.place.shut_file.unlink()
    page.place.latch_file.touch()
    assert page.region(code=3)["shut_file"] is True


def test_options_in_front_of_a_command_are_refused_and_not_ignored(page):
    page.run("--region", "eu", "watch", "--once", code=2)


def test_watch_once_says_what_switches_says(page):
    page.show(switch(WHERE))
    (line,) = page.run("watch", "--once", "--json", code=3).splitlines()
    told = json.loads(line)
    assert (told["state"], told["regions"][0]["control"], told["regions"][0]["hosts"]) == ("shut", False, [])
    assert told["regions"][0]["shut"] == page.region(code=3)["shut"]
    assert abs(told["at"] - time.time()) < 60
    said = page.run("watch", "--once", code=3)
    assert "eu: shut, table version 1, " in said
    assert "control does not answer" in said


def test_watch_until_it_is_so(page):
    page.show()
    with page.later(lambda: page.show(switch(WHERE))):
        lines = page.run("watch", "--json", "--until", "shut", "--timeout", "20", code=3).splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["open", "shut"]
    with page.later(page.show):
        page.run("watch", "--until", "open", "--timeout", "20", code=0)
    with page.later(page.place.shut_file.touch):
        told = page.run("watch", "--until", "changed", "--timeout", "20", code=3)
    assert [line.split()[2] for line in told.splitlines()] == ["open,", "shut,"]
    assert page.run("watch", "--until", "open", "--timeout", "0.3", code=5)
    page.run("watch", "--timeout", "0.1", code=3)
    lines = page.run("watch", "--json", "--every", "0.1", "--timeout", "0.55", code=3).splitlines()
    assert len(lines) >= 3
    page.place.shut_file.unlink()
    page.beating = False
    page.run("watch", "--until", "stale", "--timeout", "20", code=4)


def test_watch_survives_a_page_that_is_replaced(page):
    page.show()

    def replace():
        page.place.page.unlink()
        page.show(switch(WHERE))

    with page.later(replace):
        page.run("watch", "--until", "shut", "--timeout", "20", code=3)


def test_ctrl_c_ends_with_the_code_of_the_last_state(page):
    page.show(switch(WHERE))
    arguments = ["switches", "watch", "--json", "--until", "open", "--home", str(page.home.root)]
    watch = subprocess.Popen(
        [sys.executable, "-m", "firedoor", *arguments],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (no threads here)
    )
    with contextlib.closing(watch.stdout):
        assert json.loads(watch.stdout.readline())["state"] == "shut"
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 3


def host(name="a", **more):
    values = {"seen_ago_s": 0.1, "version": 3, "beat": 1, "global_version": -1, "age_ms": 100, "refused": ""}
    return shapes.Host(name=name, **{**values, "workers": 2, "latched": False, "kept": 0, **more})


def test_hosts_are_remembered_when_control_was_started_again():
    book = HostBook(fresh=2.0)
    assert book.rows(0.0) == ()
    book.take(shapes.Hosts("eu", (host("a"), host("b", version=-1, age_ms=NO_AGE))), 10.0)
    assert [(row.name, row.state, row.age_s) for row in book.rows(11.0)] == [("a", "ok", 0.2), ("b", "stale", None)]
    book.take(shapes.Hosts("eu", (host("b"),)), 11.0)
    assert [row.state for row in book.rows(11.0)] == ["ok", "ok"]
    book.take(shapes.Hosts("eu", (host("b"),)), 12.5)
    assert [(row.state, row.silent_s) for row in book.rows(12.6)] == [("missing", 2.6), ("ok", 0.1)]
    assert [row.state for row in book.rows(15.4)] == ["missing", "ok"]
    assert [row.state for row in book.rows(15.6)] == ["unknown", "unknown"]
    assert not book.answers(15.6)


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "ok"),
        ({"seen_ago_s": 1.9, "age_ms": 50}, "ok"),
        ({"seen_ago_s": 2.1}, "missing"),
        ({"age_ms": 1_800}, "ok"),
        ({"age_ms": 2_000}, "stale"),
        ({"refused": "older"}, "refuses"),
        ({"refused": "older", "seen_ago_s": 3.0}, "missing"),
    ],
)
def test_how_a_host_does(more, state):
    book = HostBook(fresh=2.0)
    book.take(shapes.Hosts("eu", (host(**more),)), 1.0)
    assert book.rows(1.0)[0].state == state


@pytest.fixture
def controlled(page):
    with Controlled(page.place.root).running() as made:
        yield made


def hosts_of(told):
    return {row["name"]: row["state"] for row in json.loads(told)["regions"][0]["hosts"]}


def test_the_machine_of_control_alone_tells_what_control_knows(page, controlled):
    assert "as control says: this machine has no page" in page.run(code=0)
    controlled.hear("shop-1")
    controlled.hear("shop-2")
    told = page.run("watch", "--once", "--json", code=0)
    assert hosts_of(told) == {"shop-1": "ok", "shop-2": "ok"}
    assert json.loads(told)["regions"][0]["source"] == "control"
    controlled.clock += 3
    controlled.hear("shop-1", refused="older")
    told = page.run("watch", "--once", code=4)
    assert "shop-1: version " in told
    assert "REFUSES newer tables: older" in told
    assert "MISSING: silent for 3 s" in told


def test_a_shut_file_of_another_host_is_told_and_shut(page, controlled):
    controlled.hear("shop-1", latched=True)
    told = page.run("watch", "--once", code=3)
    assert "its SHUT file is there" in told
    assert page.region(code=3)["shut"][0]["reason"] == "file"


def test_watch_hears_of_hosts_that_go(page, controlled):
    controlled.hear("shop-1")

    def silence():
        controlled.clock += 3

    with page.later(silence):
        page.run("watch", "--until", "changed", "--timeout", "20", code=4)


def test_the_table_on_a_terminal_shows_names_as_they_are(page):
    page.show(switch(WHERE), switch("eu/*", incident="[red]x"))
    page.place.shut_file.touch()
    watcher = switches_watch.Watcher([page.place], switches_show.Known(page.home))
    watcher._places[0][2].take(
        shapes.Hosts("eu", (host("shop-1"), host("shop-2", refused="split", kept=2, version=-1))), time.monotonic()
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(switches_watch._drawn(watcher.look()))
    told = console.export_text()
    for part in (
        "SHUT file",
        WHERE,
        "[red]x",
        "shop-1",
        "2 workers",
        "split",
        "keeps 2 shut",
    ):
        assert part in told
    assert math.isclose(watcher.look()[0].hosts[0].silent_s, 0.1, abs_tol=0.05)

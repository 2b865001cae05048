"""`firedoor doctor`: right about a sound installation that does not run, and about every way it can be broken."""

import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from firedoor.agent.page import PageWriter
from firedoor.app import doctor, hostcheck
from firedoor.app.identity import REGION_SLOT
from firedoor.app.regionkeys import open_region
from firedoor.app.sealed import What, collect, seal
from firedoor.core.switches import Shown, Table
from firedoor.keys.manifest import Signer
from firedoor.models import installed, shipped
from firedoor.store.planfile import load
from tests.cli.home import PLAN, app, furnish

SIGNER = Signer(ec.generate_private_key(ec.SECP256R1()))
ORDERS = What("dataset", "orders")


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def home(tmp_path):
    """A sound installation: its weights and dataset are sealed where the plan says."""
    home = furnish(tmp_path / "home")
    (tmp_path / "w").write_bytes(b"GGUF weights")
    (tmp_path / "rows").write_bytes(b"rows " * 10_000)
    sealed(home, tmp_path / "w", "w.sealed", What("model", "eu-chat"), SIGNER)
    sealed(home, tmp_path / "rows", "orders.sealed", ORDERS, None)
    return home


def sealed(home, source: Path, name: str, what: What, signer: Signer | None, region: str = "eu") -> None:
    ring = open_region(home.region(region), load(home.plan), home.root)
    seal(collect([source]), home.root / name, what, ring, signer)


def look(home, *options: str) -> tuple[int, dict[tuple[str, str], tuple[str, str]]]:
    """Exit status; level and remedy by region and text."""
    ran = CliRunner().invoke(app, ["doctor", "--home", str(home.root), "--json", *options])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    found = json.loads(ran.stdout)
    assert found["ok"] is (ran.exit_code == 0)
    assert all(check["remedy"] for check in found["checks"] if check["level"] != "ok")
    return ran.exit_code, {(c["region"] or "", c["what"]): (c["level"], c["remedy"]) for c in found["checks"]}


def level(found, region: str, begins: str) -> str:
    levels = [level for (where, what), (level, _) in found.items() if where == region and what.startswith(begins)]
    assert len(levels) == 1, (begins, found)
    return levels[0]


def failed(found) -> list[str]:
    return sorted(f"{where} {what}".strip() for (where, what), (level, _) in found.items() if level == "FAIL")


def test_a_sound_installation_that_does_not_run(home):
    code, found = look(home)
    assert (code, failed(found)) == (0, [])
    for region, begins, expected in (
        ("", "plan: alpenladen", "ok"),
        ("", "personal data: weights of version", "ok"),
        ("eu", "files", "ok"),
        ("eu", "keys: The root is a file", "warn"),
        ("eu", "model eu-chat: sealed and signed, 1 file(s)", "ok"),
        ("eu", "model eu-chat: does not run", "warn"),
        ("eu", "dataset orders: sealed; nobody signed it", "ok"),
        ("us", "dataset vectors", "warn"),
        ("us", "model us-chat: does not answer (refused)", "warn"),
        ("eu", "control: does not run", "warn"),
        ("eu", "gateway: does not run", "warn"),
        ("eu", "agent: has not run yet", "warn"),
    ):
        assert level(found, region, begins) == expected


def test_it_changes_nothing(home):
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path != home.root}
    look(home)
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path != home.root} == before


def test_one_region_only(home):
    _, found = look(home, "--region", "us")
    assert {where for where, _ in found} == {"", "us"}
    code, found = look(home, "--region", "mars")
    assert (code, failed(found)) == (1, ["plan: no region mars"])


def test_for_people(home):
    ran = CliRunner().invoke(app, ["doctor", "--home", str(home.root)])
    assert ran.exit_code == 0
    lines = ran.output.splitlines()
    assert "ok    eu: dataset orders: sealed; nobody signed it, 1 file(s)" in lines
    assert "warn  eu: control: does not run" in lines
    assert lines[-1].startswith("0 failed, ")


def test_nothing_there_at_all(tmp_path):
    class Nowhere:
        root = tmp_path / "none"

    code, found = look(Nowhere)
    assert code == 1
    assert failed(found)[0].startswith("plan:")


def test_a_broken_plan(home):
    home.plan.write_text(PLAN.replace('listen: "127.0.0.1:2"', 'listen: "127.0.0.1:1"'))
    home.region("eu").root.chmod(0o755)
    code, found = look(home)
    assert code == 1
    assert [what.partition(":")[0] for what in failed(found)] == ["eu files", "plan"]


def test_a_surface_whose_deep_model_is_not_installed(home, monkeypatch):
    home.plan.write_text(PLAN.replace("    deadline: 2s", "    deadline: 2s\n    personal_data: {deep: unsure}"))
    monkeypatch.setattr(installed, "DISTRIBUTION", "no-such-distribution")
    code, found = look(home)
    assert (code, failed(found)) == (1, ["surface support: fallbacks only: The deep model is not installed."])


def test_damaged_weights(home, monkeypatch):
    monkeypatch.setattr(shipped, "CARD", "no-such-file")
    code, found = look(home)
    assert code == 1
    assert "no-such-file is missing" in failed(found)[0]


def test_an_installation_that_was_never_started(tmp_path):
    root = tmp_path / "home"
    root.mkdir()
    (root / "plan.yaml").write_text(PLAN)

    class Fresh:
        pass

    Fresh.root = root
    code, found = look(Fresh)
    assert code == 1  # the plan names weights that are not there
    assert level(found, "eu", "was never started") == "warn"


def test_a_dataset_in_clear(home):
    (home.root / "orders.sealed").write_bytes(b"rows " * 100)
    code, found = look(home)
    assert (code, len(failed(found))) == (1, 1)
    assert failed(found)[0].startswith("eu dataset orders: The file is not sealed")


def test_a_dataset_that_another_region_sealed(home, tmp_path):
    (home.root / "orders.sealed").unlink()
    sealed(home, tmp_path / "rows", "orders.sealed", ORDERS, None, region="us")
    code, found = look(home)
    assert (code, len(failed(found))) == (1, 1)
    (home.root / "orders.sealed").unlink()
    sealed(home, tmp_path / "rows", "orders.sealed", ORDERS, SIGNER, region="us")
    assert failed(look(home)[1]) == [
        "eu dataset orders: dataset orders is sealed for region us; region eu does not open it."
    ]


def test_a_dataset_nobody_sealed_here_makes_no_key(home):
    home.plan.write_text(PLAN.replace("  orders:", "  invoices:"))
    code, found = look(home)
    assert (code, failed(found)) == (1, ["eu dataset invoices: this region never sealed it"])
    assert failed(look(home)[1]) == failed(found)


@pytest.mark.parametrize("cut", [0, 30, 56, 5000])
def test_a_dataset_cut_off(home, cut):
    path = home.root / "orders.sealed"
    path.write_bytes(path.read_bytes()[:cut])
    code, found = look(home)
    assert code == 1
    assert [what.partition(":")[0] for what in failed(found)] == ["eu dataset orders"]


@pytest.mark.parametrize("name", ["w.sealed.sig", "w.sealed.pub", "w.sealed"])
def test_weights_whose_signature_does_not_hold(home, name):
    path = home.root / name
    path.write_bytes(path.read_bytes()[:-3] + b"!!!")
    code, found = look(home)
    assert code == 1
    assert [what.partition(":")[0] for what in failed(found)] == ["eu model eu-chat"]
    path.unlink()
    assert look(home)[0] == 1


@pytest.mark.parametrize("name", ["ring.json", "root.json"])
@pytest.mark.parametrize("how", ["gone", "damaged", "open"])
def test_keys(home, name, how):
    path = home.region("eu").keys / name
    if how == "gone":
        path.unlink()
    elif how == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.chmod(0o644)
    code, found = look(home)
    assert code == 1
    assert any(what.startswith(("eu keys", "eu model", "eu dataset")) for what in failed(found))
    assert level(found, "us", "dataset vectors") == "warn"


@pytest.mark.parametrize("name", [".", "credentials.json", "run/eu-chat.key"])
def test_files_others_can_read(home, name):
    path = home.region("eu").root / name
    if not path.exists():
        path.write_bytes(b"{}")
    path.chmod(0o755)
    code, found = look(home)
    assert (code, len(failed(found))) == (1, 1)
    assert "other users have access" in failed(found)[0]


def test_what_runs(home):
    place = home.region("eu")
    control = socket.socket(socket.AF_UNIX)
    control.bind(str(place.control_socket))
    control.listen()
    page = PageWriter(place.page)
    page.publish(Shown(Table(region="eu", version=1, plan="0" * 64)))
    page.beat()
    try:
        _, found = look(home)
        assert level(found, "eu", "control") == "ok"
        assert level(found, "eu", "switches") == "ok"
    finally:
        page.close()
        control.close()
    _, found = look(home)
    assert level(found, "eu", "control") == "warn"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no address"])
def test_a_model_address_that_is_none(home, content):
    """As a full disk leaves one: one finding more, and all others as before."""
    run = home.region("eu").run
    (run / "eu-chat.key").write_bytes(b"key")
    (run / "eu-chat.key").chmod(0o600)
    (run / "eu-chat.url").write_bytes(content)
    code, found = look(home)
    assert (code, failed(found)) == (1, ["eu model eu-chat: its address or key cannot be read"])
    assert level(found, "us", "control") == "warn"


def tell(home, **status: object) -> None:
    fresh = {"at": int(time.time()), "logs": [{"slot": "worker-0", "state": "ok"}], "index": {"indexed": 3}}
    (home.region("eu").logs / "status.json").write_text(json.dumps(fresh | status))


def test_an_agent_that_has_just_died_does_not_run(home):
    """Its last words are seconds old and fine; the lock of its journal slot is what tells."""
    tell(home)
    _, found = look(home)
    assert level(found, "eu", "agent: does not run, last heard of ") == "warn"
    slot = home.region("eu").journal(REGION_SLOT)
    slot.mkdir()
    with (slot / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, found = look(home)
        assert not any(what.startswith("agent") for where, what in found if where == "eu")
        tell(home, at=int(time.time()) - 3600)
        code, found = look(home)
        assert (code, level(found, "eu", "agent: hangs, last heard of 360")) == (1, "FAIL")
    assert level(look(home)[1], "eu", "agent: does not run") == "warn"


@pytest.mark.parametrize(
    ("body", "expected", "says"),
    [
        (b'{"region": "eu", "journal": "ok"}', "ok", "answers"),
        (b'{"region": "eu", "journal": "poisoned"}', "FAIL", "gives fallbacks only"),
        (b'{"region": "us", "journal": "ok"}', "FAIL", "the gateway of region us answers on"),
        (b"<html>", "FAIL", "another program answers on"),
        (b"", "FAIL", "another program answers on"),
    ],
)
def test_what_answers_where_the_gateway_should(home, body, expected, says):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)

        thread = threading.Thread(target=serve)
        thread.start()
        home.plan.write_text(PLAN.replace("127.0.0.1:1", f"127.0.0.1:{server.getsockname()[1]}"))
        _, found = look(home, "--region", "eu")
        thread.join(5)
    assert level(found, "eu", f"gateway: {says}") == expected


def test_what_the_agent_says(home):
    tell(home)
    _, found = look(home)
    assert level(found, "eu", "logs: 1, signed up to date") == "ok"
    tell(home, logs=[{"slot": "a", "state": "refused", "reason": "journal_differs"}, {"slot": "b", "state": "waiting"}])
    code, found = look(home)
    assert (code, level(found, "eu", "log a: refused (journal_differs)"), level(found, "eu", "log b")) == (
        1,
        "FAIL",
        "warn",
    )
    tell(home, witnesses=[{"name": "us", "reason": "unreachable"}], timestamp={"reason": "refused"})
    _, found = look(home)
    assert (level(found, "eu", "us: unreachable"), level(found, "eu", "time stamps: refused")) == ("warn", "warn")
    tell(home, index={"problem": "database", "damaged": ["worker-0"]})
    code, found = look(home)
    assert (code, level(found, "eu", "index: the journal of worker-0"), level(found, "eu", "index: database")) == (
        1,
        "FAIL",
        "warn",
    )
    (home.region("eu").logs / "status.json").write_text("[")
    code, found = look(home)
    assert (code, level(found, "eu", "agent: its status file")) == (1, "FAIL")


@pytest.mark.parametrize(
    ("free", "seconds", "levels"),
    [
        (100 << 30, 0.001, ("ok", "ok")),
        (1 << 30, 10e-6, ("warn", "warn")),
        (1 << 20, 0.1, ("FAIL", "warn")),
    ],
)
def test_disks(home, monkeypatch, free, seconds, levels):
    monkeypatch.setattr(hostcheck.shutil, "disk_usage", lambda _: Usage(0, 0, free))
    monkeypatch.setattr(hostcheck, "_measure", lambda _: seconds)
    found = look(home)[1]
    space = next(level for (_, what), (level, _) in found.items() if what.endswith("GiB free"))
    assert (space, level(found, "", "disk: a sync takes")) == levels


def test_a_disk_that_takes_nothing(home, monkeypatch):
    def refuse(_: Path) -> float:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(hostcheck, "_measure", refuse)
    code, found = look(home)
    assert (code, failed(found)) == (1, ["disk: cannot be written: Read-only file system"])


def test_a_clock_that_went_back(home):
    slot = home.region("eu").journal("worker-0")
    slot.mkdir(exist_ok=True)
    later = time.time() + 7200
    (slot / "00000000000000000001.journal").write_bytes(b"")
    os.utime(slot / "00000000000000000001.journal", (later, later))
    code, found = look(home)
    assert code == 1
    assert any(what.startswith("clock: it is ") for what in failed(found))


def test_swap_matters_to_sealed_weights_only(home, tmp_path, monkeypatch):
    assert any(what.startswith("swap") for _, what in look(home)[1])
    home.plan.write_text(PLAN.replace(", weights: w.sealed, sealed: true", ""))
    assert not any(what.startswith("swap") for _, what in look(home)[1])


def test_findings_name_no_secret(home):
    secret = json.loads((home.region("eu").keys / "root.json").read_bytes())["secrets"]
    ran = CliRunner().invoke(app, ["doctor", "--home", str(home.root)])
    assert secret
    assert not any(value in ran.output for value in secret.values())
    assert doctor.ANSWER_SECONDS <= 5

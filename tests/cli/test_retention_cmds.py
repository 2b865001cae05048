"""The commands of a DPO and of an SRE: erase a shopper, put and end holds, expire."""

import json
import time

import pytest
import typer
from typer.testing import CliRunner

from firedoor.app.housekeeping import archive
from firedoor.cli import retention_cmds
from firedoor.core.evidence.retention import DAY, HOUR
from firedoor.errors import ActRefused, SetupError
from firedoor.store.holds import load
from tests.cli.home import furnish
from tests.rooms.archives import Archive

SHOPPER, OTHER = "shopper-4711", "shopper-0815"


def commands():
    app = typer.Typer()
    app.command("erase-subject")(retention_cmds.erase_subject)
    app.command()(retention_cmds.expire)
    app.add_typer(retention_cmds.hold_app, name="hold")
    return app


class House:
    """Region eu with what two shoppers left, on the real clock."""

    def __init__(self, root):
        self.home = furnish(root)
        self.region = Archive(root)
        self.region.now = time.time_ns() // 1000
        worker = self.region.ring.worker()
        self.lookup = worker.pseudonym("subject", SHOPPER)
        other = worker.pseudonym("subject", OTHER)
        old, new = self.region.now - 40 * DAY, self.region.now
        self.region.write(
            self.region.record("fx-old", self.lookup, old),
            self.region.record("fx-new", self.lookup, new),
            self.region.record("fx-other", other, new),
        )

    def run(self, *arguments, status=0, region="eu"):
        """What it printed. Errors raised on purpose come through."""
        more = ["--home", str(self.home.root), *(["--region", region] if region else [])]
        result = CliRunner().invoke(commands(), [*arguments, *more])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return [json.loads(line) for line in result.stdout.splitlines()] if "--json" in arguments else result.output

    def refused(self, code, *arguments):
        with pytest.raises(ActRefused) as refusal:
            self.run(*arguments)
        assert refusal.value.code == code
        assert refusal.value.remedy
        return refusal.value


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.delenv("FIREDOOR_ROOT_PASSPHRASE", raising=False)
    return House(tmp_path / "home")


def test_a_shopper_is_erased_and_the_person_is_told_what_backups_still_hold(house):
    text = house.run("erase-subject", SHOPPER)
    assert "Keys destroyed: 1, bodies blanked: 2." in text
    assert "firedoor keys new-epoch --region eu" in text
    assert SHOPPER not in text
    assert house.region.readable() == {"fx-other"}
    begun, done = house.region.records("erasure")
    assert (begun.facts["reason"], done.facts["state"]) == ("request", "done")
    house.region.verify()


def test_a_pseudonym_alone_will_do_and_json_tells_counts(house):
    (told,) = house.run("erase-subject", "--pseudonym", house.lookup, "--reason", "objection", "--json")
    assert told == {"region": "eu", "keys": 1, "bodies": 2, "epoch": 1, "epoch_days": 0}


def test_a_stranger_is_refused_and_nothing_is_recorded(house):
    house.refused("unknown_subject", "erase-subject", "shopper-9999")
    assert house.region.records("erasure") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("erase-subject",),
        ("erase-subject", SHOPPER, "--pseudonym", "0" * 32),
        ("erase-subject", "--pseudonym", "xyz"),
        ("erase-subject", "x" * 1025),
        ("erase-subject", SHOPPER, "--reason", "she asked for it"),
        ("hold", "add", "--incident", "Ms Ber's case", "--reason", "x", "--exchange", "fx-new"),
        ("hold", "add", "--incident", "INC-7", "--reason", "x", "--surface", "support"),
        ("hold", "add", "--incident", "INC-7", "--reason", "x", "--since", "2h"),
        ("hold", "add", "--incident", "INC-7", "--reason", "x", "--surface", "support", "--since", "2026-11-23T04:00"),
        ("hold", "add", "--incident", "INC-7", "--reason", "x", "--surface", "support", "--since", "noon"),
        (
            "hold",
            "add",
            "--incident",
            "INC-7",
            "--reason",
            "x",
            "--surface",
            "support",
            "--since",
            "1h",
            "--until",
            "2h",
        ),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_touched(house, arguments):
    house.run(*arguments, status=2)
    assert not archive(house.region.place).holds.exists()
    assert house.region.records("hold") == house.region.records("erasure") == []


def test_a_hold_makes_an_erasure_wait_and_the_list_reminds(house):
    (hold,) = house.run(
        "hold", "add", "--incident", "INC-7", "--exchange", "fx-new", "--reason", "the court asks", "--json"
    )
    assert (hold["incident"], hold["exchanges"], hold["recorded"]) == ("INC-7", ["fx-new"], True)
    refusal = house.refused("held", "erase-subject", SHOPPER)
    assert hold["id"] in str(refusal)
    text = house.run("hold", "list")
    assert f"WAITS for {hold['id']}" in text
    assert f"firedoor keys erase-subject --pseudonym {house.lookup} --region eu" in text
    assert "the court asks" not in text
    assert house.region.readable() == {"fx-old", "fx-new", "fx-other"}
    text = house.run("hold", "end", hold["id"], "--reason", "the court is done")
    assert f"{hold['id']} has ended" in text
    assert house.lookup in text
    assert "fx-new" in house.region.readable()  # nothing is done without a person
    house.run("erase-subject", "--pseudonym", house.lookup)
    assert house.region.readable() == {"fx-other"}
    assert [leaf.facts["state"] for leaf in house.region.records("hold")] == ["begun", "ended"]
    assert "WAITS" not in house.run("hold", "list")


def test_a_hold_on_a_shopper_and_on_a_surface(house):
    (one,) = house.run("hold", "add", "--incident", "INC-7", "--subject", SHOPPER, "--reason", "x", "--json")
    assert one["subjects"] == [house.lookup]
    (two,) = house.run(
        "hold", "add", "--incident", "INC/8#2", "--surface", "support", "--since", "2h", "--until", "2099-01-01T00:00Z",
        "--reason", "x", "--json",
    )  # fmt: skip
    assert two["windows"][0]["until"] - two["windows"][0]["since"] > 365 * DAY
    assert {line["id"] for line in house.run("hold", "list", "--json")} == {one["id"], two["id"]}
    house.refused("held", "erase-subject", OTHER)


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        (("--exchange", "fx-nowhere"), "unknown_exchange"),
        (("--subject", "shopper-9999"), "unknown_subject"),
        (("--surface", "suport", "--since", "2h"), "unknown_surface"),
        ((), "empty_hold"),
    ],
)
def test_a_hold_that_would_keep_nothing_is_refused(house, scope, code):
    house.refused(code, "hold", "add", "--incident", "INC-7", "--reason", "x", *scope)


def test_a_hold_needs_words(house):
    house.refused("no_reason", "hold", "add", "--incident", "INC-7", "--exchange", "fx-new", "--reason", " ")
    house.refused("no_reason", "hold", "end", "hold-1", "--reason", "x" * 1001)


def test_expiry_obeys_the_plan_and_does_not_trust_a_clock_that_jumped(house):
    house.run("expire")
    assert house.region.readable() == {"fx-new", "fx-other"}  # 30 days, as surfaces have it unless they say more
    house.region.expire(3000, now=time.time_ns() // 1000 - 2 * DAY)
    text = house.run("expire", status=1)
    assert "--confirm-clock" in text
    (told,) = house.run("expire", "--confirm-clock", "--json")
    assert (told["refused"], told["hours"], told["clock"]) == (False, 0, "ahead")
    house.region.expire(3000, now=time.time_ns() // 1000 + HOUR)
    assert "behind the last run" in house.run("expire")


def test_expiry_says_what_a_hold_keeps(house):
    house.run("hold", "add", "--incident", "INC-7", "--exchange", "fx-old", "--reason", "x")
    (told,) = house.run("expire", "--json")
    assert (told["kept"], told["hours"]) == (1, 0)
    assert "a legal hold keeps bodies: 1." in house.run("expire")
    assert "fx-old" in house.region.readable()


def test_two_regions_need_a_name(house):
    with pytest.raises(SetupError, match="--region"):
        house.run("expire", region=None)


def test_a_waiting_erasure_is_kept_until_it_is_done(house):
    house.run("hold", "add", "--incident", "INC-7", "--exchange", "fx-new", "--reason", "x")
    for _ in range(2):
        house.refused("held", "erase-subject", SHOPPER)
    (waiting,) = load(house.region.place.holds).erasures_pending
    (line,) = (line for line in house.run("hold", "list", "--json") if "erasure" in line)
    assert line["erasure"]["state"] == waiting.state == "held"
    assert line["erasure"]["by"].startswith("uid:")

"""`firedoor cache`: looking, purging and putting in quarantine on a host, with a root that may be out of reach."""

import json

import pytest
import typer
from typer.testing import CliRunner

from firedoor.agent.page import PageWriter
from firedoor.api.incident_shapes import Unsealed, UnsealedCase
from firedoor.cli.cache_cmds import app
from firedoor.cli.incident_client import IncidentClient
from firedoor.cli.main import app as firedoor
from firedoor.core.cache import Source, partition_of
from firedoor.core.plan.model import CacheRules
from firedoor.core.plan.words import Duration
from firedoor.core.switches import Scope, Shown, Table
from firedoor.errors import ActRefused, ControlUnreachable, KeyUnusable, SetupError, StateDamaged
from firedoor.store.cache import CacheFile
from firedoor.store.cache_rows import PURPOSE
from tests.cli.home import furnish
from tests.rooms.archives import Archive

SHOPPER, OTHER, SESSION = "shopper-4711", "shopper-0815", "session-1"
RULES = CacheRules(scope="surface", ttl=Duration(3600))


class House:
    """Region eu with three cached answers: two of a shopper's session, one of somebody else."""

    def __init__(self, root):
        self.home = furnish(root)
        self.region = Archive(root)
        self.keys = self.region.ring.worker()
        self.cache = CacheFile(self.region.place.cache, self.keys.protect.subkey(PURPOSE))
        for number, (shopper, session) in enumerate([(SHOPPER, SESSION), (SHOPPER, SESSION), (OTHER, "session-2")]):
            request = asking(number)
            source = Source(
                exchange=f"fx-{number}",
                subject=self.keys.pseudonym("subject", shopper),
                session=self.keys.pseudonym("session", session),
            )
            assert self.cache.keep(part(request), request, "Yes.", source, RULES)

    def run(self, *arguments, status=0, region="eu"):
        """What it printed. Errors raised on purpose come through."""
        more = ["--home", str(self.home.root), *(["--region", region] if region else [])]
        more += ["--yes"] if arguments[0] == "purge" else []  # no control runs here
        result = CliRunner().invoke(app, [*arguments, *more])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return [json.loads(line) for line in result.stdout.splitlines()] if "--json" in arguments else result.output

    def served(self):
        return [number for number in range(3) if self.cache.find(part(asking(number)), asking(number)) is not None]

    def records(self):
        return [leaf.facts for leaf in self.region.records("access")]


def asking(number):
    return {"model": "m", "messages": [{"role": "user", "content": f"Question {number}?"}]}


def part(request):
    return partition_of(
        RULES, Scope("eu", "alpenladen", "support", "eu-chat"), request, subject=None, role=None, granted=(),
        jurisdiction="DE", plan="p", remote_name="m", in_force="r", cache_epoch=0,
    )  # fmt: skip


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.delenv("FIREDOOR_ROOT_PASSPHRASE", raising=False)
    made = House(tmp_path / "home")
    yield made
    made.cache.close()


def test_all_that_came_from_a_session_is_purged_and_put_on_record(house):
    (told,) = house.run("purge", "--session", SESSION, "--json")
    assert told == {"region": "eu", "purged": 2, "recorded": True}
    assert house.served() == [2]
    (facts,) = house.records()
    assert facts.pop("by").startswith("uid:")
    assert facts == {"act": "cache_purge", "state": "done", "entries": 2, "sessions": 1}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--subject", SHOPPER], [2]),
        (["--subject", OTHER], [0, 1]),
        (["--subject", "nobody"], [0, 1, 2]),
        (["--subject", SHOPPER, "--subject", OTHER], []),
        (["--exchange", "fx-1"], [0, 2]),
        (["--shop", "alpenladen", "--surface", "support"], []),
        (["--surface", "account_chat"], [0, 1, 2]),
        (["--since", "1h"], []),
        (["--until", "1h"], [0, 1, 2]),
        (["--until", "2100-01-01T00:00Z", "--session", SESSION], [2]),
        (["--old"], [0, 1, 2]),
        (["--all"], []),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
@pytest.mark.parametrize("command", ["purge", "quarantine"])
def test_what_the_options_choose(house, command, options, left):
    house.run(command, *options)
    assert house.served() == left


def test_a_pseudonym_will_do(house):
    house.run("purge", "--pseudonym", house.keys.pseudonym("subject", SHOPPER))
    assert house.served() == [2]


def test_quarantined_answers_are_evidence_until_they_are_purged_as_such(house):
    assert house.run("quarantine", "--subject", SHOPPER) == "eu: quarantined: 2.\n"
    (told,) = house.run("status", "--json")
    surfaces = [{"shop": "alpenladen", "surface": "support", "served": 1, "over": 0, "quarantined": 2}]
    assert told["surfaces"] == surfaces
    house.run("purge", "--all")
    assert "0 may be given, 0 are over, 2 in quarantine" in house.run("status")
    assert house.run("purge", "--exchange", "fx-0", "--quarantined") == "eu: purged: 1.\n"
    states = [(facts["act"], facts["state"], facts.get("entries")) for facts in house.records()]
    assert states == [
        ("cache_quarantine", "done", 2), ("cache_purge", "done", 1),
        ("cache_purge", "begun", None), ("cache_purge", "done", 1),
    ]  # fmt: skip


def test_no_id_of_a_shopper_stands_in_the_log_or_on_the_screen(house):
    told = house.run("purge", "--subject", SHOPPER, "--session", SESSION)
    log = b"".join(stored.data for stored in house.region.leaves())
    for kind, one in (("subject", SHOPPER), ("session", SESSION)):
        assert one not in told
        assert one.encode() not in log
        assert house.keys.pseudonym(kind, one).encode() not in log


def test_from_before_the_present_cache_epoch(house):
    with_epoch = PageWriter(house.region.place.page)
    with_epoch.publish(Shown(Table("eu", 7, "p", cache_epoch=1)))
    (told,) = house.run("status", "--json")
    assert (told["cache_epoch"], told["surfaces"][0]["over"]) == (1, 3)
    house.run("purge", "--old")
    assert house.served() == []
    with_epoch.close()


def test_without_control_nobody_can_say_whether_a_case_must_be_sealed_first(house):
    with pytest.raises(ControlUnreachable, match="sealed"):
        CliRunner().invoke(
            app, ["purge", "--all", "--region", "eu", "--home", str(house.home.root)], catch_exceptions=False
        )
    assert house.served() == [0, 1, 2]


@pytest.mark.parametrize(
    ("scopes", "options", "refused"),
    [
        (["eu/alpenladen/support/m0"], ["--all"], True),
        (["eu/alpenladen/support/m0"], ["--shop", "alpenladen"], True),
        (["eu/*/*/*"], ["--surface", "search"], True),
        (["eu/alpenladen/support/m0"], ["--exchange", "fx-1"], True),  # wherever it was
        (["eu/alpenladen/support/m0"], ["--shop", "bergsport"], False),
        (["eu/alpenladen/support/m0", "eu/bergsport/*/*"], ["--shop", "bergsport"], True),
        (["eu/alpenladen/support/m0"], ["--surface", "search", "--shop", "alpenladen"], False),
        ([], ["--all"], False),
    ],
)
def test_what_a_case_is_about_is_purged_only_when_it_is_sealed(house, monkeypatch, scopes, options, refused):
    cases = (UnsealedCase("eu-1", tuple(scopes)),) if scopes else ()
    monkeypatch.setattr(IncidentClient, "unsealed", lambda self: Unsealed("eu", cases))
    before = house.served()
    if refused:
        with pytest.raises(ActRefused, match="eu-1") as error:
            house.run("purge", *options)
        assert error.value.code == "not_sealed"
        assert house.served() == before
    else:
        house.run("purge", *options)


def test_at_night_without_keys_the_purge_is_done_and_said_to_be_off_the_record(house):
    (house.region.place.keys / "root.json").unlink()
    assert "it is done, but not on record" in house.run("purge", "--shop", "alpenladen", status=1)
    assert house.served() == []
    (house.home.root / "plan.yaml").unlink()
    house.run("purge", "--all", status=1)
    with pytest.raises((KeyUnusable, SetupError)):
        house.run("purge", "--all", "--quarantined")
    with pytest.raises((KeyUnusable, SetupError)):
        house.run("purge", "--subject", SHOPPER)


def test_a_damaged_cache_is_told_and_all_of_it_can_be_removed(house):
    house.cache.close()
    house.region.place.cache.write_bytes(b"no database at all" * 100)
    (told,) = house.run("status", "--json", status=1)
    assert told["damaged"] is True
    with pytest.raises(StateDamaged):
        house.run("purge", "--shop", "alpenladen")
    house.run("purge", "--all")
    assert not house.region.place.cache.exists()
    house.run("status")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--all", "--shop", "alpenladen"],
        ["--subject", ""],
        ["--subject", "x" * 257],
        ["--pseudonym", "A1" * 16],
        ["--exchange", "fx 1"],
        ["--shop", "Alpenladen"],
        ["--surface", "a/b"],
        ["--since", "yesterday"],
        ["--since", "2026-11-23T04:00"],
        ["--since", "1h", "--until", "2h"],
    ],
    ids=lambda options: " ".join(options)[:40] or "nothing",
)
def test_what_cannot_be_meant_is_refused_and_nothing_goes(house, options):
    for command in ("purge", "quarantine"):
        house.run(command, *options, status=2)
    assert house.served() == [0, 1, 2]


def test_with_several_regions_one_is_named(house):
    assert "eu, us" in house.run("purge", "--all", status=2, region=None)
    assert house.run("status", region=None).count("cache epoch 0") == 2


def test_the_group_is_one_of_firedoors():
    group = typer.main.get_command(firedoor)
    context = group.context_class(group, info_name="firedoor")
    assert sorted(group.get_command(context, "cache").commands) == ["purge", "quarantine", "status"]

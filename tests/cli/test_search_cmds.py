"""`firedoor evidence search` on a real home: what it finds, what it counts, what it refuses."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from firedoor.app.regionkeys import make_region
from firedoor.cli import search_cmds
from firedoor.config import Home
from firedoor.core.evidence.questions import Question
from firedoor.errors import SetupError
from firedoor.store import planfile
from tests.rooms.indexed import Region, Writer

PLAN = Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml"


class House:
    """A home with two regions; one exchange after the other in the first."""

    def __init__(self, home):
        self.home = home
        home.root.mkdir()
        home.plan.write_bytes(PLAN.read_bytes())
        loaded = planfile.load(home.plan)
        self.pseudonyms = {}
        for name in ("eu", "us"):
            place = home.region(name)
            place.make()
            self.pseudonyms[name] = make_region(place, loaded, home.plan.parent).worker().pseudonym
        place = home.region("eu")
        self.writer = Writer(place.journal("w0"), place.subjects, "w0")

    def search(self, *arguments, status=0):
        """Lines of output, as JSON if that was asked for. Errors of ours come through."""
        app = typer.Typer()
        app.command()(search_cmds.search)
        result = CliRunner().invoke(app, ["--home", str(self.home.root), *map(str, arguments)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        self.errors = result.stderr
        lines = result.stdout.splitlines()
        return [json.loads(line) for line in lines] if "--json" in arguments else lines


@pytest.fixture
def house(tmp_path):
    made = House(Home(tmp_path / "home"))
    yield made
    made.writer.close()


def ids(found):
    return [one["exchange"] for one in found]


def test_the_index_is_brought_up_to_date_before_it_answers(house):
    assert house.search("--json") == []
    house.writer.whole("fx-1", 1000)
    assert ids(house.search("--json")) == ["fx-1"]
    house.writer.whole("fx-2", 2000, minimised={"EMAIL": 1}, outcome="minimised")
    (found,) = house.search("--json", "--limit", 1)
    assert found["region"] == "eu"
    assert (found["exchange"], found["outcome"], found["present"]) == ("fx-2", "minimised", ["EMAIL"])
    assert (found["began"], found["last"]) == ("1970-01-01T00:33:20.000Z", "1970-01-01T00:33:21.000Z")


def test_filters(house):
    house.writer.whole("fx-1", 1000)
    house.writer.whole("fx-2", 2000, surface="account_chat", jurisdiction="FR", minimised={"IBAN": 1})
    house.writer.write("intent", "fx-3", 3000, shop="mode", model="eu-2")
    house.writer.write("finding", "fx-1", 1000, rule="honeytoken", verdict="shut")
    for arguments, expected in (
        (("--shop", "mode"), ["fx-3"]),
        (("--surface", "account_chat"), ["fx-2"]),
        (("--model", "eu-2"), ["fx-3"]),
        (("--jurisdiction", "FR"), ["fx-2"]),
        (("--category", "IBAN"), ["fx-2"]),
        (("--outcome", "open"), ["fx-3"]),
        (("--finding", "honeytoken"), ["fx-1"]),
        (("--until", "1970-01-01T00:33:00Z"), ["fx-1"]),
        (("--since", "1970-01-01T01:40:00+01:00"), ["fx-3"]),
        (("--since", "1d"), []),
        (("--region", "us"), []),
    ):
        assert ids(house.search("--json", *arguments)) == expected, arguments


def test_a_shopper_is_found_by_the_id_that_the_shop_uses(house):
    pseudonym = house.pseudonyms["eu"]("subject", "shopper-4711")
    house.writer.whole("fx-1", 1000, subject=int(pseudonym, 16))
    house.writer.whole("fx-2", 2000, subject=5)
    (found,) = house.search("--json", "--subject", "shopper-4711")
    assert (found["exchange"], found["subject"]) == ("fx-1", pseudonym)
    assert house.search("--json", "--subject", "shopper-4712") == []
    assert house.pseudonyms["us"]("subject", "shopper-4711") != pseudonym


def test_summary(house):
    house.writer.whole("fx-1", 1000, subject=1, minimised={"EMAIL": 1}, outcome="minimised")
    house.writer.whole("fx-2", 2000, subject=1)
    house.writer.write("intent", "fx-3", 3000)
    house.writer.write("finding", "fx-1", 1000, subject=1, rule="honeytoken", verdict="shut")
    counts, elsewhere = house.search("--summary", "--json")
    assert counts["region"] == "eu"
    assert (counts["exchanges"], counts["called"], counts["subjects"], counts["no_subject"]) == (3, 3, 1, 1)
    assert counts["outcomes"] == {"answered": 1, "minimised": 1, "open": 1}
    assert (counts["categories"], counts["findings"]) == ({"EMAIL": 1}, {"honeytoken": 1})
    assert counts["read_up_to"] == {"w0": house.writer.scribe.seq}
    assert (elsewhere["region"], elsewhere["exchanges"]) == ("us", 0)
    lines = house.search("--summary", "--region", "eu")
    assert lines[0] == "region eu"
    assert {" ".join(line.split()) for line in lines} >= {
        "exchanges 3", "distinct subjects 1", "exchanges without a subject 1", "exchanges of erased subjects 0",
        "jurisdictions DE 3", "outcomes answered 1, minimised 1, open 1", "findings honeytoken 1",
        "personal data restored in answers none",
    }  # fmt: skip


def test_a_line_for_people(house):
    house.writer.whole("fx-1", 1000, subject=1, outcome="cut", minimised={"EMAIL": 1, "IBAN": 1})
    house.writer.write("finding", "fx-1", 1000, subject=1, rule="honeytoken", verdict="shut")
    house.writer.write("outcome", "fx-1", 1002, subject=1, outcome="cut", reason="leak")
    (line,) = house.search()
    assert line == (
        "1970-01-01T00:16:40.000Z  fx-1  eu/alpenladen/support/eu-chat  DE  00000000000000000000000000000001  "
        "EMAIL,IBAN  cut (leak)  findings=honeytoken"
    )


class TestBesideTheAgent:
    def test_it_reads_what_the_agent_has_indexed(self, house):
        house.writer.whole("fx-1", 1000)
        assert ids(house.search("--json")) == ["fx-1"]
        region = agents_view(house)
        live = region.place.open()
        house.writer.whole("fx-2", 2000)
        assert ids(house.search("--json")) == ["fx-1"]
        live.close()
        assert ids(house.search("--json")) == ["fx-2", "fx-1"]

    def test_a_rebuild_is_asked_of_the_agent(self, house):
        house.writer.whole("fx-1", 1000)
        house.search()
        place = agents_view(house).place
        live = place.open()
        assert ids(house.search("--json", "--rebuild", "--region", "eu")) == ["fx-1"]
        assert "the agent makes the index again" in house.errors
        assert place.rebuild_wanted()
        assert not place.rebuild_wanted()
        live.close()

    def test_no_index_yet(self, house):
        """Another process holds the lock and has not made the database: there is nothing to read."""
        place = agents_view(house).place
        live = place.open()
        house.home.region("eu").state.unlink()
        with pytest.raises(SetupError, match="no state database yet"):
            house.search("--region", "eu")
        live.close()


def agents_view(house):
    """The region's index as its agent opens it."""
    place = house.home.region("eu")
    view = Region.__new__(Region)
    view.folder, view.subjects, view.where = place.run, place.subjects, place.state
    return view


def test_rebuild_without_an_agent(house):
    house.writer.whole("fx-1", 1000)
    house.search()
    assert ids(house.search("--json", "--rebuild", "--region", "eu")) == ["fx-1"]


def test_a_damaged_index_is_made_again_and_that_is_said(house, caplog):
    house.writer.whole("fx-1", 1000)
    house.search()
    state = house.home.region("eu").state
    state.write_bytes(b"not a database " * 1000)
    assert ids(house.search("--json", "--region", "eu")) == ["fx-1"]
    assert "set aside as state.sqlite.damaged" in caplog.text


def test_a_damaged_journal_is_said_and_the_rest_found(house):
    house.writer.whole("fx-1", 1000)
    place = house.home.region("eu")
    (path,) = place.journal("w0").glob("*.journal")
    path.write_bytes(path.read_bytes()[:-9] + b"?" * 9)
    other = Writer(place.journal("w1"), place.subjects, "w1")
    other.whole("fx-2", 1000)
    other.close()
    assert "fx-2" in ids(house.search("--json"))
    assert "eu/w0 cannot be read to its end" in house.errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "neither an age"),
        (("--since", "2026-11-23T04:00"), "neither an age"),
        (("--until", "1960-01-01T00:00:00Z"), "neither an age"),
        (("--until", "99999999d"), "is not an age"),
        (("--since", "1h", "--until", "2h"), "not before"),
        (("--shop", "Alpenladen"), "is not the name of a shop"),
        (("--surface", "../x"), "is not the name of a surface"),
        (("--model", ""), "is not the name of a model instance"),
        (("--jurisdiction", "Germany"), "is not an ISO 3166 code"),
        (("--category", "email"), "is none of PERSON, EMAIL"),
        (("--outcome", "fine"), "is none of answered"),
        (("--finding", "a b"), "is not a rule"),
        (("--subject", ""), "1 to 1024"),
        (("--subject", "x" * 1025), "1 to 1024"),
        (("--limit", 0), "--limit"),
        (("--limit", 10**9), "--limit"),
    ],
)
def test_bad_input(house, arguments, said):
    house.search(*arguments, status=2)
    assert said in " ".join(house.errors.replace("│", " ").split())


def test_unknown_region(house):
    with pytest.raises(SetupError, match="no region mars"):
        house.search("--region", "mars")


def test_no_plan(house):
    """The index still answers; only a shopper's id cannot be looked up without the keys that the plan leads to."""
    house.writer.whole("fx-1", 1000)
    house.home.plan.unlink()
    assert ids(house.search("--json")) == ["fx-1"]
    with pytest.raises(SetupError, match="no plan"):
        house.search("--subject", "shopper-4711")


def test_every_filter_of_a_question_but_the_session_has_an_option(house):
    names = {"since", "until", "shop", "surface", "model", "subject", "jurisdiction", "category", "outcome", "finding"}
    assert set(Question.__struct_fields__) == names | {"session"}

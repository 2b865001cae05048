"""`firedoor protect` as a person meets it: what was given is protected, all of it or nothing, and never shown again."""

import csv
import io
import json

import pytest

from firedoor.app.protection import Protection, Stores
from firedoor.app.regionkeys import open_region
from firedoor.cli import protect_add, protect_cmds
from firedoor.core.plan.model import AnswerRules
from firedoor.errors import ActRefused, SetupError
from firedoor.store.planfile import load
from tests.cli.shielded import CONTRACT, empty, furnish, run, told

CODE = "STAFF-7Q4K-93XD"
PRICES = (
    "sku,name,cost,supplier\nAL-1001,Gratwind Rain Jacket,61.37,Nordkessel GmbH\nAL-1002,Firnlicht Down Jacket,97.45,\n"
)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("protect") / "shop")


@pytest.fixture
def home(furnished, monkeypatch):
    """The installation, with nothing protected."""
    empty(furnished)
    monkeypatch.setenv("FIREDOOR_HOME", str(furnished.root))
    return furnished


@pytest.fixture
def file(home, tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def listed(*keys):
    return [tuple(one[key] for key in keys) for one in told("protect", "list")]


def found(text, *words):
    return [(hit["kind"], hit["set"], hit["view"]) for hit in told("protect", "test", *words, given=text)]


def add(*words, given=""):
    return run("protect", "add", "--region", "eu", *words, given=given)


# --- values ---


def test_values_from_everywhere(file):
    add("--set", "codes", CODE)
    add("--set", "codes", "--file", file("codes.txt", f"\ufeff{CODE}\n\n ERP-OVERRIDE-11 \n"))
    add("--set", "codes", "-", given="Nordkessel GmbH\n")
    assert listed("kind", "set", "masked") == [
        ("value", "codes", "ST…XD"),
        ("value", "codes", "ER…11"),
        ("value", "codes", "No…bH"),
    ]
    assert found(f"it is {CODE.lower()}.") == [("value", "codes", "plain")]
    assert found("nothing") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "codes", "12.40"], "needs at least 8"),
        (["--set", "codes", "123456789"], "bare number"),
        (["--set", "nothing", CODE], "no protected set nothing"),
        (["--set", "codes"], "No values were given"),
    ],
)
def test_values_that_are_refused(home, words, says):
    with pytest.raises(ActRefused, match=says):
        add(*words)
    assert told("protect", "list") == []


def test_a_list_that_is_no_text(file):
    with pytest.raises(SetupError, match=r"byte 1 \(line 1\) is not UTF-8"):
        add("--set", "codes", "--file", file("codes.txt", b"M\xfcnchen rebate\n"))
    with pytest.raises(SetupError, match="cannot be read"):
        add("--set", "codes", "--file", "none.txt")


@pytest.mark.parametrize(
    "words",
    [
        [CODE],  # no set
        ["--set", "codes", CODE, "--document", "a.txt"],
        ["--set", "codes", "--csv", "a.csv", "--catalog", "alpenladen"],
        ["--set", "codes", CODE, "--bind", "sku"],
        ["--set", "costs", "--csv", "a.csv", "--bind", "sku"],
        ["--set", "costs", "--csv", "a.csv", "--column", "cost", "--owner", "email"],
    ],
)
def test_what_does_not_go_together(home, words):
    assert add(*words).exit_code == 2
    assert told("protect", "list") == []


# --- rows ---


def test_rows_of_a_table(file):
    ran = add("--set", "costs", "--csv", file("a.csv", PRICES), "--column", "cost,supplier", "--bind", "sku,name")
    assert "2 rows, 3 values" in ran.output
    assert told("protect", "list") == [
        {"set": "costs", "kind": "rows", "attribute": "cost", "rows": 2, "values": 3},
    ]
    assert [row["kind"] for row in told("protect", "list", "--rows")] == ["row", "row"]
    assert found("The purchase price of the Gratwind Rain Jacket is 61,37 EUR.") == [("amount", "costs", "plain")]
    assert found("The size chart says 61.37 cm.") == []
    assert found("The Gratwind Rain Jacket costs 149.90 EUR.") == []


def test_a_table_that_changed_replaces_its_rows(file):
    words = ("--column", "cost", "--bind", "sku,name")
    add("--set", "costs", "--csv", file("a.csv", PRICES), *words)
    ran = add("--set", "costs", "--csv", file("a.csv", PRICES.replace("61.37", "58.12")), *words)
    assert "2 rows replaced" in ran.output
    assert found("Gratwind Rain Jacket: cost 61.37") == []
    assert found("Gratwind Rain Jacket: cost 58.12") == [("amount", "costs", "plain")]


def test_the_catalogue_of_a_shop(home):
    add("--set", "costs", "--catalog", "alpenladen", "--field", "cost,supplier", "--bind", "sku,name")
    assert found("AL-1002: cost 97.45") == [("amount", "costs", "plain")]
    with pytest.raises(SetupError, match="no shop 'other'"):
        add("--set", "costs", "--catalog", "other", "--field", "cost", "--bind", "sku")


def test_rows_left_out_are_told(file):
    content = PRICES + "AL-1003,Talwind Windbreaker,,\nx,,12.80,\nAL-1004,Kar Softshell Jacket,0.00,-\n"
    ran = add("--set", "costs", "--csv", file("a.csv", content), "--column", "cost,supplier", "--bind", "sku,name")
    assert "3 rows left out, without value or name: line 4, line 5, line 6" in ran.output
    assert told("protect", "list")[0]["rows"] == 2


def test_texts_that_are_bound_to_nothing_are_values(file):
    content = "supplier\nNordkessel GmbH\nAlpfaden Weberei AG\n"
    add("--set", "contracts", "--csv", file("a.csv", content), "--column", "supplier")
    assert listed("kind", "masked") == [("value", "No…bH"), ("value", "Al…AG")]


@pytest.mark.parametrize(
    ("content", "words", "says"),
    [
        (PRICES, ["--column", "price", "--bind", "sku"], "no column price"),
        (PRICES, ["--column", "cost", "--bind", "id"], "no column id"),
        (PRICES, ["--column", "cost"], "line 2: A protected value needs"),
        (PRICES.replace("61.37", "6137000000"), ["--column", "cost"], "line 2: A bare number"),
        ("sku,cost\nA,3.50\n", ["--column", "cost", "--bind", "sku"], "No row has a value"),
        (
            PRICES.replace("Gratwind", "G" * 300),
            ["--column", "cost", "--bind", "sku,name"],
            "line 2: A protected row has",
        ),
    ],
)
def test_tables_that_are_refused(file, content, words, says):
    with pytest.raises(ActRefused, match=says):
        add("--set", "costs", "--csv", file("a.csv", content), *words)
    assert told("protect", "list") == []


def test_a_column_that_is_not_there_names_those_that_are(file):
    with pytest.raises(ActRefused) as refused:
        add("--set", "costs", "--csv", file("a.csv", PRICES), "--column", "price", "--bind", "sku")
    assert refused.value.remedy == "It has: sku, name, cost, supplier."


# --- documents and public texts ---


def test_documents(file):
    ran = add(
        "--set",
        "contracts",
        "--document",
        file("wiki/brescia.md", CONTRACT),
        "--document",
        file("b.html", f"<p>{CONTRACT * 2}</p>"),
    )
    assert "brescia.md" in ran.output
    documents = [one for one in told("protect", "list") if one["kind"] == "document"]
    assert [one["name"] for one in documents] == ["brescia.md", "b.html"]
    assert all(one["fingerprints"] > 50 for one in documents[:1])
    stretch = CONTRACT[10:90]
    assert found(f"Well: {stretch.upper()} and so on")[0] == ("document", "contracts", "plain")
    assert found(f"Well: {stretch[::-1]}", "--chunks", "4")[0] == ("document", "contracts", "reversed")
    assert found("The dye house grants a rebate.") == []


def test_the_catalogue_is_public_by_itself(file, home):
    description = "Waterproof three-layer shell with pit zips and a hood that fits over a helmet."
    add("--set", "contracts", "--document", file("a.txt", f"{CONTRACT} The sheet says: {description}"))
    assert ("public", "catalogue of alpenladen") in [(one["kind"], one.get("name")) for one in told("protect", "list")]
    assert found(description) == []
    assert found(CONTRACT[10:90]) != []


def test_public_texts(file):
    add(
        "--set",
        "contracts",
        "--document",
        file("a.txt", CONTRACT + "Returns are free within thirty days of delivery, always."),
    )
    terms = "Returns are free within thirty days of delivery, always."
    assert found(terms) != []
    ran = add("--public", file("terms.txt", terms))
    assert "terms.txt" in ran.output
    assert found(terms) == []
    (public,) = [one for one in told("protect", "list") if one.get("name", "").endswith("terms.txt")]
    run("protect", "remove", public["id"], "--region", "eu")
    assert found(terms) != []


def test_the_index_is_made_again(file):
    add("--set", "contracts", "--document", file("a.txt", CONTRACT))
    ran = run("protect", "rebuild", "--region", "eu")
    assert "1 documents" in ran.output
    assert found(CONTRACT[10:90]) != []


def test_a_large_catalogue_counts_in_part(file, monkeypatch):
    monkeypatch.setattr(protect_add, "CATALOG_CHARACTERS", 60)
    ran = add("--set", "contracts", "--document", file("a.txt", CONTRACT))
    assert "only its first 60 characters" in ran.output


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("a.pdf", b"%PDF-1.7", "no text"), ("a.txt", "too short", "fewer than"), ("a.txt", b"\xff", "not UTF-8")],
)
def test_documents_that_are_refused(file, name, content, says):
    good = file("good.txt", CONTRACT)
    with pytest.raises((ActRefused, SetupError), match=says):
        add("--set", "contracts", "--document", good, "--document", file(name, content))
    assert [one for one in told("protect", "list") if one["kind"] == "document"] == []


# --- removing ---


def test_removing_one_and_all_of_a_set(file):
    add("--set", "codes", CODE)
    add("--set", "contracts", "Nordkessel GmbH")
    add("--set", "contracts", "--document", file("a.txt", CONTRACT))
    add("--set", "contracts", "--csv", file("a.csv", PRICES), "--column", "supplier", "--bind", "sku")
    (code,) = [one["id"] for one in told("protect", "list", "--set", "codes")]
    assert "no longer protected" in run("protect", "remove", code, "--region", "eu").output
    ran = run("protect", "remove", "--set", "contracts", "--region", "eu")
    assert "1 values, 1 rows, 1 documents of contracts" in ran.output
    assert [one["kind"] for one in told("protect", "list")] == ["public"]
    for words in ([code], ["--set", "contracts"], ["pr-0123"], ["doc-0123"]):
        with pytest.raises(ActRefused):
            run("protect", "remove", *words, "--region", "eu")
    assert run("protect", "remove", "--region", "eu").exit_code == 2


def test_removing_one_row(file):
    add("--set", "costs", "--csv", file("a.csv", PRICES), "--column", "cost", "--bind", "sku,name")
    first, second = told("protect", "list", "--rows")
    run("protect", "remove", first["id"], "--region", "eu")
    assert [one["id"] for one in told("protect", "list", "--rows")] == [second["id"]]


# --- honeytokens ---


def test_codes_are_planted_and_say_where(file):
    prices, wiki = file("prices.csv", PRICES), file("wiki.md", "# Suppliers\n\n- Nordkessel\n")
    made = told("protect", "honeytoken", "--set", "contracts", "--plant", prices, "--plant", wiki, "--count", 2)
    assert [one["place"] for one in made] == [str(prices)] * 2 + [str(wiki)] * 2
    rows = list(csv.reader(io.StringIO(prices.read_text())))
    assert [row[3] for row in rows[3:]] == [one["token"] for one in made[:2]]
    assert all(one["token"] in wiki.read_text() for one in made[2:])
    assert [one["place"] for one in told("protect", "list")] == [one["place"] for one in made]
    ran = run("protect", "test", "--region", "eu", given=f"see {made[2]['token']}")
    assert ran.exit_code == 1
    assert f"planted in {wiki}" in ran.output
    assert made[2]["id"] in ran.output


def test_codes_without_a_place(home):
    ran = run("protect", "honeytoken", "--set", "contracts", "--region", "eu")
    assert "Plant each where no shopper may look" in ran.output
    assert "place" not in told("protect", "list")[0]


def test_nothing_is_planted_when_one_file_is_no_good(file):
    prices = file("prices.csv", PRICES)
    for other, says in ((file("a.xml", "<a/>"), "harm"), (prices, "named twice")):
        with pytest.raises(ActRefused, match=says):
            run("protect", "honeytoken", "--set", "contracts", "--region", "eu", "--plant", prices, "--plant", other)
    assert prices.read_text() == PRICES
    assert told("protect", "list") == []


def test_a_code_that_could_not_be_planted_is_not_protected(file, monkeypatch):
    prices = file("prices.csv", PRICES)

    def changed_meanwhile(path, codes):
        change = planted(path, codes)
        path.write_text(PRICES + "\n")
        return change

    planted = protect_cmds.planted
    monkeypatch.setattr(protect_cmds, "planted", changed_meanwhile)
    with pytest.raises(SetupError, match="was changed just now"):
        run("protect", "honeytoken", "--set", "contracts", "--region", "eu", "--plant", prices)
    assert told("protect", "list") == []


# --- testing, and what workers read ---


def test_every_hit_is_told_for_people(home):
    add("--set", "codes", CODE)
    ran = run("protect", "test", "--region", "eu", given=f"a {CODE}, and {CODE[::-1]}")
    assert ran.exit_code == 1
    assert "codes  value  characters 2-17, score 1.00" in ran.output
    assert "read as reversed" in ran.output
    assert CODE not in ran.output
    assert run("protect", "test", "--region", "eu", given="fine").output == "no protected value\n"


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_pieces_find_what_the_whole_does(file, size):
    add("--set", "codes", CODE)
    add("--set", "contracts", "--document", file("a.txt", CONTRACT))
    text = f"{CODE} {CONTRACT[:120]} {CODE}"
    whole = {(kind, set_) for kind, set_, _ in found(text)}
    assert (
        {(kind, set_) for kind, set_, _ in found(text, "--chunks", size)}
        == whole
        == {("value", "codes"), ("document", "contracts")}
    )


def test_a_text_has_a_bound(home, monkeypatch):
    monkeypatch.setattr(protect_cmds, "TEST_LIMIT", 10)
    with pytest.raises(ActRefused, match="At most 10 characters"):
        run("protect", "test", "--region", "eu", given="a" * 11)


def test_surfaces_look_for_their_own_sets_and_for_every_honeytoken(file, home):
    place, loaded = home.region("eu"), load(home.plan)
    box = open_region(place, loaded, home.root).worker().protect
    before = Protection.load(place, box)
    assert not before.changed()
    add("--set", "codes", CODE)
    add("--set", "contracts", "--document", file("a.txt", CONTRACT))
    add("--set", "costs", "--csv", file("a.csv", PRICES), "--column", "cost", "--bind", "sku,name")
    (token,) = told("protect", "honeytoken", "--set", "orders")
    assert before.changed()
    now = Protection.load(place, box)
    text = f"{CODE}. {CONTRACT[:100]}. Gratwind Rain Jacket: cost 61.37. {token['token']}."

    def kinds(*sets, beside=False):
        index = now.index(frozenset(sets), AnswerRules(), beside=beside)
        return sorted({hit.kind for hit in index.guard(index.read({})).look(text)})

    assert now.sets() == {"codes", "contracts", "costs", "orders"}
    assert kinds() == ["honeytoken"]
    assert kinds("codes") == kinds("codes", beside=True) == ["honeytoken", "value"]
    assert kinds("contracts") == ["document", "honeytoken"]
    assert kinds("costs") == ["amount", "honeytoken"]
    assert kinds(*now.sets()) == ["amount", "document", "honeytoken", "value"]


def test_stores_are_private_and_sealed(file, home):
    add("--set", "codes", CODE)
    add("--set", "contracts", "--document", file("a.txt", CONTRACT))
    add("--set", "costs", "--csv", file("a.csv", PRICES), "--column", "cost,supplier", "--bind", "sku,name")
    place = home.region("eu")
    for path in (place.protected, place.rows, *(one for one in place.documents.iterdir() if one.is_file())):
        data = path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
        for secret in (CODE, "Gratwind", "61.37", "rebate", "brescia"):
            assert secret.encode() not in data
            assert secret.lower().encode() not in data
    assert Stores.of(place, open_region(place, load(home.plan), home.root).worker().protect).rows.path == place.rows


def test_what_was_listed_before_is_still_listed_so(home):
    add("--set", "codes", CODE)
    (one,) = told("protect", "list")
    assert list(one) == ["id", "set", "kind", "masked"]
    assert json.dumps(one).count(CODE) == 0

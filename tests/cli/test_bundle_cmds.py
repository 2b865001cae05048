"""The commands of a DPO and an authority's contact: export, verify, show, request, approve."""

import json
import time
import zipfile

import pyrage
import pytest
import typer
from typer.testing import CliRunner

from firedoor.app import operator
from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs
from firedoor.cli import bundle_cmds, bundle_verify
from firedoor.config import Home
from firedoor.core.evidence.retention import Hold, Window
from firedoor.errors import ActRefused, KeyUnusable, SetupError
from firedoor.keys import people as keys
from firedoor.store.holds import Custody, save
from firedoor.store.journal_read import read
from firedoor.store.planfile import load
from tests.rooms.bundles import House, outside_witness, receiver, run_script

PASSPHRASE = "correct horse battery staple"
SHOPPER = "shopper-4711"
PLAN = """\
firedoor: 1
name: alpenladen
people:
  ana: {{name: Ana Example, roles: [incident_commander, platform_engineer, ai_engineer], key: "{ana}"}}
  ben: {{name: Ben Example, roles: [dpo, communications, legal], key: "{ben}"}}
  cem: {{name: Cem Example, roles: [soc_analyst], key: "{cem}"}}
regions:
  eu: {{jurisdictions: [EU], address: "https://eu.example", listen: "127.0.0.1:1"}}
models:
  chat: {{region: eu, engine: openai, name: m, url: "http://127.0.0.1:3"}}
shops:
  alpen: {{platform: other, home: DE}}
surfaces:
  support:
    models: {{eu: chat}}
    deadline: 2s
    fallback: {{kind: message, text: {{en: "A person will answer."}}}}
evidence:
  quorum: 1
  witnesses:
    regulator: {{address: "http://127.0.0.1:1", jurisdiction: DE, keys: [{witness}]}}
"""


def commands():
    app = typer.Typer()
    for name in ("export", "show", "request", "approve", "requests"):
        app.command(name)(getattr(bundle_cmds, name))
    app.command("verify")(bundle_verify.verify)
    return app


class Shop:
    """An installation with key files, and evidence of three exchanges."""

    def __init__(self, folder):
        home = Home(folder / "home")
        public = {who: keys.create(home.keys / f"{who}.key", PASSPHRASE).public for who in ("ana", "ben", "cem")}
        witness = ", ".join(f'"{signer.vkey}"' for signer in outside_witness())
        home.plan.write_text(PLAN.format(witness=witness, **public))
        self.house = House(folder, loaded=load(home.plan), now=int(time.time()))
        self.home = home
        lookup = self.house.ring.worker().pseudonym("subject", SHOPPER)
        self.house.write("w0", self.house.exchange("ex_1", lookup, body=b"where is my order"))
        self.house.write("w0", self.house.exchange("ex_2", "ab" * 16, body=b"another shopper"))
        self.house.write("w1", self.house.exchange("ex_3", lookup, body=b"and now?"))
        self.house.publish(ticks=2)

    def run(self, *arguments, status=0, json_=False):
        more = ["--home", str(self.home.root), *(["--json"] if json_ else [])]
        result = CliRunner(env={"FIREDOOR_PASSPHRASE": PASSPHRASE}).invoke(commands(), [*map(str, arguments), *more])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return [json.loads(line) for line in result.stdout.splitlines()] if json_ else result.stdout

    def request(self, *arguments, by="cem", reason="incident"):
        told = ("--as", by, "--reason", reason, "--note", "customer complaint 7")
        return self.run("request", *arguments, *told, json_=True)[0]["id"]

    def approve(self, id_, by="ben"):
        self.run("approve", id_, "--as", by, "--yes", json_=True)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def refused(call):
    with pytest.raises(ActRefused) as error:
        call()
    return error.value


def test_show_gives_records_and_no_body(shop):
    found = shop.run("show", "ex_1", json_=True)
    assert [(one["kind"], one["seq"]) for one in found] == [("intent", 2), ("outcome", 3)]
    assert all("clear" not in one for one in found)
    assert "order" not in shop.run("show", "ex_1")


def test_a_body_is_shown_after_two_persons_signed(shop):
    error = refused(lambda: shop.run("show", "ex_1", "--body"))
    assert "firedoor evidence request --exchange ex_1" in error.remedy
    id_ = shop.request("--exchange", "ex_1")
    assert refused(lambda: shop.run("show", "ex_1", "--body", "--grant", id_)).code == "second_person_missing"
    shop.approve(id_)
    found = shop.run("show", "ex_1", "--body", "--grant", id_, json_=True)
    assert [one["clear"] for one in found if "clear" in one] == ["where is my order", "an answer"]
    assert "where is my order" in shop.run("show", "ex_1", "--body", "--grant", id_)
    assert refused(lambda: shop.run("show", "ex_2", "--body", "--grant", id_)).code == "not_in_grant"
    said = [(one.leaf.kind, one.leaf.facts.get("state")) for one in read(shop.house.place.journal("operator"))]
    assert said.count(("access", "done")) == 2
    assert said.count(("access", "refused")) == 3


def test_approve_shows_exactly_what_is_signed_and_asks(shop):
    id_ = shop.request("--exchange", "ex_1")
    runner = CliRunner(env={"FIREDOOR_PASSPHRASE": PASSPHRASE})
    result = runner.invoke(commands(), ["approve", id_, "--as", "ben", "--home", str(shop.home.root)], input="n\n")
    assert result.exit_code == 1
    for part in ("cem asks to read bodies", "customer complaint 7", "incident", "ex_1", '"act":"read_bodies"'):
        assert part in result.stderr
    assert refused(lambda: shop.run("show", "ex_1", "--body", "--grant", id_)).code == "second_person_missing"


def test_requests_lists_what_waits(shop):
    assert "No requests wait" in shop.run("requests")
    id_ = shop.request("--exchange", "ex_1")
    (one,) = shop.run("requests", json_=True)[0]
    assert (one["id"], one["approved"], one["by"], one["recipient"]) == (id_, False, ["cem"], None)
    shop.approve(id_)
    assert "may be used" in shop.run("requests")


def test_export_without_bodies_and_verify(shop, tmp_path):
    (made,) = shop.run("export", "--exchange", "ex_1", "--out", tmp_path / "bundle", "--as", "ben", json_=True)
    assert (made["bodies"], made["problems"], made["region"]) == (0, [], "eu")
    assert "verified" in shop.run("verify", tmp_path / "bundle")
    (result,) = shop.run("verify", tmp_path / "bundle", json_=True)
    assert (result["ok"], result["manifest"]) == (True, made["manifest"])
    assert run_script(tmp_path / "bundle")[0] == 0
    (tmp_path / "bundle" / "policy").write_bytes(b"quorum none\n")
    assert "DAMAGED" in shop.run("verify", tmp_path / "bundle", status=1)


def test_export_of_bodies_as_agreed(shop, tmp_path):
    identity, recipient = receiver()
    call = ("export", "--subject", SHOPPER, "--bodies", "--to", recipient, "--out", tmp_path / "bundle.zip")
    assert refused(lambda: shop.run(*call)).code == "no_grant"
    id_ = shop.request("--subject", SHOPPER, "--to", recipient, by="ben", reason="subject_request")
    shop.approve(id_, by="ana")
    output = shop.run(
        "export", "--bodies", "--grant", id_, "--reason", "subject_request", "--out", tmp_path / "bundle.zip"
    )
    assert "4 bodies" in output
    with zipfile.ZipFile(tmp_path / "bundle.zip") as packed:
        sealed = packed.read("record-keys.age")
    (tmp_path / "keys.json").write_bytes(pyrage.decrypt(sealed, [identity]))
    status, result = run_script(tmp_path / "bundle.zip", "--keys", str(tmp_path / "keys.json"), "--show")
    assert status == 0
    assert {one["body"] for one in result["shown"]} == {"where is my order", "and now?", "an answer"}
    with pytest.raises(SetupError, match="exists"):
        shop.run(*call, "--grant", id_)


def test_an_incident_is_what_its_holds_name(shop, tmp_path):
    assert (
        refused(lambda: shop.run("export", "--incident", "INC-1", "--out", tmp_path / "x")).code == "unknown_incident"
    )
    hold = Hold(
        id="h1", incident="INC-1", by="ben", at=1, exchanges=("ex_3",),
        windows=(Window("support", 0, 2**53),), subjects=("ab" * 16,),
    )  # fmt: skip
    save(shop.house.place.holds, Custody(holds=(hold,)))
    shop.run("export", "--incident", "INC-1", "--out", tmp_path / "bundle")
    custody = json.loads((tmp_path / "bundle" / "custody.json").read_bytes())
    assert custody["selection"]["incident"] == "INC-1"
    assert custody["selection"]["exchanges"] == ["ex_3"]
    assert len(custody["selection"]["keys"]) == 1
    assert [log["slot"] for log in custody["logs"]] == ["checkpoints", "w0", "w1"]
    assert ("ab" * 16) not in json.dumps(custody)  # look-up pseudonyms stay


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["export", "--out", "x"], ActRefused),
        (["export", "--out", "x", "--exchange", "a b"], typer.BadParameter),
        (["export", "--out", "x", "--surface", "Support"], typer.BadParameter),
        (["export", "--out", "x", "--since", "yesterday"], typer.BadParameter),
        (["export", "--out", "x", "--subject", "nobody"], ActRefused),
        (["export", "--out", "x", "--exchange", "ex_1", "--to", "age1bad"], ActRefused),
        (["export", "--out", "x", "--exchange", "ex_1", "--reason", "fun"], ActRefused),
        (["export", "--out", "x", "--exchange", "ex_1", "--as", "nobody"], KeyUnusable),
        (["export", "--out", "x", "--exchange", "ex_1", "--bodies", "--grant", "eu-0123456789ab"], ActRefused),
        (["export", "--out", "x", "--exchange", "ex_1", "--region", "us"], SetupError),
        (["approve", "nonsense", "--as", "ben"], ActRefused),
        (["approve", "eu-0123456789ab", "--as", "ben"], ActRefused),
        (["show", "ex_9"], ActRefused),
        (["request", "--as", "cem", "--reason", "incident", "--note", "x" * 501, "--exchange", "ex_1"], ActRefused),
        (["request", "--as", "cem", "--reason", "incident", "--note", "x"], ActRefused),
    ],
)  # fmt: skip
def test_bad_calls_are_clear_errors_and_leave_nothing(shop, tmp_path, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    if error is typer.BadParameter:
        shop.run(*arguments, status=2)
    else:
        with pytest.raises(error):
            shop.run(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_verify_looks_at_the_whole_installation(shop):
    (result,) = shop.run("verify", json_=True)
    (region,) = result["regions"]
    assert result["ok"]
    assert region["logs"].keys() == {"checkpoints", "w0", "w1"}
    assert region["cosigned"] == ["witness.example/regulator"]
    assert {slot["slot"] for slot in result["slots"]} == {"checkpoints", "w0", "w1"}
    assert "verified" in shop.run("verify", shop.house.place.journals)


@pytest.mark.parametrize(
    ("name", "blamed"),
    [
        ("log/w0/tile/0/000.p/6", "log/w0/tile/0/000.p/6"),
        ("log/w0/checkpoint", "log/w0/checkpoint"),
        ("log/checkpoints/cosigned", "log/checkpoints"),
        ("bodies", "bodies/support"),
        ("journal", "journal/w0"),
    ],
)
def test_verify_names_what_is_damaged(shop, name, blamed):
    place = shop.house.place
    path = place.root / name
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.is_file() and p.stat().st_size]
        path = min(p for p in files if "w0" in str(p.relative_to(place.root)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    output = shop.run("verify", status=1)
    assert "DAMAGED" in output
    assert blamed in output


def test_a_journal_that_was_written_anew_is_not_the_signed_one(shop):
    place = shop.house.place
    for path in place.journal("w0").iterdir():
        path.unlink()
    shop.house.write("w0", [r for n in (1, 2, 3) for r in shop.house.exchange(f"ex_{n}", "cd" * 16)])
    output = shop.run("verify", status=1)
    assert "are not those that were signed" in output or "signed records are there" in output


def test_what_the_region_cannot_record_it_does_not_show(shop, monkeypatch):
    monkeypatch.setattr(operator, "WAIT", 0.1)
    id_ = shop.request("--exchange", "ex_1")
    shop.approve(id_)

    def while_held(write):
        with pytest.raises(SetupError, match="in use"):
            shop.run("show", "ex_1", "--body", "--grant", id_)

    as_operator(shop.house.place, epochs(shop.house.place, shop.house.ring.worker()), while_held)

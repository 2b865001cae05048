"""`firedoor evidence`, `protect` and `credentials` on a real home with a real plan."""

import asyncio
import itertools
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.app.regionkeys import epochs, make_region, open_region, places
from firedoor.cli import credential_cmds, protect_cmds
from firedoor.cli.main import evidence
from firedoor.config import Home
from firedoor.core.evidence.record import Record
from firedoor.errors import ActRefused, SetupError
from firedoor.store import planfile
from firedoor.store.credentials import CredentialFile, token_digest
from firedoor.store.journal import open_journal
from firedoor.store.segments import segments

PLAN = Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml"


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path / "home")
    for name in ("eu", "us"):
        where = found.region(name)
        where.make()
    found.plan.write_bytes(PLAN.read_bytes())
    loaded = planfile.load(found.plan)
    for name in ("eu", "us"):
        make_region(found.region(name), loaded, found.root)
    return found


def run(app, *arguments, stdin=None):
    """The output, as JSON lines when --json is asked for. Errors raised on purpose come through."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if "--json" in arguments:
        return [json.loads(line) for line in result.stdout.splitlines()]
    return result


def write(home, records, region="eu", slot="w0"):
    where = home.region(region)
    keys = open_region(where, planfile.load(home.plan), home.root).worker()

    async def go():
        journal = open_journal(
            places(where, slot), region=region, slot=slot, epochs=epochs(where, keys),
            clock_ns=itertools.count(1).__next__,
        )  # fmt: skip
        for one in records:
            await journal.append(one)
        await journal.aclose()

    asyncio.run(go())


def record(kind, exchange, at=None, body=None, **facts):
    return Record(kind=kind, exchange=exchange, at=at or time.time_ns(), facts=facts, body=body)


class TestEvidence:
    def test_list_merges_slots_by_time_and_filters(self, home):
        now = time.time_ns()
        hour = 3600 * 10**9
        write(home, [record("intent", "fx-1", now - 2 * hour), record("outcome", "fx-1", now - 10)], slot="w0")
        write(home, [record("intent", "fx-2", now - hour - 5), record("finding", "fx-2", now - 5)], slot="w1")
        write(home, [record("intent", "fx-3", now)], region="us")
        base = ("list", "--home", home.root, "--json")
        seen = lambda *more: [(one["exchange"], one["kind"]) for one in run(evidence, *base, *more)]  # noqa: E731
        eu = [("fx-1", "intent"), ("fx-2", "intent"), ("fx-1", "outcome"), ("fx-2", "finding")]
        assert seen() == [*eu, ("fx-3", "intent")]
        assert seen("--region", "eu") == eu
        assert seen("--region", "eu", "--since", "90m") == eu[1:]
        assert seen("--kind", "finding") == [("fx-2", "finding")]
        assert seen("--exchange", "fx-1") == [eu[0], eu[2]]
        assert len(seen("--kind", "begin")) == 3
        assert "body" in run(evidence, *base)[0]

    def test_show_gives_the_facts_without_the_body(self, home):
        write(home, [record("intent", "fx-1", surface="support", body=b"Wo bleibt meine Bestellung?")])
        output = run(evidence, "show", "fx-1", "--home", home.root).stdout
        assert "surface=support" in output
        assert "Bestellung" not in output
        with pytest.raises(ActRefused, match="No record"):
            run(evidence, "show", "fx-9", "--home", home.root)
        assert not home.region("eu").journal("operator").exists()

    def test_verify_exits_0_or_1(self, home):
        write(home, [record("intent", "fx-1"), record("outcome", "fx-1", outcome="answered")])
        write(home, [record("intent", "fx-2")], region="us")
        whole = run(evidence, "verify", "--home", home.root)
        assert (whole.exit_code, whole.stdout.splitlines()[-1]) == (0, "verified")
        path = segments(home.region("eu").journal("w0"))[0]
        data = bytearray(path.read_bytes())
        data[-200] ^= 1
        path.write_bytes(data)
        damaged = run(evidence, "verify", "--home", home.root)
        assert damaged.exit_code == 1
        assert path.name in damaged.stdout
        assert run(evidence, "verify", "--home", home.root, "--region", "us").exit_code == 0
        assert run(evidence, "verify", home.region("eu").journal("w0")).exit_code == 1
        (report,) = run(evidence, "verify", home.region("eu").journals, "--json")
        assert report["ok"] is False
        assert report["slots"][0]["damage"][0]["file"] == f"w0/{path.name}"

    def test_nothing_to_verify_is_not_verified(self, home, tmp_path):
        assert run(evidence, "verify", tmp_path / "absent").exit_code == 1
        with pytest.raises(SetupError, match="no regions"):
            run(evidence, "verify", "--home", tmp_path / "absent")


class TestProtect:
    def test_values_go_in_and_never_come_out_in_clear(self, home, tmp_path):
        listed = tmp_path / "prices.txt"
        listed.write_text("Nordkessel GmbH 9,80\n\n  Alpen AG 12,40 EUR \n")
        base = ("--home", home.root, "--region", "eu")
        run(protect_cmds.app, "add", "--set", "supplier_prices", "--file", listed, *base)
        run(protect_cmds.app, "add", "--set", "supplier_prices", "-", *base, stdin="Westkessel KG 3,10\n")
        added = run(protect_cmds.app, "add", "--set", "supplier_prices", "Suedkessel OHG 7,77", *base)
        assert "Su…77" in added.stdout
        (rows,) = run(protect_cmds.app, "list", "--json", *base)
        assert [row["masked"] for row in rows] == ["No…80", "Al…UR", "We…10", "Su…77"]
        assert run(protect_cmds.app, "list", "--json", "--home", home.root, "--region", "us") == [[]]
        removed = run(protect_cmds.app, "remove", rows[0]["id"], *base)
        assert "Nordkessel" not in removed.stdout
        assert len(run(protect_cmds.app, "list", "--json", *base)[0]) == 3

    def test_refusals(self, home):
        base = ("--home", home.root, "--region", "eu")
        with pytest.raises(ActRefused, match=r"no protected set other\. Declared: supplier_prices"):
            run(protect_cmds.app, "add", "--set", "other", "Nordkessel GmbH", *base)
        with pytest.raises(ActRefused, match="No values"):
            run(protect_cmds.app, "add", "--set", "supplier_prices", *base)
        with pytest.raises(SetupError, match="Name a region"):
            run(protect_cmds.app, "list", "--home", home.root)
        with pytest.raises(SetupError, match="no region mars"):
            run(protect_cmds.app, "list", "--home", home.root, "--region", "mars")

    def test_honeytokens_are_shown_once_and_found_by_test(self, home):
        base = ("--home", home.root, "--region", "eu")
        made = run(protect_cmds.app, "honeytoken", "--set", "supplier_prices", "--count", "3", *base)
        tokens = [line.split()[1] for line in made.stdout.splitlines()[:3]]
        assert len(set(tokens)) == 3
        assert "Plant each" in made.output
        listing = run(protect_cmds.app, "list", *base).stdout
        assert not any(token in listing for token in tokens)
        found = run(protect_cmds.app, "test", *base, stdin=f"our code is {tokens[1]}")
        assert found.exit_code == 1
        assert made.stdout.splitlines()[1].split()[0] in found.stdout
        assert run(protect_cmds.app, "test", *base, stdin="an innocent answer").exit_code == 0


class TestCredentials:
    def test_issue_list_revoke(self, home):
        base = ("--home", home.root, "--region", "eu")
        issued = run(
            credential_cmds.app, "issue", "--shop", "alpenladen", "--surface", "support", "--expires", "90d", *base
        )
        token = issued.stdout.splitlines()[0]
        file = CredentialFile(home.region("eu").credentials, "eu")
        credential = file.load()[token_digest(token)]
        assert credential.expires - credential.created == 90 * 86_400
        (rows,) = run(credential_cmds.app, "list", "--json", *base)
        assert [(row["id"], row["state"]) for row in rows] == [(credential.id, "usable")]
        assert token not in run(credential_cmds.app, "list", *base).stdout
        run(credential_cmds.app, "revoke", credential.id, *base)
        assert run(credential_cmds.app, "list", "--json", *base)[0][0]["state"] == "revoked"

    def test_refusals(self, home):
        base = ("--home", home.root, "--region", "eu")
        with pytest.raises(ActRefused, match="no surface support for shop elsewhere"):
            run(credential_cmds.app, "issue", "--shop", "elsewhere", "--surface", "support", *base)
        wrong = ("issue", "--shop", "alpenladen", "--surface", "support", "--expires", "soon", *base)
        assert run(credential_cmds.app, *wrong).exit_code == 2
        with pytest.raises(ActRefused, match="no credential"):
            run(credential_cmds.app, "revoke", "000000000000", *base)

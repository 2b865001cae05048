"""`firedoor evidence`, `protect` and `credentials` on a real home with a real plan."""

import asyncio
import itertools
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli import credential_cmds, evidence_cmds, protect_cmds
from firedoor.config import Home
from firedoor.core.evidence.record import Record
from firedoor.errors import ActRefused, KeyUnusable, SetupError
from firedoor.keys.root import create_root, load_root
from firedoor.store.credentials import CredentialFile, token_digest
from firedoor.store.journal import open_journal
from firedoor.store.journal_read import read
from firedoor.store.segments import segments

PLAN = Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml"


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path / "home")
    for name in ("eu", "us"):
        where = found.region(name)
        where.make()
        create_root(where.root_key, name)
    found.plan.write_bytes(PLAN.read_bytes())
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

    async def go():
        journal = open_journal(
            where.journal(slot),
            region=region,
            slot=slot,
            seal=load_root(where.root_key, region).seal,
            clock_ns=itertools.count(1).__next__,
        )
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
        seen = lambda *more: [(one["exchange"], one["kind"]) for one in run(evidence_cmds.app, *base, *more)]  # noqa: E731
        eu = [("fx-1", "intent"), ("fx-2", "intent"), ("fx-1", "outcome"), ("fx-2", "finding")]
        assert seen() == [*eu, ("fx-3", "intent")]
        assert seen("--region", "eu") == eu
        assert seen("--region", "eu", "--since", "90m") == eu[1:]
        assert seen("--kind", "finding") == [("fx-2", "finding")]
        assert seen("--exchange", "fx-1") == [eu[0], eu[2]]
        assert len(seen("--kind", "key")) == 3
        assert "body" in run(evidence_cmds.app, *base)[0]

    def test_show_gives_the_facts_without_the_body(self, home):
        write(home, [record("intent", "fx-1", surface="support", body=b"Wo bleibt meine Bestellung?")])
        output = run(evidence_cmds.app, "show", "fx-1", "--home", home.root).stdout
        assert "surface=support" in output
        assert "Bestellung" not in output
        with pytest.raises(ActRefused, match="No record"):
            run(evidence_cmds.app, "show", "fx-9", "--home", home.root)
        assert not home.region("eu").journal("operator").exists()

    def test_bodies_are_shown_only_after_the_reading_is_recorded(self, home):
        write(home, [record("intent", "fx-1", body=b"Wo bleibt\x1b[2J meine Bestellung?"), record("outcome", "fx-1")])
        arguments = ("show", "fx-1", "--body", "--home", home.root)
        with pytest.raises(ActRefused, match="reason"):
            run(evidence_cmds.app, *arguments)
        assert not home.region("eu").journal("operator").exists()
        output = run(evidence_cmds.app, *arguments, "--reason", "complaint of Erika Muster").stdout
        assert "meine Bestellung?" in output
        assert "\x1b" not in output
        access = list(read(home.region("eu").journal("operator")))[-1].leaf
        assert (access.kind, access.exchange, access.facts["bodies"]) == ("access", "fx-1", 1)
        assert "Muster" not in str(access.facts)
        journals = b"".join(path.read_bytes() for path in segments(home.region("eu").journal("operator")))
        assert b"Muster" not in journals
        (shown,) = [one for one in run(evidence_cmds.app, *arguments, "--reason", "again", "--json") if "clear" in one
                    and one["kind"] == "intent"]  # fmt: skip
        assert shown["clear"].endswith("meine Bestellung?")

    def test_no_body_is_shown_when_the_reading_cannot_be_recorded(self, home):
        write(home, [record("intent", "fx-1", body=b"Bestellung")])
        home.region("eu").journal("operator").write_text("a file where the folder should be")
        with pytest.raises(SetupError, match="operator"):
            run(evidence_cmds.app, "show", "fx-1", "--body", "--reason", "complaint", "--home", home.root)

    def test_another_regions_root_opens_no_body(self, home):
        write(home, [record("intent", "fx-1", body=b"Bestellung")])
        home.region("eu").root_key.write_bytes(home.region("us").root_key.read_bytes())
        with pytest.raises(KeyUnusable, match="belongs to region us"):
            run(evidence_cmds.app, "show", "fx-1", "--body", "--reason", "complaint", "--home", home.root)

    def test_verify_exits_0_or_1(self, home):
        write(home, [record("intent", "fx-1"), record("outcome", "fx-1", outcome="answered")])
        write(home, [record("intent", "fx-2")], region="us")
        whole = run(evidence_cmds.app, "verify", "--home", home.root)
        assert (whole.exit_code, whole.stdout.splitlines()[-1]) == (0, "verified")
        path = segments(home.region("eu").journal("w0"))[0]
        data = bytearray(path.read_bytes())
        data[-400] ^= 1
        path.write_bytes(data)
        damaged = run(evidence_cmds.app, "verify", "--home", home.root)
        assert damaged.exit_code == 1
        assert path.name in damaged.stdout
        assert run(evidence_cmds.app, "verify", "--home", home.root, "--region", "us").exit_code == 0
        assert run(evidence_cmds.app, "verify", home.region("eu").journal("w0")).exit_code == 1
        (report,) = run(evidence_cmds.app, "verify", home.region("eu").journals, "--json")
        assert report["ok"] is False
        assert report["slots"][0]["damage"][0]["file"] == f"w0/{path.name}"

    def test_nothing_to_verify_is_not_verified(self, home, tmp_path):
        assert run(evidence_cmds.app, "verify", tmp_path / "absent").exit_code == 1
        with pytest.raises(SetupError, match="no regions"):
            run(evidence_cmds.app, "verify", "--home", tmp_path / "absent")


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

"""How to connect other systems, done as written: the plan checks, the code verifies, the bodies are what is sent and taken."""

import ast
import json
import time
from typing import get_args

import msgspec
import pytest

from firedoor.app import hooks
from firedoor.app.outbox import PAUSES
from firedoor.core.incident.hooks import BODY_LIMIT, FOR_PAGERS, CaseTold, Told, Type
from firedoor.core.incident.incoming import Incoming, decode
from firedoor.core.incident.webhook import parse_secrets, sign
from firedoor.core.plan.response import IncidentRules

from .reading import codes, fences, page, rows, section

PAGE = page("docs/incident-systems.md")
JSON = [content for language, content in fences(PAGE) if language == "json"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def verified():
    (code,) = (content for language, content in fences(PAGE) if language == "python")
    assert len(code.splitlines()) <= 12
    space = {}
    exec(compile(ast.parse(code), "docs/incident-systems.md", "exec"), space)
    return space["verified"]


def test_the_ten_lines_tell_what_firedoor_signed_from_anything_else(verified) -> None:
    body, now = JSON[0].encode(), int(time.time())

    def headers(at=now, secrets=SECRET, id_="eu-1/5/siem"):
        signature = sign(parse_secrets(secrets), id_, at, body)
        return {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": signature}

    both = f"whsec_{'A' * 43}= {SECRET}"
    assert verified(headers(), body, SECRET + "\n")
    assert verified(headers(secrets=both), body, SECRET)
    assert verified(headers(), body, both)
    assert not verified(headers(), body + b" ", SECRET)
    assert not verified(headers(), body, both.split(maxsplit=1)[0])
    assert not verified(headers(at=now - 400), body, SECRET)
    assert not verified({**headers(), "webhook-id": "eu-1/6/siem"}, body, SECRET)


def test_the_message_is_one_that_is_sent() -> None:
    told = msgspec.json.decode(JSON[0], type=Told)
    again = json.loads(msgspec.json.encode(told))
    assert again == json.loads(JSON[0])  # nothing is missing, nothing is more
    assert set(again["data"]) == set(CaseTold.__struct_fields__)


def test_all_types_are_told_of_and_which_of_them_a_pager_gets() -> None:
    told = section(PAGE, "## What a system is told")
    assert [codes(cells[0])[0] for cells in rows(told) if codes(cells[0])] == [*_in_order(told)]
    assert {codes(cells[0])[0] for cells in rows(told) if codes(cells[0])} == set(get_args(Type))
    (line,) = (line for line in told.splitlines() if line.startswith("With `events: calls`"))
    assert set(codes(line)) - {"events: calls"} == FOR_PAGERS
    assert f"at most {BODY_LIMIT // 1024} kB" in told
    assert "5 s, 15 s, 1, 5, 15 minutes, then every hour" in told
    assert PAUSES == (5, 15, 60, 300, 900, 3600)


def _in_order(text):
    return [codes(cells[0])[0] for cells in rows(text) if cells[0].startswith("`case.")]


def test_the_bodies_are_ones_that_are_taken() -> None:
    taken = [decode(text.encode()) for text in JSON[1:]]
    assert [type(one) for one in taken] == list(get_args(Incoming))


def test_the_codes_and_their_statuses() -> None:
    told = {
        code: int(cells[0]) for cells in rows(section(PAGE, "## What a system may tell")) for code in codes(cells[1])
    }
    assert {code: status for code, status in told.items() if status not in (400, 503)} == hooks._STATUS


def test_the_plan_is_one() -> None:
    from ruamel.yaml import YAML

    (text,) = (content for language, content in fences(PAGE) if language == "yaml")
    found = YAML(typ="safe").load(text)
    rules = msgspec.convert(found["incidents"], IncidentRules)
    assert {name: system.events for name, system in rules.systems.items()} == {"siem": "all", "pager": "calls"}

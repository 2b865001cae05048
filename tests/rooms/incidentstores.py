"""Invented cases for tests, the key that seals them, and stores on a control database that this process writes."""

import contextlib

from tests.rooms.controlstates import open_control_state

from firedoor.core.incident.entries import AUTOMATIC, Entry, Findings, FoundOne, Noted, Opened
from firedoor.core.incident.hooks import Message
from firedoor.core.people import Act, Signature, Signed
from firedoor.keys.derive import SealingBox
from firedoor.store.incidents import IncidentStore

BOX = SealingBox("eu", b"k" * 32)
CASE = "eu-20261123-aaaaaaaaaa"
AT = 1_800_000_000_000_000
SECRET = "the honeytoken of Ms Quisling"


def opened(case=CASE, at=AT, title="A leak", **more):
    payload = Opened(
        cause="finding", title=title, scope="eu/alpen/support/m0", rule="leak.documents", detected=at, **more
    )
    return Entry(case=case, number=1, at=at, by=AUTOMATIC, payload=payload)


def found(number, case=CASE, at=AT):
    one = FoundOne(slot="w0", seq=number, at=at, rule="leak.documents", verdict="shut", scope="eu/alpen/support/m0")
    return Entry(case=case, number=number, at=at + number, by=AUTOMATIC, payload=Findings(found=(one,)))


def noted(number, case=CASE, text=SECRET):
    """What a person wrote, with a signature of the right shape."""
    args = {"incident": case, "entry": "noted", "after": str(number - 1), "payload": "ab" * 32}
    act = Act(region="eu", act="incident", args=args, plan="ab" * 32, by="ana", made_at=100, nonce=f"{number:032x}")
    signed = Signed(act, (Signature("ana", "A" * 86 + "=="),))
    return Entry(case=case, number=number, at=AT + number, by="ana", payload=Noted(text=text), signed=signed)


def case_of(count, case=CASE, at=AT):
    """A case of `count` entries."""
    return [opened(case, at), *(found(n, case, at) for n in range(2, count + 1))]


def message(number, system="pager", **more):
    return Message(f"{CASE}-{number}", system, b'{"case":"%s","number":%d}' % (CASE.encode(), number), **more)


def add(store, *entries, cursors=None, ended=None, messages=()):
    store.append(entries, cursors=cursors or {}, ended=ended or {}, messages=messages)


@contextlib.contextmanager
def opened_store(where, host="", box=BOX):
    """The store of a control that has begun."""
    state = open_control_state(where, "eu", host)
    try:
        yield IncidentStore(state.database, box, host)
    finally:
        state.close()

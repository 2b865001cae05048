"""Invented states of control for tests, each with requests of the same number, and how to become their writer."""

import time

from firedoor.core.people import Act, Signature, Signed
from firedoor.core.switches import Table
from firedoor.core.switchstate import Pending, Stored
from firedoor.errors import StateBusy, StateUnavailable
from firedoor.store.controlstate import ControlState

PATIENCE = 60


def open_control_state(where, region, host=""):
    """A state that this process alone writes, until closed; at once, or not at all."""
    state = ControlState(where, region, host)
    try:
        state.begin()
    except BaseException:
        state.close()
        raise
    return state


def stored(version):
    return Stored(Table("eu", version, "ab" * 32), cursors={f"w{n}": version for n in range(400)})


def pending(version):
    act = Act(
        region="eu", act="open", args={"scope": "eu/*/*/*", "of": "1"}, plan="ab" * 32, by="ana", made_at=100,
        nonce=f"{version:032x}",
    )  # fmt: skip
    return (Pending(f"eu-{version}", Signed(act, (Signature("ana", "A" * 86 + "=="),)), version),)


def version_of(state):
    found = state.load()
    version = 0 if found is None else found.table.version
    assert state.requests() == (pending(version) if version else ()), "both are of one save"
    return version


def begun(where, *, wait=PATIENCE):
    """A state, as soon as the one before has let go of it."""
    state = ControlState(where, "eu")
    deadline = time.monotonic() + wait
    while True:
        try:
            state.begin()
            return state
        except (StateBusy, StateUnavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)

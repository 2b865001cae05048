"""What control says of its table: signed, here first, in order, and rather with fewer proofs than not at all."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.control.announcer import Announcer
from firedoor.core import topics
from firedoor.core.crossing import GLOBAL_DOMAIN, GlobalSaid, decode
from firedoor.core.people import Signature, Signed, note_digest
from firedoor.core.switches import ANY, MAX_SWITCHES, Scope, Switch, Table, global_part
from firedoor.core.switchtable import MESSAGE_LIMIT, OPENINGS, unseal
from firedoor.errors import TableRefused

from .region import Region, Signer

NAME = "a" * 63


class Order:
    """A bus, and this host, that remember what came in which order."""

    def __init__(self, error=None):
        self.heard, self.error = [], error

    def publish(self, topic, message):
        self.heard.append((topic, message))

    def local(self, message):
        if self.error:
            raise self.error
        self.heard.append(("here", message))

    def local_global(self, message):
        self.heard.append(("here, global", message))


@pytest.fixture
def signer():
    return Signer()


def announcer(signer, order, *, home=True, echo=dict, own=True):
    return Announcer(
        signer=signer, bus=order, home=home, echo=echo, local=order.local if own else None,
        local_global=order.local_global if own else None,
    )  # fmt: skip


def table(*scopes, version=1):
    shut = tuple(Switch(Scope.parse(s), "leak", 5.5, exchange="fx-1", version=version) for s in scopes)
    return Table("eu", version, "ab" * 32, shut)


def test_this_host_is_told_first_and_beats_count_in_each_version(signer):
    order, echo = Order(), {"h1": 7}
    out = announcer(signer, order, echo=lambda: dict(echo))
    out.beat()
    assert (order.heard, out.beats) == ([], -1), "there is nothing to say yet"
    out.publish(table(version=3), ())
    out.beat()
    echo["h1"] = 8
    out.publish(table(version=3), ())
    out.publish(table("eu", version=4), ())
    assert [t for t, _ in order.heard[:4]] == ["here", "here, global", topics.table("eu"), topics.GLOBAL]
    said = [unseal(m, signer.keys()) for t, m in order.heard if t == "here"]
    assert [(s.table.version, s.beat) for s in said] == [(3, 0), (3, 1), (3, 2), (4, 0)]
    assert [s.echo["h1"] for s in said] == [7, 7, 8, 8]
    assert [m for t, m in order.heard if t == "here"] == [m for t, m in order.heard if t == topics.table("eu")]


def test_only_the_home_region_says_what_holds_in_all(signer):
    order = Order()
    now = table("eu/alpen", "*/alpen", "*/*/chat", version=9)
    announcer(signer, order, home=False).publish(now, ())
    assert [t for t, _ in order.heard] == ["here", topics.table("eu")]
    order.heard.clear()
    announcer(signer, order).publish(now, ())
    (said,) = {m for t, m in order.heard if t in ("here, global", topics.GLOBAL)}
    read = decode(GlobalSaid, said)
    assert read.table == global_part(now)
    assert [str(s.scope) for s in read.table.shut] == ["*/alpen/*/*", "*/*/chat/*"]
    assert (read.beat, read.key) == (0, signer.key)
    signer._private.public_key().verify(read.signature, GLOBAL_DOMAIN + read.content)
    assert b"fx-1" not in said


def test_a_control_that_may_have_been_taken_over_says_nothing_to_other_regions(signer):
    """It may have missed what was shut since: its own hosts want proof of an opening, the others take what they hear."""
    order, sure = Order(), [True]
    out = Announcer(signer=signer, bus=order, home=True, sure=lambda: sure[0])
    out.publish(table("*/alpen", version=3), ())
    sure[0] = False
    out.publish(table(version=4), ())
    out.beat()
    assert [t for t, _ in order.heard] == [topics.table("eu"), topics.GLOBAL] + [topics.table("eu")] * 2
    sure[0] = True
    out.beat()
    assert order.heard[-1][0] == topics.GLOBAL


def test_what_this_host_raises_passes_and_nothing_else_is_told(signer):
    order = Order(OSError(errno.ENOSPC, "No space left on device"))
    out = announcer(signer, order)
    with pytest.raises(OSError, match="No space"):
        out.publish(table(), ())
    assert order.heard == []
    order.error = None
    out.beat()
    assert unseal(order.heard[0][1], signer.keys()).beat == 1


def test_a_key_that_was_renewed_signs_the_next_beat(signer):
    order = Order()
    out = announcer(signer, order, own=False)
    out.publish(table(), ())
    old = signer.keys()
    signer.renew()
    out.beat()
    unseal(order.heard[0][1], old)
    unseal(order.heard[-2][1], signer.keys())
    with pytest.raises(TableRefused, match="not known"):
        unseal(order.heard[-2][1], old)


def test_the_largest_table_is_said_with_what_proofs_find_room(signer, tmp_path):
    region, order = Region(tmp_path / "eu"), Order()
    long = Scope(NAME, NAME, NAME, NAME)
    shut = tuple(
        Switch(long, "maintenance", 1_800_000_000.123456, ("f" * 16,) * 2, "e" * 64, "i" * 64, 10**15, None)
        for _ in range(MAX_SWITCHES + 2)
    )
    drills = tuple(Switch(long, "drill", 1.5, ("f" * 16,), None, None, 10**15, NAME) for _ in range(32))
    absorbed = {f"{NAME}/{NAME[:-3]}{n:03}": 1 << 62 for n in range(256)}
    now = Table("eu", 10**15, "ab" * 32, shut, absorbed, 10**15, drills)
    args = {"scope": str(long), "of": "9" * 16, "note_sha256": note_digest("0" * 32, "x")}
    act = region.act("open", None, NAME, arguments=args)
    opening = Signed(act, (Signature(NAME, "A" * 86 + "=="),) * 2)
    echo = {f"{NAME[:-3]}{n:03}": 1 << 62 for n in range(256)}
    announcer(signer, order, home=False, echo=lambda: echo).publish(now, (opening,) * OPENINGS)
    data = order.heard[0][1]
    assert len(data) <= MESSAGE_LIMIT
    said = unseal(data, signer.keys())
    assert (said.table, said.echo) == (now, echo)
    assert 0 < len(said.opened) <= OPENINGS


@given(st.integers(MAX_SWITCHES - 1, MAX_SWITCHES + 4))
def test_more_switches_of_all_regions_than_a_message_takes_are_one(count):
    signer, order = Signer(), Order()
    shut = [Switch(Scope(ANY, "*", "*", f"m{n}"), "leak", 1.0, version=n) for n in range(count)]
    shut.append(Switch(Scope(ANY), "leak", 1.0, version=999))
    announcer(signer, order).publish(Table("eu", 1000, "ab" * 32, tuple(shut)), ())
    told = decode(GlobalSaid, order.heard[-1][1]).table.shut
    assert len(told) <= MAX_SWITCHES
    for switch in shut:
        assert any(t.scope.covers(switch.scope) for t in told)

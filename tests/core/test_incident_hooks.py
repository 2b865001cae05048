"""Signatures after Standard Webhooks, what other systems are told of a case, and what they may tell."""

import base64
import json
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.incident import entries as kinds
from firedoor.core.incident import incoming
from firedoor.core.incident.affected import Affected, AskedFor, Range, encode
from firedoor.core.incident.case import fold
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, Entry, FoundOne
from firedoor.core.incident.hooks import BODY_LIMIT, messages_for, systems_of, type_of
from firedoor.core.incident.incoming import decode
from firedoor.core.incident.webhook import TOLERANCE, parse_secrets, sign, verify
from firedoor.core.plan.model import Model, Person, Plan, Region, Shop
from firedoor.core.plan.response import IncidentRules, OtherSystem
from firedoor.errors import ActRefused

AT = 1_795_000_000
NOW = AT * MICRO
CASE = "eu-20261118-abcdefghij"

# The vector that the project's own libraries are tested with
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
WHEN = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEYS = parse_secrets(SECRET)
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_published_vector() -> None:
    assert sign(KEYS, ID, WHEN, BODY) == SIGNATURE
    assert verify(KEYS, ID, str(WHEN), SIGNATURE, BODY, WHEN) == "good"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, "good"),
        ({"now": WHEN + TOLERANCE}, "good"),
        ({"now": WHEN - TOLERANCE}, "good"),
        ({"now": WHEN + TOLERANCE + 1}, "old"),
        ({"now": WHEN - TOLERANCE - 1}, "old"),
        ({"body": BODY + b" "}, "bad"),
        ({"id_": ID + "x"}, "bad"),
        ({"id_": ""}, "bad"),
        ({"id_": "msg.1"}, "bad"),
        ({"timestamp": str(WHEN + 1)}, "bad"),
        ({"timestamp": f"+{WHEN}"}, "bad"),
        ({"timestamp": f"{WHEN}.0"}, "bad"),
        ({"timestamp": ""}, "bad"),
        ({"timestamp": "9" * 400}, "bad"),
        ({"signature": ""}, "bad"),
        ({"signature": SIGNATURE.replace("v1", "v2")}, "bad"),
        ({"signature": SIGNATURE.removeprefix("v1,")}, "bad"),
        ({"signature": SIGNATURE.replace("E=", "A=")}, "bad"),
        ({"signature": f"v1,AAAA v2,{SIGNATURE} {SIGNATURE}"}, "good"),
        ({"signature": " ".join(["v1,AAAA"] * 8 + [SIGNATURE])}, "bad"),
        ({"signature": "v1,ä"}, "bad"),
        ({"secrets": parse_secrets(OTHER)}, "bad"),
        ({"secrets": parse_secrets(f"{OTHER} {SECRET}")}, "good"),
    ],
)
def test_what_verifies(change, found) -> None:
    given_ = {"secrets": KEYS, "id_": ID, "timestamp": str(WHEN), "signature": SIGNATURE, "body": BODY, "now": WHEN}
    assert verify(**{**given_, **change}) == found


def test_two_secrets_sign_twice_so_that_one_can_be_exchanged() -> None:
    both = sign(parse_secrets(f"{OTHER} {SECRET}"), ID, WHEN, BODY)
    assert both.split(" ")[1] == SIGNATURE
    for one in (OTHER, SECRET):
        assert verify(parse_secrets(one), ID, str(WHEN), both, BODY, WHEN) == "good"


@pytest.mark.parametrize(
    "text",
    ["", "secret", "whsec_", "whsec_!!!!", "whsec_" + "A" * 28, "whsec_" + "A" * 88, " ".join([SECRET] * 5), SECRET[6:]],
)  # fmt: skip
def test_what_is_no_secret(text) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        parse_secrets(text)
    assert "AAAA" not in str(refused.value)


@settings(max_examples=100)
@given(st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=20), st.text(max_size=60))
def test_only_what_was_signed_verifies(body, other, id_, signature) -> None:
    assert verify(KEYS, id_, str(WHEN), signature, body, WHEN) == "bad"
    signed = sign(KEYS, ID, WHEN, body)
    assert (verify(KEYS, ID, str(WHEN), signed, other, WHEN) == "good") == (other == body)


# What goes out

PLAN = Plan(
    firedoor=1,
    name="t",
    people={"ana": Person(name="Ana Álvarez", roles=("incident_commander",), key="ed25519:" + "A" * 43 + "=")},
    regions={"eu": Region(jurisdictions=("EU",), address="https://eu.example", listen="127.0.0.1:1")},
    models={"eu-chat": Model(region="eu", engine="embedded", name="small")},
    shops={"alpen": Shop(platform="other", home="DE")},
    surfaces={},
    incidents=IncidentRules(
        systems={
            "siem": OtherSystem(webhook="https://siem.example/in", jurisdiction="DE", secret_file="a"),
            "pager": OtherSystem(
                webhook="https://pager.example/in", jurisdiction="IE", secret_file="b", events="calls"
            ),
            "silent": OtherSystem(opens=True, secret_file="c"),
        }
    ),
)
OPENED = kinds.Opened(
    cause="finding", title="Mara Weiss told us", scope="eu/alpen/support/eu-chat", detected=NOW, rule="leak.value"
)


def story(*payloads, opened=OPENED, by="firedoor"):
    entries = [Entry(case=CASE, number=1, at=NOW, by="firedoor", payload=opened)]
    for number, payload in enumerate(payloads, 2):
        entries.append(Entry(case=CASE, number=number, at=NOW + (number - 1) * 90 * MICRO, by=by, payload=payload))
    return fold(entries), entries[-1]


def clock(id_="eu.gdpr.33.1", **more):
    values = {
        "title": "Ana's clock",
        "rule_version": "2018-05-25",
        "basis": "law",
        "source": "Art. 33",
        "recipients": (),
    }
    values |= {"start_event": "aware", "start_at": NOW, "length": "72h", "zone": "UTC", "due": NOW + 72 * 3600 * MICRO}
    return Clock(id=id_, **{**values, **more})


def told(*payloads, clocks=(), system="siem", **more):
    case, entry = story(*payloads, **more)
    found = [json.loads(m.body) for m in messages_for(case, entry, PLAN, "eu", lambda: clocks) if m.system == system]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("jurisdiction", "told_by"),
    [("DE", "eu"), ("DE-BY", "eu"), ("EU", "eu"), ("US", "us"), ("US-CA", "ca"), ("JP", None), (None, None)],
)
def test_a_system_hears_only_of_the_region_that_serves_where_it_stands(jurisdiction, told_by) -> None:
    there = {"eu": ("EU",), "us": ("US",), "ca": ("US-CA",)}
    regions = {
        name: Region(jurisdictions=served, address=f"https://{name}.example", listen=f"127.0.0.1:{n}")
        for n, (name, served) in enumerate(there.items(), 1)
    }
    system = OtherSystem(webhook="https://siem.example/in", jurisdiction=jurisdiction, secret_file="a", opens=True)
    plan = structs.replace(PLAN, regions=regions, incidents=IncidentRules(systems={"siem": system}))
    case, entry = story()
    heard = [name for name in regions if messages_for(case, entry, plan, name, tuple)]
    assert heard == [name for name in regions if systems_of(plan, name)] == ([told_by] if told_by else [])


def test_the_severity_of_a_restricted_case_is_told_to_nobody() -> None:
    scored = kinds.Scored(inputs="{}", quarters=16, because="x")
    called = kinds.Called(role="dpo", person="ana", reason="opened")
    assert told(scored, called, system="pager")["ocsf"]["severity_id"] == 5
    hidden = structs.replace(OPENED, restricted=("dpo",))
    assert told(scored, called, system="pager", opened=hidden)["ocsf"]["severity_id"] == 0


def test_a_case_that_opens_is_told_to_all_but_pagers() -> None:
    case, entry = story()
    [message] = messages_for(case, entry, PLAN, "eu", lambda: [clock(share=0.25, state="running")])
    assert message[:2] == (f"{CASE}/1/siem", "siem")
    assert json.loads(message.body) == {
        "type": "case.opened",
        "timestamp": "2026-11-18T11:06:40.000Z",
        "data": {
            "case": CASE, "entry": 1, "region": "eu", "state": "new", "restricted": False, "drill": None, "ref": None,
            "opened_at": "2026-11-18T11:06:40.000Z", "acknowledged_at": None, "contained_at": None, "sealed_at": None,
            "purged_at": None, "resolved_at": None, "closed_at": None, "leads": "here", "merged_into": None,
            "split_from": None, "scopes": ["eu/alpen/support/eu-chat"], "rules": ["leak.value"], "findings": 0,
            "failed": None, "moments": {"detected": "2026-11-18T11:06:40.000Z"}, "affected": None,
            "clocks": [{
                "id": "eu.gdpr.33.1", "version": "2018-05-25", "state": "running", "applies": "yes", "owner": "dpo",
                "start": "2026-11-18T11:06:40.000Z", "due": "2026-11-21T11:06:40.000Z", "cautious": None, "percent": 25,
            }],
            "clocks_left_out": 0, "called": None,
        },
        "ocsf": {
            "category_uid": 2, "class_uid": 2005, "activity_id": 1, "type_uid": 200501, "time": AT * 1000,
            "severity_id": 0, "status_id": 1, "finding_info_list": [{"uid": CASE, "title": "Firedoor case"}],
            "metadata": {"version": "1.8.0", "product": {"name": "Firedoor", "vendor_name": "Firedoor"}},
        },
    }  # fmt: skip


AFFECTED = Affected(
    asked=AskedFor(region="eu", scopes=("eu",), since=0, until=None), as_of=NOW, took=0.1, exchanges=Range(5, 5),
    exposed=Range(3, 5), confirmed=Range(1, 1), subjects=Range(2, None), exposed_subjects=Range(1, 2), jurisdictions={},
    categories={"EMAIL": Range(1, 1)}, subjects_by_category={}, recipients={}, findings={}, unknown={},
)  # fmt: skip
CALLED = kinds.Called(role="dpo", person="ana", reason="opened")
SCORED = kinds.Scored(inputs="{}", quarters=12, because="names and prices")


@pytest.mark.parametrize(
    ("payload", "type_", "seen"),
    [
        (kinds.Contained(scope="eu/alpen", version=7, at=NOW), "case.changed", {"contained_at": "2026-11-18T11:08:10.000Z"}),
        (kinds.Counted(affected=encode(AFFECTED)), "case.changed", {"affected": {
            "at": "2026-11-18T11:06:40.000Z", "exchanges": {"least": 5, "most": 5}, "exposed": {"least": 3, "most": 5},
            "subjects": {"least": 2, "most": None}, "exposed_subjects": {"least": 1, "most": 2}}}),
        (kinds.StepFailed(step="seal", code="journal_full"), "case.changed", {"failed": "seal:journal_full"}),
        (kinds.StepFailed(step="seal", code="she told me"), "case.changed", {"failed": "seal:other"}),
        (kinds.MomentSet(event="aware", at=NOW, because="Mara said so"), "case.changed", {
            "moments": {"aware": "2026-11-18T11:06:40.000Z", "detected": "2026-11-18T11:06:40.000Z"}}),
        (kinds.ClocksSet(clocks=()), "case.clocks", {"clocks": []}),
        (kinds.Acknowledged(note="Mara"), "case.acknowledged", {"acknowledged_at": "2026-11-18T11:08:10.000Z"}),
        (CALLED, "case.called", {"called": {"role": "dpo", "person": "ana", "reason": "opened", "rung": 0}}),
        (kinds.Closed(because="Mara"), "case.closed", {"state": "closed", "closed_at": "2026-11-18T11:08:10.000Z"}),
        (kinds.MergedInto(case="eu-2", because="Mara"), "case.closed", {"state": "merged", "merged_into": "eu-2"}),
        (kinds.Linked(system="siem", ref="SIR-4", url="https://siem.example/4"), "case.linked", {"ref": "SIR-4"}),
    ],
)  # fmt: skip
def test_what_is_told_of_an_entry(payload, type_, seen) -> None:
    message = told(payload, by="ana")
    assert message["type"] == type_
    assert {name: message["data"][name] for name in seen} == seen


@pytest.mark.parametrize(
    "payload",
    [
        kinds.Noted(text="Mara"),
        kinds.Tasked(text="Mara"),
        kinds.Assigned(role="dpo", person="ana"),
        SCORED,
        kinds.Findings(found=()),
        kinds.Linked(system="pager", ref="P-1"),
    ],
)
def test_what_is_not_told(payload) -> None:
    assert told(payload) is None


def test_a_link_is_told_to_that_system_alone_and_not_to_the_one_that_made_it() -> None:
    link = kinds.Linked(system="siem", ref="SIR-4")
    case, entry = story(link, by="ana")
    assert [m.system for m in messages_for(case, entry, PLAN, "eu", tuple)] == ["siem"]
    assert told(link, by="hook:siem") is None
    assert told(link, CALLED)["data"]["ref"] == "SIR-4"
    assert told(link, CALLED, system="pager")["data"]["ref"] is None  # not its own
    theirs = structs.replace(OPENED, cause="hook", system="siem", ref="SIR-9")
    assert told(CALLED, opened=theirs)["data"]["ref"] == "SIR-9"


def test_a_pager_is_told_of_calls_answers_and_the_end() -> None:
    types = []
    for payload in (
        CALLED,
        kinds.Acknowledged(),
        kinds.Closed(because="done"),
        kinds.Resolved(because="done"),
        kinds.ClocksSet(clocks=()),
    ):
        case, entry = story(payload)
        types += [type_of(payload) for m in messages_for(case, entry, PLAN, "eu", tuple) if m.system == "pager"]
    assert types == ["case.called", "case.acknowledged", "case.closed"]


def test_of_a_restricted_case_calls_are_told_without_where_and_what() -> None:
    hidden = structs.replace(OPENED, restricted=("legal",))
    assert told(opened=hidden) is None
    assert told(kinds.Contained(), opened=hidden) is None
    data = told(CALLED, opened=hidden, clocks=[clock()])["data"]
    assert data["restricted"] is True
    assert (data["scopes"], data["rules"], data["moments"], data["clocks"], data["affected"]) == ([], [], {}, [], None)
    assert data["called"]["person"] == "ana"


def test_who_is_called_for_many_clocks_at_once_is_told_once() -> None:
    first = Entry(case=CASE, number=1, at=NOW, by="firedoor", payload=OPENED)
    calls = [structs.replace(CALLED, reason=f"clock.{n}:50") for n in range(3)]
    entries = [
        first,
        *(Entry(case=CASE, number=n, at=NOW + n, by="firedoor", payload=one) for n, one in enumerate(calls, 2)),
    ]
    sent = [messages_for(fold(entries), entry, PLAN, "eu", tuple) for entry in entries[1:]]
    assert [len(one) for one in sent] == [2, 0, 0]
    later = Entry(case=CASE, number=5, at=NOW + 16 * 60 * MICRO, by="firedoor", payload=calls[0])
    assert len(messages_for(fold([*entries, later]), later, PLAN, "eu", tuple)) == 2


def test_severity_and_status_as_ocsf_has_them() -> None:
    for quarters, severity in ((1, 2), (7, 2), (8, 3), (11, 3), (12, 4), (15, 4), (16, 5), (24, 5)):
        scored = structs.replace(SCORED, quarters=quarters)
        assert told(scored, CALLED)["ocsf"]["severity_id"] == severity
    assert told(kinds.Acknowledged(), by="ana")["ocsf"]["status_id"] == 2
    assert told(kinds.Resolved(because="x"), by="ana")["ocsf"]["status_id"] == 4
    closed = told(kinds.Closed(because="x"), by="ana")["ocsf"]
    assert (closed["status_id"], closed["activity_id"], closed["type_uid"]) == (5, 3, 200503)


def test_the_largest_case_fits() -> None:
    long = "x" * 63
    found = [
        FoundOne(
            slot="w",
            seq=n,
            at=NOW,
            rule=f"{n}{'r' * 118}",
            verdict="shut",
            scope=f"{long}/{long}/{long}/{long[:-2]}{n:02}",
        )
        for n in range(50)
    ]
    moments = [
        kinds.MomentSet(event=event, at=NOW + n, because="x")
        for n, event in enumerate(
            (
                "aware",
                "triaged",
                "significant_aware",
                "high_risk_decided",
                "classified_major",
                "told_people",
                "assessed_notifiable",
                "occurred_from",
                "occurred_to",
            )
        )
    ]
    link = kinds.Linked(system="siem", ref="\U0001f512" * 120, url="https://x.example/" + "y" * 1900)
    clocks = [
        clock(f"{n:02}.{'c' * 90}", rule_version="v" * 60, cautious=NOW, state="not_started", share=1e9)
        for n in range(80)
    ]
    case, entry = story(
        kinds.Findings(found=tuple(found)),
        *moments,
        kinds.Counted(affected=encode(AFFECTED)),
        link,
        kinds.StepFailed(step="contain", code="c" * 120),
    )
    messages = messages_for(case, entry, PLAN, "eu", lambda: clocks)
    assert messages
    assert all(len(m.body) <= BODY_LIMIT and len(m.id) <= 200 for m in messages)
    assert json.loads(messages[0].body)["data"]["clocks_left_out"] == 55


WORDS = st.text(min_size=1, max_size=20).filter(lambda t: not re.search(r"[\x00-\x1f\x7f-\x9f]", t))
SAFE = re.compile(r"[A-Za-z0-9_.:/*~-]*|Firedoor( case)?")


def texts(value):
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in (k, *texts(v))]
    if isinstance(value, list):
        return [t for v in value for t in texts(v)]
    return [value] if isinstance(value, str) else []


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS, st.data())
def test_nobodys_words_leave_and_the_same_entry_always_makes_the_same_messages(words, more, data) -> None:
    opened = kinds.Opened(cause="person", title=words, scope="eu", detected=NOW, rule=more, ref=words, system="other")
    payload = data.draw(
        st.sampled_from(
            [
                kinds.Called(role="dpo", person="ana", reason=more),
                kinds.StepFailed(step="seal", code=words),
                kinds.MomentSet(event="aware", at=NOW, because=words),
                kinds.Closed(because=words, lessons=more),
                kinds.Acknowledged(note=words),
                kinds.Linked(system="other", ref=words, url="https://x.example"),
                kinds.Findings(found=(FoundOne(slot=words, seq=1, at=NOW, rule=words, verdict=more, scope=more),)),
            ]
        )
    )
    case, entry = story(payload, CALLED, opened=opened)
    clocks = [clock(words, title=more, why=words, source=words)]
    messages = messages_for(case, entry, PLAN, "eu", lambda: clocks)
    assert messages == messages_for(case, entry, PLAN, "eu", lambda: clocks)
    for message in messages:
        assert all(SAFE.fullmatch(text) for text in texts(json.loads(message.body)))


# What comes in


def body(type_="case.open", **data):
    base = {"ref": "SIR-4", "title": "Prices on a forum", "scope": "eu/alpen", "detected": "2026-11-18T10:00:00+01:00"}
    return {
        "type": type_,
        "timestamp": "2026-11-18T11:06:00Z",
        "data": {**(base if type_ == "case.open" else {}), **data},
    }


def raw(value):
    return msgspec.json.encode(value)


def test_a_case_that_another_system_opens_shuts_and_purges_nothing() -> None:
    message = decode(raw(body()))
    opened = incoming.opened("siem", message, PLAN, "eu", NOW)
    assert opened == kinds.Opened(
        cause="hook", title="Prices on a forum", scope="eu/alpen/*/*", detected=(AT - 7600) * MICRO, shut=False,
        system="siem", ref="SIR-4",
    )  # fmt: skip
    assert incoming.trigger("siem", "SIR-4") != incoming.trigger("siem", "SIR-5") != incoming.trigger("sie", "mSIR-4")


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.pop("timestamp"),
        lambda b: b.pop("type"),
        lambda b: b.update(type="case.close"),
        lambda b: b.update(more=1),
        lambda b: b.update(timestamp="2026-11-18T11:06:00"),
        lambda b: b.update(timestamp=1795000000),
        lambda b: b["data"].pop("ref"),
        lambda b: b["data"].update(ref=""),
        lambda b: b["data"].update(ref="a\nb"),
        lambda b: b["data"].update(ref="x" * 121),
        lambda b: b["data"].update(title="x" * 301),
        lambda b: b["data"].update(shut=True),
        lambda b: b["data"].update(detected="yesterday"),
        lambda b: b["data"].update(url="javascript:alert(1)"),
        lambda b: b["data"].update(url="https://x.example/ y"),
    ],
)
def test_a_body_with_anything_else_is_refused(change) -> None:
    wrong = body()
    change(wrong)
    with pytest.raises(ActRefused) as refused:
        decode(raw(wrong))
    assert refused.value.code == "bad_body"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 60_000, b'{"type":"case.open"}'])
def test_what_is_no_body(data) -> None:
    with pytest.raises(ActRefused) as refused:
        decode(data)
    assert refused.value.code == "bad_body"


@pytest.mark.parametrize(
    ("data", "good"),
    [
        ({"case": CASE, "event": "aware", "at": "2026-11-18T11:00:00Z", "because": "we saw it"}, True),
        ({"ref": "SIR-4", "event": "detected", "at": "2026-11-18T11:00:00Z", "because": "we saw it"}, True),
        ({"event": "aware", "at": "2026-11-18T11:00:00Z", "because": "we saw it"}, False),
        ({"case": CASE, "ref": "SIR-4", "event": "aware", "at": "2026-11-18T11:00:00Z", "because": "x"}, False),
        ({"ref": "SIR-4", "event": "occurred_from", "at": "2026-11-18T11:00:00Z", "because": "x"}, False),
        ({"ref": "SIR-4", "event": "aware", "at": "2026-11-18T11:00:00Z", "because": ""}, False),
        ({"case": "../x", "event": "aware", "at": "2026-11-18T11:00:00Z", "because": "x"}, False),
    ],
)
def test_moments_name_one_case(data, good) -> None:
    if good:
        assert decode(raw(body("case.moment", **data))).data.event == data["event"]
    else:
        with pytest.raises(ActRefused):
            decode(raw(body("case.moment", **data)))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"scope": "us/alpen"}, "other_region"),
        ({"scope": "*"}, "other_region"),
        ({"scope": "eu/nowhere"}, "unknown_scope"),
        ({"scope": "eu/a b"}, "bad_scope"),
        ({"detected": "2026-11-18T11:11:41Z"}, "bad_moment"),
        ({"detected": "2025-11-17T11:00:00Z"}, "bad_moment"),
        ({"detected": "0001-01-01T00:00:00+23:59"}, "bad_moment"),
    ],
)
def test_what_cannot_be_meant_is_refused(data, code) -> None:
    with pytest.raises(ActRefused) as refused:
        incoming.opened("siem", decode(raw(body(**data))), PLAN, "eu", NOW)
    assert refused.value.code == code


def test_a_clock_that_is_a_little_ahead_is_taken_as_now() -> None:
    ahead = incoming.opened("siem", decode(raw(body(detected="2026-11-18T11:11:40Z"))), PLAN, "eu", NOW)
    assert ahead.detected == NOW


def test_what_is_kept_of_what_no_system_may_set() -> None:
    aware = decode(raw(body("case.moment", case=CASE, event="aware", at="2026-11-18T12:00:00+01:00", because="a call")))
    assert incoming.noted("siem", aware, NOW).text == "siem: aware there at 2026-11-18T11:00:00.000Z: a call"
    closed = decode(raw(body("case.state", ref="SIR-4", state="closed")))
    assert incoming.noted("siem", closed, NOW).text == "siem: closed there since 2026-11-18T11:06:00.000Z."


@settings(max_examples=150)
@given(
    st.binary(max_size=100)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "timestamp", "data", "ref", "case"]), c, max_size=4)
        ),
    ).map(raw)
)
def test_anything_is_a_message_or_is_refused(data) -> None:
    try:
        message = decode(data)
    except ActRefused as refused:
        assert refused.code == "bad_body"
    else:
        assert isinstance(message, incoming.Incoming)

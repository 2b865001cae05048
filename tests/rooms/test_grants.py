"""Break-glass: who may ask, who may agree, for how long, and what goes on record before anything is shown."""

import json

import pytest
from msgspec import json as fast
from msgspec import structs

from firedoor.core.evidence.bundle import Selection
from firedoor.core.people import GRANT_LIFETIME, LIFETIME, SKEW, Act, Signed
from firedoor.errors import ActRefused, JournalPoisoned
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener

from .bundles import NOTE, filled, lookup, receiver

ONE = Selection(exchanges=("ex_1",))


@pytest.fixture
def house(tmp_path):
    return filled(tmp_path, exchanges=2)


def records(house, exchange="ex_1"):
    return [one for slot in ("w0", "w1") for one in read(house.place.journal(slot)) if one.leaf.exchange == exchange]


def acts(house):
    """What people's records say, without those of the journal itself."""
    return [one.leaf for one in read(house.place.journal("operator")) if one.leaf.kind not in {"begin", "carried"}]


def code(call):
    with pytest.raises(ActRefused) as refused:
        call()
    return refused.value.code


def show(house, grant, exchange="ex_1"):
    id_ = grant if grant is None or isinstance(grant, str) else grant.id
    return house.desk(lambda desk: desk.show(exchange, records(house, exchange), id_))


def test_two_persons_and_a_reason_read_bodies(house):
    grant = house.approve(house.request(ONE))
    shown = show(house, grant)
    assert [one.body for one in shown] == [b"question 1", b"an answer"]
    said = [(leaf.kind, leaf.facts["state"]) for leaf in acts(house)]
    assert said == [("request", "proposed"), ("request", "approved"), ("access", "done")]
    access = acts(house)[-1]
    assert access.exchange == "ex_1"
    assert access.facts["by"] == ["ben", "ana"]
    assert (access.facts["reason"], access.facts["bodies"], access.facts["grant"]) == ("authority_request", 2, grant.id)
    assert len(access.facts["signatures"]) == 2
    act = fast.decode(access.facts["content"].partition("\n")[2], type=Act)
    assert act.args["selection"] == ONE.digest


def test_the_note_is_sealed_and_nowhere_in_clear(house):
    grant = house.approve(house.request(ONE))
    show(house, grant)
    for path in house.place.root.rglob("*"):
        if path.is_file():
            assert NOTE.encode() not in path.read_bytes(), path
    opener = BodyOpener(house.place.bodies, house.place.subjects, house.ring)
    assert [opener.open(leaf) for leaf in acts(house) if leaf.body is not None] == [NOTE.encode()] * 2
    assert house.desk(lambda desk: desk.grants.note(grant)) == NOTE


def test_without_a_grant_it_says_what_to_run_and_is_on_record(house):
    with pytest.raises(ActRefused) as refused:
        show(house, None)
    assert refused.value.code == "no_grant"
    assert "firedoor evidence request --exchange ex_1" in refused.value.remedy
    assert "firedoor evidence approve" in refused.value.remedy
    (leaf,) = acts(house)
    assert (leaf.kind, leaf.facts["state"], leaf.facts["code"], leaf.exchange) == (
        "access",
        "refused",
        "no_grant",
        "ex_1",
    )


@pytest.mark.parametrize(
    ("by", "second", "expected"),
    [
        ("dora", None, "role_missing"),  # an engineer may open switches, not read
        ("ben", "ben", "same_person"),
        ("ben", "cem", "role_missing"),  # a SOC analyst may ask, not agree
        ("ben", "dora", "role_missing"),
        ("cem", "ben", None),
    ],
)
def test_who_may_ask_and_who_may_agree(house, by, second, expected):
    if second is None:
        assert code(lambda: house.request(ONE, by=by)) == expected
    elif expected is None:
        assert house.approve(house.request(ONE, by=by), second).approved_at == house.now
    else:
        grant = house.request(ONE, by=by)
        assert code(lambda: house.approve(grant, second)) == expected
        assert code(lambda: show(house, grant)) == "second_person_missing"
    if expected is not None:
        assert "refused" in [leaf.facts["state"] for leaf in acts(house)]


def test_one_signature_shows_nothing(house):
    grant = house.request(ONE)
    assert code(lambda: show(house, grant)) == "second_person_missing"


@pytest.mark.parametrize(("wait", "expected"), [(LIFETIME, None), (LIFETIME + 1, "expired")])
def test_the_second_person_has_fifteen_minutes(house, wait, expected):
    grant = house.request(ONE)
    house.now += wait
    if expected is None:
        house.approve(grant)
    else:
        assert code(lambda: house.approve(grant)) == expected


@pytest.mark.parametrize(
    ("wait", "expected"),
    [(GRANT_LIFETIME, None), (GRANT_LIFETIME + 1, "expired"), (-SKEW, None), (-SKEW - 1, "expired")],
)
def test_a_grant_is_good_for_an_hour(house, wait, expected):
    grant = house.approve(house.request(ONE))
    house.now += wait
    if expected is None:
        assert len(show(house, grant)) == 2
    else:
        assert code(lambda: show(house, grant)) == expected


def edit(house, grant, **changes):
    """Somebody with the region's files changes a grant."""
    path = house.place.grants / f"{grant.id}.json"
    path.write_bytes(fast.encode(structs.replace(grant, **changes)))


def test_a_changed_file_grants_nothing(house):
    grant = house.approve(house.request(ONE))
    waiting = house.request(Selection(exchanges=("ex_0",)))
    edit(house, grant, selection=Selection(exchanges=("ex_0", "ex_1")))
    assert code(lambda: show(house, grant)) == "altered"
    edit(house, grant, approved_at=grant.signed.act.made_at + LIFETIME + 1)  # to use it for longer
    assert code(lambda: show(house, grant)) == "expired"
    edit(house, waiting, approved_at=house.now)  # nobody agreed
    assert code(lambda: show(house, waiting, "ex_0")) == "second_person_missing"
    first = waiting.signed.signatures[0]
    edit(house, waiting, approved_at=house.now, signed=Signed(waiting.signed.act, (first, grant.signed.signatures[1])))
    assert code(lambda: show(house, waiting, "ex_0")) == "bad_signature"
    (house.place.grants / f"{waiting.id}.json").write_bytes(b"{")
    assert code(lambda: show(house, waiting, "ex_0")) == "altered"
    (house.place.grants / f"{waiting.id}.json").write_bytes(b'{"id":"\xff"}')
    assert code(lambda: show(house, waiting, "ex_0")) == "altered"


def test_a_grant_under_another_plan_is_over(house):
    grant = house.approve(house.request(ONE))
    house.loaded = structs.replace(house.loaded, digest="cd" * 32)
    assert code(lambda: show(house, grant)) == "other_plan"


def test_a_person_who_left_the_plan_grants_nothing(house):
    grant = house.approve(house.request(ONE))
    people = {name: one for name, one in house.loaded.plan.people.items() if name != "ana"}
    house.loaded = structs.replace(house.loaded, plan=structs.replace(house.loaded.plan, people=people))
    assert code(lambda: show(house, grant)) == "unknown_person"


def test_a_grant_is_for_what_it_says(house):
    grant = house.approve(house.request(ONE))
    assert code(lambda: show(house, grant, "ex_0")) == "not_in_grant"
    _, recipient = receiver()
    outward = house.approve(house.request(ONE, recipient=recipient))
    assert code(lambda: show(house, outward)) == "other_recipient"


def test_a_grant_by_subject_is_about_that_subjects_bodies(house):
    key = records(house)[0].leaf.key
    grant = house.approve(house.request(Selection(keys=(key,))))
    assert len(show(house, grant)) == 2
    assert code(lambda: show(house, grant, "ex_0")) == "not_in_grant"


@pytest.mark.parametrize("id_", ["eu-000000000000", "../../etc/passwd", "eu-../../x", "", "us-0123456789ab"])
def test_an_unknown_or_strange_id(house, id_):
    assert code(lambda: show(house, id_)) == "unknown_grant"


def test_a_request_is_taken_once_and_approved_once(house):
    grant = house.request(ONE)
    act = grant.signed.act
    again = Signed(act, grant.signed.signatures)
    assert code(lambda: house.desk(lambda desk: desk.request(again, ONE, NOTE))) == "nonce_spent"
    house.approve(grant)
    assert code(lambda: house.approve(grant)) == "approved_already"


def test_a_request_for_nothing_or_another_selection_is_refused(house):
    assert code(lambda: house.request(Selection())) == "altered"
    act = house.act(ONE)
    signed = Signed(act, (house.keys["ben"].sign("ben", act),))
    assert (
        code(lambda: house.desk(lambda desk: desk.request(signed, Selection(exchanges=("ex_0",)), NOTE))) == "altered"
    )
    assert code(lambda: house.desk(lambda desk: desk.request(signed, ONE, "another note"))) == "bad_note"


def test_nothing_is_shown_that_is_not_on_record_first(house):
    grant = house.approve(house.request(ONE))

    def fail(record):
        raise JournalPoisoned("the disk is full")

    def work(desk):
        desk._write = fail
        return desk.show("ex_1", records(house), grant.id)

    with pytest.raises(JournalPoisoned):
        house.desk(work)


def test_what_was_erased_is_not_shown_and_says_so(house):
    from firedoor.store.cells import erase
    from firedoor.store.holds import living

    grant = house.approve(house.request(ONE))
    for found in living(house.place.subjects, lookup("shopper 1")):
        erase(found.path, [found.offset])
    shown = show(house, grant)
    assert [one.body for one in shown] == [None, None]
    assert all("erased" in one.reason for one in shown)


def test_grants_are_kept_as_plain_json_without_personal_data(house):
    grant = house.request(ONE)
    document = json.loads((house.place.grants / f"{grant.id}.json").read_bytes())
    assert set(document) == {"format", "id", "selection", "signed", "note", "approved_at"}
    assert house.desk(lambda desk: [one.id for one in desk.grants.newest()]) == [grant.id]

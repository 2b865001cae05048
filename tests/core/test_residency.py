"""Who may enter, from the head alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import MessageFallback, Model, Plan, Region, Shop, Surface
from firedoor.core.plan.words import Duration
from firedoor.core.residency import Grant, Head, Residency, region_named
from firedoor.errors import CallerError

FALLBACK = MessageFallback(text={"en": "x"})


def region(codes, port):
    return Region(jurisdictions=codes, address=f"http://gw-{port}.example", listen=f"127.0.0.1:{port}")


PLAN = Plan(
    firedoor=1,
    name="t",
    people={},
    regions={"eu": region(("EU", "CH"), 1), "us": region(("US",), 2), "eu_south": region(("MA",), 3)},
    models={"m": Model(region="eu", engine="scripted", name="small", script="s")},
    shops={"alpen": Shop(platform="other", home="DE"), "bay": Shop(platform="other", home="US")},
    surfaces={"support": Surface(models={"eu": "m"}, deadline=Duration(1), fallback=FALLBACK, shops=("alpen", "bay"))},
)
KNOWN = {
    "fd_eu_abc_1": Grant("abc", "alpen", "support"),
    "fd_eu_bay_1": Grant("bay", "bay", "support"),
    "fd_eu_old_1": Grant("old", "alpen", "gone"),
    "fd_eu_south_abc_1": Grant("s", "alpen", "support"),
}
EU = Residency(PLAN, "eu", JurisdictionTable(PLAN))


def admit(token, **head):
    return EU.admit(Head(authorization=f"Bearer {token}", **head), KNOWN.get)


def test_a_known_credential_enters_with_its_shops_home():
    assert admit("fd_eu_abc_1").jurisdiction == "DE"


def test_a_home_in_another_region_is_not_claimed_for_this_one():
    assert admit("fd_eu_bay_1").jurisdiction is None


@pytest.mark.parametrize("stated", ["FR", "CH", "DE-BY", "IT-25"])
def test_a_stated_jurisdiction_of_this_region_is_taken(stated):
    assert admit("fd_eu_abc_1", jurisdiction=stated).jurisdiction == stated


REFUSED = [
    ({"token": "fd_us_abc_1"}, 421, "wrong_region"),
    ({"token": "fd_eu_south_abc_1"}, 421, "wrong_region"),
    ({"token": "fd_mars_abc_1"}, 401, "invalid_credential"),
    ({"token": "fd_eu_nobody_1"}, 401, "invalid_credential"),
    ({"token": "fd_eu_old_1"}, 401, "invalid_credential"),
    ({"token": "fd_eu"}, 401, "invalid_credential"),
    ({"token": ""}, 401, "invalid_credential"),
    ({"token": "x" * 10_000}, 401, "invalid_credential"),
    ({"token": "fd_eu_abc_1", "jurisdiction": "US"}, 421, "wrong_region"),
    ({"token": "fd_eu_abc_1", "jurisdiction": "US-CA"}, 421, "wrong_region"),
    ({"token": "fd_eu_abc_1", "jurisdiction": "JP"}, 403, "jurisdiction_not_served"),
    ({"token": "fd_eu_abc_1", "jurisdiction": "de"}, 400, "invalid_jurisdiction"),
    ({"token": "fd_eu_abc_1", "jurisdiction": ""}, 400, "invalid_jurisdiction"),
    ({"token": "fd_eu_abc_1", "jurisdiction": "DE\n"}, 400, "invalid_jurisdiction"),
]


@pytest.mark.parametrize(("head", "status", "code"), REFUSED)
def test_everybody_else_is_refused(head, status, code):
    with pytest.raises(CallerError) as caught:
        admit(**head)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_the_right_address_is_told():
    with pytest.raises(CallerError) as caught:
        admit("fd_us_abc_1")
    assert ("firedoor-address", "http://gw-2.example") in caught.value.headers


@pytest.mark.parametrize("header", [None, "", "Basic x", "Bearer", "bearer", "Token fd_eu_abc_1"])
def test_other_schemes_are_refused(header):
    with pytest.raises(CallerError):
        EU.admit(Head(authorization=header), KNOWN.get)


@given(st.text(), st.none() | st.text())
def test_any_head_is_admitted_or_refused_and_only_a_known_credential_enters(token, jurisdiction):
    try:
        admitted = admit(token, jurisdiction=jurisdiction)
    except CallerError:
        return
    assert token.strip() in KNOWN
    assert admitted.grant == KNOWN[token.strip()]


@pytest.mark.parametrize(
    ("token", "named"),
    [("fd_eu_a_b", "eu"), ("fd_eu_south_a_b", "eu_south"), ("fd__a_b", ""), ("eu_a_b", None), ("fd_a_b", None)],
)
def test_regions_may_have_underscores(token, named):
    assert region_named(token) == named

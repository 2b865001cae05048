"""Which region serves a jurisdiction: the most precise entry of the plan wins."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.plan.decode import decode
from firedoor.core.plan.jurisdictions import COUNTRIES, EEA, EU, GROUPS, covered, expand
from firedoor.core.plan.lookup import JurisdictionTable, region_of
from firedoor.core.plan.model import Plan, Region

GOOD = decode((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan


def plan_with(**regions: tuple[str, ...]) -> Plan:
    made = {
        name: Region(jurisdictions=codes, address="https://ai.example", listen=f"127.0.0.1:{8000 + number}")
        for number, (name, codes) in enumerate(regions.items())
    }
    return msgspec.structs.replace(GOOD, regions=made)


@pytest.mark.parametrize(
    ("code", "region"),
    [
        ("DE", "eu"),
        ("DE-BY", "eu"),
        ("GR", "eu"),
        ("GP", "eu"),  # Guadeloupe: Union territory with a code of its own
        ("EU", "eu"),
        ("NO", "eu"),
        ("EEA", None),  # Iceland and Liechtenstein are not served
        ("IS", None),
        ("GB", None),
        ("SJ", None),  # Svalbard is outside the EEA, and not Norway's code
        ("US", "us"),
        ("US-CA", "us"),
        ("CA-QC", "us"),
        ("CA", None),  # Quebec is served, Canada is not
        ("CA-ON", None),
        ("XX", None),
        ("", None),
        ("-", None),
        ("de", None),
    ],
)
def test_region_of(code, region):
    assert region_of(GOOD, code) == region


def test_the_more_precise_entry_wins():
    table = JurisdictionTable(plan_with(de=("DE",), eu=("EU",), by=("DE-BY",)))
    assert [table.region_of(code) for code in ("FR", "DE", "DE-BY", "DE-BE", "EU")] == ["eu", "de", "by", "de", "eu"]


def test_a_group_nobody_lists_is_served_when_one_region_serves_all_of_it():
    assert region_of(plan_with(a=tuple(sorted(EU.members))), "EU") == "a"
    assert region_of(plan_with(a=("EEA",)), "EU") == "a"
    halves = sorted(EU.members)
    assert region_of(plan_with(a=tuple(halves[:9]), b=tuple(halves[9:])), "EU") is None


@given(st.text(max_size=8))
def test_any_text_has_an_answer(code):
    assert region_of(GOOD, code) in {"eu", "us", None}


def test_the_data_is_consistent():
    assert len(EU.members) == 27
    assert len(EEA.members) == 30
    assert len(COUNTRIES) == 250
    for code, group in GROUPS.items():
        assert group.code == code
        assert group.members | group.territories <= COUNTRIES
        assert not group.members & group.territories
        assert group.source
        assert group.since
    assert expand("EU") < covered("EU")
    assert expand("DE") == covered("DE") == {"DE"}

"""What a shop may tell about its shopper, what is refused, and that no value gets into an error. Invented persons only."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.plan.model import LABELS
from firedoor.core.subject import (
    MAX_CHARACTERS,
    MAX_TOTAL,
    MAX_VALUES,
    OTHER_LABELS,
    Address,
    Name,
    SubjectRecord,
    take_subject,
)
from firedoor.errors import CallerError


def told(subject):
    _, record = take_subject({"model": "m", "firedoor": {"subject": subject}})
    return record


def refused(field):
    with pytest.raises(CallerError) as caught:
        take_subject({"firedoor": field})
    assert caught.value.status == 400
    return caught.value


def test_the_field_is_taken_out_and_the_request_is_not_touched():
    body = {"model": "m", "messages": [], "firedoor": {"subject": {"email": "mia@example.org"}}, "seed": 1}
    before = msgspec.json.encode(body)
    rest, record = take_subject(body)
    assert rest == {"model": "m", "messages": [], "seed": 1}
    assert record == SubjectRecord(emails=("mia@example.org",))
    assert msgspec.json.encode(body) == before


@pytest.mark.parametrize(
    "field", [None, {}, {"subject": None}, {"subject": {}}, {"subject": {"email": "", "addresses": [{}]}}]
)
def test_nothing_told_is_no_record(field):
    assert take_subject({"model": "m", "firedoor": field}) == ({"model": "m"}, None)


def test_without_the_field_the_request_is_the_same_one():
    body = {"model": "m"}
    assert take_subject(body) == (body, None)
    assert take_subject(body)[0] is body


def test_the_written_shape():
    record = told(
        {
            "full_name": "Mirela Testowa",
            "emails": ["mirela@example.org", "mt@example.com"],
            "phones": "+48 501 234 567",
            "addresses": [{"street": "ul. Próbna 5", "postcode": "00-001", "city": "Warszawa"}, {"city": "Kraków"}],
            "order_ids": ["#1001", 1002],
            "account_ids": [207119551],
            "date_of_birth": "1984-03-07",
            "tax_ids": ["1234563218"],
            "usernames": ["mirela_t"],
            "other": {"IBAN": ["PL61109010140000071219812874"], "IP": "198.51.100.7"},
        }
    )
    assert record == SubjectRecord(
        names=(Name(full="Mirela Testowa"),),
        emails=("mirela@example.org", "mt@example.com"),
        phones=("+48 501 234 567",),
        addresses=(Address(("ul. Próbna 5",), "00-001", "Warszawa"), Address((), "", "Kraków")),
        order_ids=("#1001", "1002"),
        account_ids=("207119551",),
        tax_ids=("1234563218",),
        usernames=("mirela_t",),
        date_of_birth="1984-03-07",
        other=(("IBAN", ("PL61109010140000071219812874",)), ("IP", ("198.51.100.7",))),
    )


def test_the_names_of_a_shopify_customer():
    record = told(
        {
            "id": 207119551,
            "first_name": "Jo",
            "last_name": "Sample",
            "email": "jo@example.com",
            "phone": None,
            "default_address": {
                "first_name": "Jo",
                "last_name": "Sample",
                "name": "Jo Sample",
                "address1": "12 Test Street",
                "address2": "Flat 4",
                "zip": "AB1 2CD",
                "city": "Sampleton",
                "phone": "555-0142",
            },
        }
    )
    assert record.names == (Name("Jo Sample", "Jo", "Sample"), Name("", "Jo", "Sample"))
    assert record.addresses == (Address(("12 Test Street", "Flat 4"), "AB1 2CD", "Sampleton"),)
    assert record.account_ids == ("207119551",)
    assert record.phones == ("555-0142",)


def test_the_names_of_a_magento_customer():
    record = told(
        {
            "customer_id": 7,
            "firstname": "Eva",
            "middlename": "Maria",
            "lastname": "Probe",
            "dob": "1990-12-31 00:00:00",
            "taxvat": "DE136695976",
            "addresses": [
                {
                    "firstname": "Eva",
                    "lastname": "Probe",
                    "street": ["Probeweg 1", "Hinterhaus"],
                    "telephone": "0171 1234567",
                }
            ],
        }
    )
    assert Name("", "Eva Maria", "Probe") in record.names
    assert record.date_of_birth == "1990-12-31"
    assert record.tax_ids == ("DE136695976",)
    assert record.addresses == (Address(("Probeweg 1", "Hinterhaus"), "", ""),)
    assert record.phones == ("0171 1234567",)


def test_the_same_value_twice_is_one():
    assert told({"emails": ["a@example.org", "a@example.org"]}).emails == ("a@example.org",)


@pytest.mark.parametrize(
    ("field", "param", "code"),
    [
        ([], "firedoor", "invalid_type"),
        ("x", "firedoor", "invalid_type"),
        ({"subjects": {}}, "firedoor.subjects", "invalid_value"),
        ({"subject": []}, "firedoor.subject", "invalid_type"),
        ({"subject": {"surname": "x"}}, "firedoor.subject.surname", "invalid_value"),
        ({"subject": {"email": 1.5}}, "firedoor.subject.email", "invalid_type"),
        ({"subject": {"email": True}}, "firedoor.subject.email", "invalid_type"),
        ({"subject": {"emails": ["a@example.org", {}]}}, "firedoor.subject.emails[1]", "invalid_type"),
        ({"subject": {"emails": [["a@example.org"]]}}, "firedoor.subject.emails[0]", "invalid_type"),
        ({"subject": {"order_ids": [-1]}}, "firedoor.subject.order_ids[0]", "invalid_type"),
        ({"subject": {"addresses": ["Street 1"]}}, "firedoor.subject.addresses[0]", "invalid_type"),
        ({"subject": {"addresses": [{"country": "DE"}]}}, "firedoor.subject.addresses[0].country", "invalid_value"),
        ({"subject": {"date_of_birth": "07.03.1984"}}, "firedoor.subject.date_of_birth", "invalid_value"),
        ({"subject": {"date_of_birth": "1983-02-29"}}, "firedoor.subject.date_of_birth", "invalid_value"),
        ({"subject": {"date_of_birth": ["1984-03-07"]}}, "firedoor.subject.date_of_birth", "invalid_type"),
        ({"subject": {"other": {"EMAIL": ["a@example.org"]}}}, "firedoor.subject.other.EMAIL", "invalid_value"),
        ({"subject": {"other": ["x"]}}, "firedoor.subject.other", "invalid_type"),
        ({"subject": {"name": "x" * (MAX_CHARACTERS + 1)}}, "firedoor.subject.name", "invalid_value"),
        ({"subject": {"phones": ["0"] * (MAX_VALUES + 1)}}, "firedoor.subject.phones", "invalid_value"),
    ],
)
def test_what_is_refused(field, param, code):
    error = refused(field)
    assert (error.param, error.code) == (param, code)
    assert param in error.message


def test_all_values_count_together():
    each = [f"a{number}" for number in range(MAX_VALUES // 2)]
    assert told({"order_ids": each, "account_ids": each}) is not None
    error = refused({"subject": {"order_ids": each, "account_ids": each, "city": None, "username": "one more"}})
    assert error.param == "firedoor.subject.city"
    error = refused({"subject": {"order_ids": each, "account_ids": each, "username": "one more"}})
    assert error.param == "firedoor.subject.username"


def test_all_characters_count_together():
    long = "x" * MAX_CHARACTERS
    error = refused({"subject": {"usernames": [long] * (MAX_TOTAL // MAX_CHARACTERS + 1)}})
    assert error.param == f"firedoor.subject.usernames[{MAX_TOTAL // MAX_CHARACTERS}]"


def test_a_leap_day_is_a_date():
    assert told({"dob": "1984-02-29"}).date_of_birth == "1984-02-29"


SECRET = "Zyxwvut.Example@example.org"


@pytest.mark.parametrize(
    "field",
    [
        {SECRET: {}},
        {"subject": {SECRET: "x"}},
        {"subject": {"email": {SECRET: SECRET}}},
        {"subject": {"name": SECRET * 10}},
        {"subject": {"date_of_birth": SECRET}},
        {"subject": {"other": {SECRET: "x"}}},
        {"subject": {"addresses": [{SECRET: "x"}]}},
    ],
)
def test_no_value_and_no_odd_key_is_in_an_error(field):
    error = refused(field)
    assert "yxwvut" not in str(error)
    assert "yxwvut" not in (error.param or "")


def test_other_holds_only_labels_of_the_plan():
    assert set(LABELS) >= OTHER_LABELS


def test_a_record_is_a_key():
    assert hash(told({"name": "Mirela Testowa"})) == hash(told({"name": "Mirela Testowa"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["subject", "name", "email", "addresses", "street", "city", "other", "IBAN", "dob", "id"])
            | st.text(max_size=6),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_field_is_a_record_or_an_error_that_names_a_field(field):
    try:
        rest, record = take_subject({"model": "m", "firedoor": field})
    except CallerError as error:
        assert error.status == 400
        assert error.param is not None
        assert error.param.startswith("firedoor")
    else:
        assert rest == {"model": "m"}
        assert record is None or record != SubjectRecord()

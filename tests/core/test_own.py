"""The shopper's own values in texts: every way of writing them, and what must stay. Invented persons and values only."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.own.finder import RULES, OwnValues
from firedoor.core.detect.own.text import Letters, OwnFolding
from firedoor.core.detect.own.words import MONTHS, ORDINARY
from firedoor.core.plan.model import LABELS
from firedoor.core.subject import OTHER_LABELS, Address, Name, SubjectRecord, take_subject

FOLDING = OwnFolding()


def record(**subject):
    found = take_subject({"firedoor": {"subject": subject}})[1]
    assert found is not None
    return found


def found(subject, text):
    return [(span.label, text[span.start : span.end]) for span in OwnValues(subject, FOLDING).find(text)]


ANNA = record(first_name="Anna", last_name="Kowalska")
MUELLER = record(name="Jürgen Müller")
MUELLER_AE = record(name="Juergen Mueller")
BERG = record(name="Jan van der Berg")
MAREK = record(name="Marek Havlíček")
MONIKA = record(name="Monika Nowak")
OBRIEN = record(name="Seán O'Brien")
HANS = record(name="Dr. Hans-Peter Schmidt")
LI = record(name="李明")
IVAN = record(name="Иван Петров")

NAMES = [
    (ANNA, "hi its anna kowalska here", "anna kowalska"),
    (ANNA, "KOWALSKA ANNA", "KOWALSKA ANNA"),
    (ANNA, "Kowalska, Anna", "Kowalska, Anna"),
    (ANNA, "it is anna.", "anna"),
    (ANNA, "dla Anny Kowalskiej", "Anny Kowalskiej"),
    (ANNA, "z Anną Kowalską", "Anną Kowalską"),
    (ANNA, "pana kowalskiego też", "kowalskiego"),
    (ANNA, "annakowalska", "annakowalska"),
    (ANNA, "A n n a   K o w a l s k a", "A n n a   K o w a l s k a"),
    (ANNA, "A. Kowalska", "A. Kowalska"),
    (ANNA, "Anna K. hat bestellt", "Anna K."),
    (ANNA, "Anna Maria Kowalska", "Anna Maria Kowalska"),
    (ANNA, "pani Kowalska's parcel", "Kowalska"),
    (ANNA, "Ko\u200bwal\u00adska", "Ko\u200bwal\u00adska"),
    (ANNA, "Аnna", "Аnna"),  # a Cyrillic A
    (ANNA, "user JanKowalska", "Kowalska"),
    (MUELLER, "Juergen Mueller", "Juergen Mueller"),
    (MUELLER, "jurgen muller", "jurgen muller"),
    (MUELLER, "Jürgen Müllers Paket", "Jürgen Müllers"),
    (MUELLER, "Ju\u0308rgen", "Ju\u0308rgen"),
    (MUELLER_AE, "Jürgen Müller", "Jürgen Müller"),
    (BERG, "jan van der berg", "jan van der berg"),
    (BERG, "Herr van der Berg", "van der Berg"),
    (MAREK, "Marka Havlíčka", "Marka Havlíčka"),
    (MAREK, "pro havlíčkovi", "havlíčkovi"),
    (MONIKA, "Monice Nowak", "Monice Nowak"),
    (MONIKA, "dla moniki", "moniki"),
    (OBRIEN, "sean o\u2019brien", "sean o\u2019brien"),
    (OBRIEN, "OBrien", "OBrien"),
    (HANS, "hans peter schmidt", "hans peter schmidt"),
    (HANS, "Hanspeter", "Hanspeter"),
    (LI, "我叫李明你好", "李明"),
    (IVAN, "это Петров Иван", "Петров Иван"),
]


@pytest.mark.parametrize(("subject", "text", "name"), NAMES)
def test_names(subject, text, name):
    assert found(subject, text) == [("PERSON", name)]


ROSE = record(first_name="Rose", last_name="Green")
TIM = record(first_name="Tim", last_name="Hunter")
WINTER = record(first_name="Noël", last_name="Winter")
SHORT = record(first_name="Li", last_name="Na")
DANA = record(first_name="Dana", last_name="Probst")
MARTIN = record(first_name="Martin", last_name="Probst")

EVERYDAY = [
    (ROSE, "rose green here", "rose green"),
    (ROSE, "Rose-Green", "Rose-Green"),
    (ROSE, "Green, Rose", "Green, Rose"),
    (ROSE, "my name is rose", "rose"),
    (ROSE, "Mrs Green called", "Green"),
    (ROSE, "a parcel for Rose please", "Rose"),
    (ROSE, "Liebe Rose, wie geht es", "Rose"),
    (ROSE, "I'm Rose", "Rose"),
    (ROSE, "It is late.\n\nThanks,\nRose", "Rose"),
    (TIM, "tim hunter", "tim hunter"),
    (TIM, "Tims Paket", "Tims"),
    (WINTER, "Noël Winter", "Noël Winter"),
    (SHORT, "I am Li Na", "Li Na"),
]
NEAR_MISSES = [
    (ROSE, "I want a green rose, or green roses"),
    (ROSE, "Green roses in Rose Gold"),
    (ROSE, "eine rote Rose für den Garten in Grün"),
    (ROSE, "for Rose Gold rings"),
    (ROSE, "Rose"),
    (TIM, "Time to go with the hunter boots"),
    (WINTER, "im Winter, für Winter, pour Noël"),
    (SHORT, "na li de oro"),
    (DANA, "moje dane osobowe"),
    (MARTIN, "a glass of martini"),
    (ANNA, "johanna ate a banana in havanna, hannah and susanna"),
    (ANNA, "write to anna.other@example.org or x@anna.example"),
    (ANNA, "kowalskarium"),
    (BERG, "auf den berg, im jan. 2024"),
]


@pytest.mark.parametrize(("subject", "text", "name"), EVERYDAY)
def test_names_that_are_everyday_words(subject, text, name):
    assert found(subject, text) == [("PERSON", name)]


@pytest.mark.parametrize(("subject", "text"), NEAR_MISSES)
def test_what_is_no_name(subject, text):
    assert found(subject, text) == []


JAN = record(email="Jan.Probst84@example.org")
AB = record(email="ab@web.example")
INFO = record(email="info@probst.example")
EMAILS = [
    (JAN, "JAN.PROBST84@EXAMPLE.ORG", ...),
    (JAN, "mail jan dot probst84 at example dot org ok", "jan dot probst84 at example dot org"),
    (JAN, "jan probst84 exampleorg", ...),
    (JAN, "an janprobst84 (at) example (dot) org.", "janprobst84 (at) example (dot) org"),
    (JAN, "jan kropka probst84 malpa example kropka org", ...),
    (JAN, "jan punto probst84 chiocciola example punto org", ...),
    (JAN, "jan.probst84 @ example . org", ...),
    (JAN, "jan.probst84@exampel.org", ...),  # a mistyped host
    (JAN, "jan.probst84+shop@example.org", ...),
    (JAN, "my nick is janprobst84", "janprobst84"),
    (JAN, "ｊａｎ．ｐｒｏｂｓｔ８４＠ｅｘａｍｐｌｅ．ｏｒｇ", ...),
    (AB, "ab at web.example", ...),
    (INFO, "info@probst.example", ...),
]


@pytest.mark.parametrize(("subject", "text", "value"), EMAILS)
def test_emails(subject, text, value):
    assert found(subject, text) == [("EMAIL", text if value is ... else value)]


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (JAN, "xjan.probst84@example.org"),
        (JAN, "jan or probst"),
        (AB, "cab at web.example"),
        (INFO, "some info please"),
    ],
)
def test_what_is_no_email(subject, text):
    assert found(subject, text) == []


POLISH = record(phone="+48 501 234 567")
GERMAN = record(phone="+49 (0)171 2345678")
HOME = record(phone="0171 2345678")
CZECH = record(phone="+420 601 234 567")
US = record(phone="(555) 625-1199 x 12")
PHONES = [
    (POLISH, "501234567", ...),
    (POLISH, "+48501234567", ...),
    (POLISH, "0048 501-234-567", ...),
    (POLISH, "(+48) 501 234 567", ...),
    (POLISH, "5 0 1 2 3 4 5 6 7", ...),
    (POLISH, "tel.501.234.567", "501.234.567"),
    (POLISH, "501 234\n567", ...),
    (POLISH, "٥٠١ ٢٣٤ ٥٦٧", ...),
    (POLISH, "item 2 501234567", "501234567"),
    (POLISH, "tel501234567abends", "501234567"),
    (GERMAN, "0171/2345678", ...),
    (GERMAN, "+49 (0)171 / 234 56 78", ...),
    (GERMAN, "(0171) 2345678", ...),
    (GERMAN, "00490171 2345678", ...),
    (HOME, "+49 171 2345678", ...),
    (CZECH, "420601234567", ...),
    (US, "555.625.1199", ...),
    (US, "+1 555 625 1199", ...),
]


@pytest.mark.parametrize(("subject", "text", "value"), PHONES)
def test_phones(subject, text, value):
    assert found(subject, text) == [("PHONE", text if value is ... else value)]


@pytest.mark.parametrize(
    ("subject", "text"),
    [(POLISH, "1501234567"), (POLISH, "5012345678"), (POLISH, "501 234 568"), (record(phone="12345"), "12345")],
)
def test_what_is_no_phone(subject, text):
    assert found(subject, text) == []


ORDERS = record(order_ids=["#1001", "#2024", "ORD-2024-00123", 100042, "000000871"])
ACCOUNT = record(account_ids=[207119551, "C-7781"], usernames=["sunny", "mirko_w", "bergfex"])
OTHER = record(
    other={"IBAN": "DE89 3704 0044 0532 0130 00", "SECRET": "$hunTer2_", "URL": "https://www.probst.example/"}
)
IDS = [
    (ORDERS, "order #1001", "ORDER_ID", "1001"),
    (ORDERS, "where is 1001", "ORDER_ID", "1001"),
    (ORDERS, "my order 2024", "ORDER_ID", "2024"),
    (ORDERS, "ord 2024 00123", "ORDER_ID", "ord 2024 00123"),
    (ORDERS, "it is 2024-00123", "ORDER_ID", "2024-00123"),
    (ORDERS, "100042!", "ORDER_ID", "100042"),
    (ORDERS, "Bestellung 871", "ORDER_ID", "871"),
    (ACCOUNT, "id 207 119 551", "ACCOUNT_ID", "207 119 551"),
    (ACCOUNT, "c7781", "ACCOUNT_ID", "c7781"),
    (ACCOUNT, "user name: sunny", "USERNAME", "sunny"),
    (ACCOUNT, "ask @sunny", "USERNAME", "sunny"),
    (ACCOUNT, "mirko_w", "USERNAME", "mirko_w"),
    (ACCOUNT, "bergfex!", "USERNAME", "bergfex"),
    (OTHER, "de89370400440532013000", "IBAN", "de89370400440532013000"),
    (OTHER, "it is $hunTer2_ ok", "SECRET", "$hunTer2_"),
    (OTHER, "see www.probst.example", "URL", ""),
]


@pytest.mark.parametrize(("subject", "text", "label", "value"), IDS)
def test_ids(subject, text, label, value):
    assert found(subject, text) == ([(label, value)] if value else [])


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (ORDERS, "in 2024 we had 871 visitors"),
        (ORDERS, "order #10010 and 31001"),
        (ORDERS, "1001 € or 1001,50"),
        (ORDERS, "100.042 or 100 042 EUR"),
        (ACCOUNT, "a sunny day"),
        (ACCOUNT, "1207119551"),
    ],
)
def test_what_is_no_id(subject, text):
    assert found(subject, text) == []


GERMAN_HOME = record(addresses=[{"street": "Hauptstraße 12a", "postcode": "10115", "city": "Berlin"}])
POLISH_HOME = record(addresses=[{"street": "ul. Długa 5/7 m. 3", "postcode": "00-001", "city": "Warszawa"}])
BRITISH = record(addresses=[{"street": ["221B Baker Street", "Flat 4"], "zip": "NW1 6XE", "city": "Bath"}])
FRENCH = record(addresses=[{"street": "12 rue de la Paix", "postcode": "1010", "city": "Frankfurt am Main"}])
PLACES = [
    (GERMAN_HOME, "Hauptstr. 12a, 10115 Berlin", ["Hauptstr. 12a", "10115", "Berlin"]),
    (GERMAN_HOME, "hauptstrasse 12 a", ["hauptstrasse 12 a"]),
    (GERMAN_HOME, "in der Haupt-Straße", ["Haupt-Straße"]),
    (GERMAN_HOME, "ich wohne in berlin", ["berlin"]),
    (POLISH_HOME, "ulica Długa", ["ulica Długa"]),
    (POLISH_HOME, "na Długiej 5/7 w Warszawie", ["Długiej 5/7", "Warszawie"]),
    (POLISH_HOME, "UL. DLUGA 5/7 M. 3, 00001 WARSZAWA", ["UL. DLUGA 5/7 M. 3", "00001", "WARSZAWA"]),
    (BRITISH, "221b baker st", ["221b baker st"]),
    (BRITISH, "221B, Baker Street Flat 4", ["221B, Baker Street Flat 4"]),
    (BRITISH, "nw16xe in Bath", ["nw16xe", "Bath"]),
    (FRENCH, "12, rue de la Paix, 1010 Frankfurt", ["12, rue de la Paix", "1010", "Frankfurt"]),
    (FRENCH, "rue de la paix 12", ["rue de la paix 12"]),
    (FRENCH, "PLZ 1010", ["1010"]),
]


@pytest.mark.parametrize(("subject", "text", "values"), PLACES)
def test_places(subject, text, values):
    assert [value for _, value in found(subject, text)] == values


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (GERMAN_HOME, "die hauptsache, 10115 €, Berliner"),
        (POLISH_HOME, "długa suknia, 50 cm długa"),
        (BRITISH, "a baker, a bath towel, Bath salts"),
        (FRENCH, "la paix of 1010"),
    ],
)
def test_what_is_no_place(subject, text):
    assert found(subject, text) == []


BORN = record(date_of_birth="1984-03-07")


@pytest.mark.parametrize(
    "text",
    [
        "7.3.1984", "07/03/84", "03/07/1984", "1984-03-07", "1984/3/7", "7 3 1984", "07031984", "840307", "7 March 1984",
        "March 7th, 1984", "7th of march '84", "7. März 1984", "7 de marzo de 1984", "7 mars 1984", "7 marzo 1984",
        "7 maart 1984", "7 marca 1984", "7. března 1984", "MAR 7 1984", "\u0667.\u0663.\u0661\u0669\u0668\u0664",
    ],
)  # fmt: skip
def test_dates_of_birth(text):
    assert found(BORN, f"born {text}, yes") == [("DATE_OF_BIRTH", text)]


@pytest.mark.parametrize("text", ["7.3.1985", "17.3.1984", "7.4.1984", "1984", "7 May 1984", "3.1984", "840308"])
def test_what_is_no_date_of_birth(text):
    assert found(BORN, f"on {text}, yes") == []


def test_rules_scores_and_tier():
    (span,) = OwnValues(ANNA).find("Anna")
    assert span == (0, 4, "PERSON", "own.name", 1.0, "own")
    assert set(RULES) == set(LABELS)
    assert set(RULES) >= OTHER_LABELS


def test_overlapping_values_are_one_span_of_the_longest():
    subject = record(name="Anna Kowalska", email="anna.kowalska@example.org")
    assert found(subject, "to anna.kowalska@example.org!") == [("EMAIL", "anna.kowalska@example.org")]


def test_all_of_a_record_together():
    subject = record(
        name="Jonas Weber", email="jonas@example.org", phone="0171 2345678", order_ids=["#10042"], dob="1990-12-31"
    )
    text = "Jonas Weber, jonas@example.org, 0171-2345678, 10042, 31.12.1990"
    assert [label for label, _ in found(subject, text)] == ["PERSON", "EMAIL", "PHONE", "ORDER_ID", "DATE_OF_BIRTH"]


def test_word_lists_are_folded():
    assert all(FOLDING.text(word) == word for word in ORDINARY)
    assert all(FOLDING.text(word) == word for word in MONTHS)


SHOPPER = record(
    name="Mirela Testowa",
    email="mirela.t84@example.org",
    phone="+48 501 234 567",
    addresses=[{"street": "ul. Próbna 5", "postcode": "00-001", "city": "Sieradz"}],
    order_ids=["ORD-100042"],
    date_of_birth="1984-03-07",
)
DETECTOR = OwnValues(SHOPPER, FOLDING)
VARIANTS = st.sampled_from(
    [
        ("PERSON", "Mirela Testowa"), ("PERSON", "testowa, mirela"), ("PERSON", "Mireli Testowej"),
        ("EMAIL", "mirela.t84@example.org"), ("EMAIL", "mirela dot t84 at example dot org"),
        ("PHONE", "501 234 567"), ("PHONE", "0048501234567"), ("PHONE", "+48 501-234-567"),
        ("STREET_ADDRESS", "ul. Próbna 5"), ("STREET_ADDRESS", "probna 5"),
        ("POSTCODE", "00-001"), ("CITY", "Sieradz"), ("ORDER_ID", "ord 100042"), ("DATE_OF_BIRTH", "7. 3. 1984"),
    ]
)  # fmt: skip
WORDS = st.lists(st.sampled_from(["where", "is", "my", "parcel", "und", "dann", "bardzo"]), max_size=6).map(" ".join)
UNSEEN = st.sampled_from(["", "\u200b", "\u00ad", "\u2060"])


@settings(max_examples=120, deadline=None)
@given(WORDS, VARIANTS, WORDS, UNSEEN, st.sampled_from([str, str.upper, str.lower]))
def test_every_planted_variant_is_found_where_it_stands(before, variant, after, unseen, case):
    label, value = variant
    if case is str.lower and value == "Mireli Testowej":
        case = str  # a short ending needs its capital
    written = case(value)
    if label not in ("DATE_OF_BIRTH", "STREET_ADDRESS"):  # whose words and figures are read as they stand
        written = unseen.join(written)
    text = f"{before} – {written}\n{after}"
    assert found(SHOPPER, text) == [(label, written)]


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("Mirela Testowa ßİǆé@.+-#05184\u200b\u0301\ud800\u202e\n李") | st.characters(), max_size=80)
)
def test_any_text_gives_sorted_spans_within_it(text):
    end = 0
    for span in DETECTOR.find(text):
        assert end <= span.start < span.end <= len(text)
        end = span.end


TEXTS = st.text(max_size=25)


@settings(max_examples=80, deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_any_record_can_be_looked_for(name, email, phone, street, other):
    subject = SubjectRecord(
        names=(Name(name), Name("", name, other)),
        emails=(email, f"{name}@{email}"),
        phones=(phone, "+" + phone),
        addresses=(Address((street, f"{street} 5"), other, other),),
        order_ids=(phone, other),
        usernames=(name,),
    )
    text = f"{name} {email} {phone} {street} {other}"
    for span in OwnValues(subject, FOLDING).find(text):
        assert 0 <= span.start < span.end <= len(text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_every_folded_character_knows_where_it_stands(text):
    letters = Letters(text, FOLDING)
    assert len(letters.offsets) == len(letters.folded)
    for offset, character in zip(letters.offsets, letters.folded, strict=True):
        assert character in FOLDING.text(text[offset])


@given(st.text(string.ascii_letters + string.punctuation + string.digits + " ", max_size=60))
def test_plain_and_other_texts_fold_alike(text):
    plain, other = Letters(text, FOLDING), Letters(text + "é", FOLDING)
    assert plain.folded + "e" == other.folded
    assert [*plain.offsets, len(text)] == other.offsets


@pytest.mark.parametrize(
    "text",
    [
        "1" * 200_000, "501234567" * 20_000, "anna " * 40_000, "a" * 200_000, "a n n a " * 20_000, "@" * 200_000,
        "\u200b" * 200_000, "anna@" * 40_000, "7.3." * 50_000, "\ud800anna" * 20_000, "mirelat84at" * 20_000,
    ],
)  # fmt: skip
def test_hostile_texts_end(text):
    """Nothing to compare with: the run's time limit is what fails here."""
    hostile = record(
        name="Anna Aaa", phone="1111111111", email="mirela.t84@example.org", dob="1984-03-07", username="aaaa1"
    )
    spans = OwnValues(hostile, FOLDING).find(text)
    assert all(span.end <= len(text) for span in spans)

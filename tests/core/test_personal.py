"""Personal data in shoppers' texts: what is found, and the near misses that must not be. Invented persons only."""

from __future__ import annotations

import time
from collections.abc import Callable

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from firedoor.core.detect.rules import numbers, personal
from firedoor.core.detect.rules.personal import PersonalData

DATA = PersonalData()
LABELS = {"EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "IP", "ORDER_ID"}


def found(text: str) -> list[tuple[str, str]]:
    return [(span.label, text[span.start : span.end]) for span in DATA.find(text)]


FOUND = {
    "EMAIL": [
        ("write to jan.visser84@example.org.", "jan.visser84@example.org"),
        ("mijn mail: Jan+shop@mail.example.co.uk, dank je", "Jan+shop@mail.example.co.uk"),
        ("contact:o'brien@example.ie", "o'brien@example.ie"),
        ("meine Adresse ist jürgen@müller.example", "jürgen@müller.example"),
        ("почта анна@пример.рф", "анна@пример.рф"),
        ("ewa@xn--bcher-kva.xn--p1ai", "ewa@xn--bcher-kva.xn--p1ai"),
        ("<a@b.eu>", "a@b.eu"),
        ("'lea@example.fr'", "lea@example.fr"),
        ("hier...lea@example.fr", "lea@example.fr"),
        ("lea＠example．fr", "lea＠example．fr"),
        ("0170123@web.example", "0170123@web.example"),
        ("x@a.b@example.org", "a.b@example.org"),
        (r"{'note': 'hi\nmia@example.org'", "mia@example.org"),  # the source of JSON that is not quite JSON
        (r"\\tmia@example.org", "mia@example.org"),
        (r"\u003cmia@example.org\u003e", "mia@example.org"),
        (r'{"mail": "mia\u0040example.org", ...', r"mia\u0040example.org"),
        (r"mia\\u0040example.org", r"mia\\u0040example.org"),
    ],
    "PHONE": [
        ("+49 170 1234567", "+49 170 1234567"),
        ("ruf an: +49(0)1512228265", "+49(0)1512228265"),
        ("(+33) 6 12 34 56 78", "(+33) 6 12 34 56 78"),
        ("0049 170 1234567", "0049 170 1234567"),
        ("tél. 06 12 34 56 78", "06 12 34 56 78"),
        ("je kunt me bellen op 0663-792075", "0663-792075"),
        ("ihr erreicht mich unter 08250 38073", "08250 38073"),
        ("(04785) 85184", "(04785) 85184"),
        ("Tel. 038221898", "038221898"),
        ("me podéis llamar al 612 345 678", "612 345 678"),
        ("proszę zadzwonić: 537 792 402", "537 792 402"),
        ("il mio cellulare è 347 1234567", "347 1234567"),
        ("my phone number is 467 3395", "467 3395"),
        ("(555) 234-5678", "(555) 234-5678"),
        ("call 212-555-0142 after six", "212-555-0142"),
        ("07700 900123", "07700 900123"),
        ("+44909 8790056", "+44909 8790056"),  # mistyped: a digit is missing
        ("781 1704 office", "781 1704"),
        ("082 490 1693-Fax", "082 490 1693"),
        ("985 856 5235", "985 856 5235"),
        ("our hotline 8005551234", "8005551234"),
        ("phone ٠٦١٢٣٤٥٦٧٨", "٠٦١٢٣٤٥٦٧٨"),
        ("42, 84473 08250 38073", "08250 38073"),
        ("06 12 34 56 78 75001 Paris", "06 12 34 56 78"),
        ("12.05.2026 0170 1234567", "0170 1234567"),
        ("+49 170 1234567 42", "+49 170 1234567"),
        ("06\u00a012\u00a034\u00a056\u00a078", "06\u00a012\u00a034\u00a056\u00a078"),
    ],
    "CREDIT_CARD": [
        ("4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("My card 4012888888881881 was charged twice", "4012888888881881"),
        ("5500-0000-0000-0004", "5500-0000-0000-0004"),
        ("amex 378282246310005", "378282246310005"),
        ("4111 1111 1111 1111 12/27 123", "4111 1111 1111 1111"),
        ("la mia carta 2223 0000 4841 0010", "2223 0000 4841 0010"),
        ("numer karty: 4111 1111 1111 1112", "4111 1111 1111 1112"),  # checksum fails, the word decides
        ("card number 4222222222222", "4222222222222"),
        ("points on my credit card 503802053770", "503802053770"),
        ("4111–1111–1111–1111", "4111–1111–1111–1111"),
    ],
    "IBAN": [
        ("DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("auf DE89370400440532013000, Kontoinhaber Mia", "DE89370400440532013000"),
        ("gb82west12345698765432", "gb82west12345698765432"),
        ("NL91 ABNA 0417 1643 00 titular", "NL91 ABNA 0417 1643 00"),
        ("FR1420041010050500013M02606", "FR1420041010050500013M02606"),
        ("IBAN: DE00 3704 0044 0532 0130 00", "DE00 3704 0044 0532 0130 00"),
        (
            "nr rachunku PL6 1 1 0 9 0 1 0 1 4 0 0 0 0 0 7 1 2 1 9 8 1 2 8 7 4",
            "PL6 1 1 0 9 0 1 0 1 4 0 0 0 0 0 7 1 2 1 9 8 1 2 8 7 4",
        ),
        ("my iban is US30 0511 7888 9012", "US30 0511 7888 9012"),
    ],
    "IP": [
        ("someone logged in from 203.0.113.77!", "203.0.113.77"),
        ("http://198.51.100.4/cart", "198.51.100.4"),
        ("2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::8a2e:370:7334"),
        ("from fe80::1.", "fe80::1"),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.7"),
        ("64:ff9b:0:0:0:0:203.0.113.7", "64:ff9b:0:0:0:0:203.0.113.7"),
        ("ip version 4, address 10.0.0.1", "10.0.0.1"),
        ("6e40:4041:c617:e898:c11:40d2:c669:2eb4", "6e40:4041:c617:e898:c11:40d2:c669:2eb4"),
    ],
    "ORDER_ID": [
        ("where is my order 2973174?", "2973174"),
        ("order number: 000000123", "000000123"),
        ("Bestellnummer ORD-06977752", "ORD-06977752"),
        ("meine Bestell-Nr. 100517775", "100517775"),
        ("wegen Auftrag #797593231", "#797593231"),
        ("ma commande 401246423 n'est pas là", "401246423"),
        ("numéro de commande : DE-166817", "DE-166817"),
        ("pedido número #8739804", "#8739804"),
        ("il mio ordine 34741239", "34741239"),
        ("bestelling 1063679191", "1063679191"),
        ("zamówienie nr 4697143", "4697143"),
        ("What about #1001?", "#1001"),
        ("it said ORD-2024-00123 on the slip", "ORD-2024-00123"),
        ('{"order_id":"10042"}', "10042"),
        ("https://shop.example/account/orders/10042", "10042"),
        ("order id A1B2C345", "A1B2C345"),
        ("order no. 2024", "2024"),
    ],
}

NEAR_MISSES = [
    # e-mail
    "@anna on the photo",
    "2 pieces @ 10.50",
    "logo@2x.png",
    "package@1.2.3",
    "user@localhost",
    "a@.example",
    "jan at example dot org",
    r"a\n@example.org",
    r"a \u0040 example.org",
    # phone
    "size 42, 89,95 EUR, 3 pieces",
    "1.299,00 € statt 1.499,00 €",
    "05.12.2024 14:30",
    "2024-05-12 bis 2024-06-12",
    "item 0123456789",
    "EAN 4006381333931",
    "UPC 012345678905",
    "ISBN 0-306-40615-2",
    "000000123",
    "tracking 00340434161094042557",
    "SKU M-0170123456",
    "ref 555-2345-6789",
    "1234567890",
    "+20 % auf alles, +1000 points",
    "10 000 000 zł",
    "985 056 5235",
    "1000 100 office chairs",
    "0171 € 0172 €",
    # card
    "1234 5678 9012 3456",
    "503802053770",
    "4111 1111 1111 1112",
    "4006381333931",  # a German EAN whose digits also pass for an old Visa's length
    "tracking number 4111111111111111",
    "SN4111111111111111",
    # bank account
    "DE00 3704 0044 0532 0130 00",
    "XX89 3704 0044 0532 0130 00",
    "DE89 3704 0044 0532 0130 0",
    "model DE89",
    # address
    "version 10.0.0.1",
    "v10.0.0.1",
    "Chrome/98.0.4.102",
    "1.2.3",
    "256.1.1.1",
    "1.2.3.4.5",
    "127.0.0.1",
    "0.0.0.0",
    "01.2.3.4",
    "::1",
    "1::2::3",
    ":::1234",
    "::1.2.3.400",
    "12:30:45",
    "std::vector<int> a::b",
    "00:1a:2b:3c:4d:5e",
    # order
    "10042",
    "I want to order Lego 10497",
    "zamówił Adidas Samba 2024",
    "order before 12.05.2026",
    "an order of 5000 pieces",
    "order 1200 EUR or more",
    "order 2x4000mAh",
    "order SKU-12345",
    "ordered in 2024",
    "colour #112233",
    "we are #1",
    "model B7456, ref. QB-99256",
    "Kundennummer C45794932",
    "order " + "a1b2c3d4" * 5,
]


@pytest.mark.parametrize(
    ("label", "text", "value"), [(label, *case) for label, cases in FOUND.items() for case in cases]
)
def test_found(label: str, text: str, value: str) -> None:
    assert found(text) == [(label, value)]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_near_misses(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "order 10042, call +49 170 1234567 or mia@example.org",
            [("ORDER_ID", "10042"), ("PHONE", "+49 170 1234567"), ("EMAIL", "mia@example.org")],
        ),
        ("orders 10042 and 10043, #10044", [("ORDER_ID", "10042"), ("ORDER_ID", "10043"), ("ORDER_ID", "#10044")]),
        ("order 4111111111111111", [("CREDIT_CARD", "4111111111111111")]),
        ("Bestellung 0170123456, Handy 0170 1234567", [("ORDER_ID", "0170123456"), ("PHONE", "0170 1234567")]),
        ("0170 1234567 4111 1111 1111 1111", [("PHONE", "0170 1234567"), ("CREDIT_CARD", "4111 1111 1111 1111")]),
        ("order 10042 4111 1111 1111 1111", [("ORDER_ID", "10042"), ("CREDIT_CARD", "4111 1111 1111 1111")]),
        (
            "0170 1234567 203.0.113.7 0170 1234568",
            [("PHONE", "0170 1234567"), ("IP", "203.0.113.7"), ("PHONE", "0170 1234568")],
        ),
        ("203.0.113.7 4111 1111 1111 1111", [("IP", "203.0.113.7"), ("CREDIT_CARD", "4111 1111 1111 1111")]),
        ("phone: 020 7946 0123 order: 020 7946 0123", [("PHONE", "020 7946 0123"), ("PHONE", "020 7946 0123")]),
    ],
)
def test_several_in_one_text(text: str, values: list[tuple[str, str]]) -> None:
    assert found(text) == values


def test_offsets_count_code_points() -> None:
    text = "👋🏽 \ud800 \x00 grüß an mia@example.org 👋"
    [span] = DATA.find(text)
    assert text[span.start : span.end] == "mia@example.org"


PIECES = [value for cases in FOUND.values() for _, value in cases] + [
    *(
        "order ",
        "card ",
        "IBAN ",
        "tel ",
        "#",
        "@",
        "::",
        "(",
        "+",
        "00",
        ".",
        "-",
        " ",
        "\n",
        "\x00",
        "\ud800",
        "é",
        "x",
        "４",
    )
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=12).map("".join))
def test_spans_are_sorted_apart_and_inside_the_text(text: str) -> None:
    spans = DATA.find(text)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= s.start < s.end <= len(text) and s.label in LABELS and 0 < s.score <= 1 for s in spans)
    assert DATA.find(text) == spans


@given(st.text("0123456789", max_size=24))
def test_the_checksum_of_cards_is_the_known_one(digits: str) -> None:
    assert numbers.luhn_holds(digits) == luhn.is_valid(digits or "0")


def e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


PLANS = numbers.NumberingPlans()
EXAMPLES = [
    e164(example)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in range(11)
    if (example := phonenumbers.example_number_for_type(region, kind))
]
SHOPPERS = [
    digits
    for digits in EXAMPLES
    if phonenumbers.region_code_for_number(phonenumbers.parse("+" + digits)) in numbers.REGIONS
]


def in_a_plan(digits: str) -> bool:
    return PLANS.international_end(numbers.run_of(digits, 0, len(digits)), 0) is not None


def test_every_country_has_its_numbers() -> None:
    assert [d for d in EXAMPLES if numbers.MIN_PHONE <= len(d) <= numbers.MAX_PHONE and not in_a_plan(d)] == []


@given(st.sampled_from(SHOPPERS), st.lists(st.tuples(st.integers(2, 9), st.sampled_from("0123456789")), max_size=4))
def test_plans_say_what_phonenumbers_says(digits: str, changes: list[tuple[int, str]]) -> None:
    for position, digit in changes:
        digits = digits[:position] + digit + digits[position + 1 :]
    try:
        valid = phonenumbers.is_valid_number(phonenumbers.parse("+" + digits))
    except phonenumbers.NumberParseException:
        valid = False
    assert in_a_plan(digits) == (valid and len(digits) >= numbers.MIN_PHONE)


# Short fragments whose repetition costs most, found by searching for them.
COSTLY = [
    *("7", "a@", "1 ", "4 ", "1-", ":", "a.a@", "+49 170 1234567 ", "DE44", "order 10042 ", "٣", "1(", "a1", "4111 "),
    *(
        "00 ",
        " 00/3",
        "94 6",
        "6 00492026:",
        "0 02026004 1 4095:+",
        "6.236.3.4(",
        ":3 05114/72270-568",
        " (555) 234-5678",
    ),
    *(
        "iban DE41" + "A" * 40 + " ",
        "550005500order ( iban DE4111٣09",
        "::1.0.7.06@",
        ":S1 4K493",
        "\\u0040",
        "a\\u0040b.de ",
    ),
    *("::1abc ", "5 06 314 5004(5604.306 124 59 78.4.4", "orders 1001,", "x@a-", "a.", "-1", "0 0004 4095:+"),
]


@pytest.mark.parametrize("unit", COSTLY)
def test_work_grows_with_the_text_and_no_faster(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts what is asked: the bounded helpers and the validators, for a text and one ten times as long."""
    calls: list[tuple[object, str]] = [
        (personal, "cue_before"),
        (personal, "_order_id"),
        (personal, "_iban"),
        (personal, "_is_ipv6"),
        (numbers, "run_of"),
        (numbers, "card_in"),
        (numbers, "luhn_holds"),
        (numbers, "_iban_checks"),
        (numbers, "has_date"),
        (numbers.NumberingPlans, "international_end"),
        (numbers.NumberingPlans, "national_end"),
    ]

    def work(text: str) -> int:
        asked = 0

        def counted(original: Callable[..., object]) -> Callable[..., object]:
            def counting(*args: object, **kwargs: object) -> object:
                nonlocal asked
                asked += 1
                return original(*args, **kwargs)

            return counting

        with monkeypatch.context() as patched:
            for module, name in calls:
                patched.setattr(module, name, counted(getattr(module, name)))
            DATA.find(text)
        return asked

    small, large = work(unit * 400), work(unit * 4000)
    assert large <= 11 * small + 50
    assert large <= 3 * len(unit * 4000)


def cost(text: str) -> float:
    """Processor time of one search, the least of several."""

    def once() -> float:
        started = time.process_time()
        DATA.find(text)
        return time.process_time() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize("unit", COSTLY)
def test_eight_times_the_text_costs_about_eight_times_as_much(unit: str) -> None:
    """A quadratic search would cost 64 times as much; seconds differ from machine to machine, this ratio hardly."""
    repeats = 2000 // len(unit) + 1
    assert cost(unit * 8 * repeats) <= 24 * cost(unit * repeats) + 0.001


def test_a_run_of_capitals_is_not_tried_in_all_its_cuts() -> None:
    short, long = (f"iban DE41{'A' * length} " * 100 for length in (8, 40))
    assert cost(long) <= 20 * cost(short)


def test_a_megabyte_of_anything_ends() -> None:
    """No pattern backtracks without bound: each of these takes about a second where a quadratic one takes hours."""
    for unit in ("7", "a@", "x@a-", ":", "a.", "DE44", "-1"):
        assert isinstance(DATA.find(unit * (1_000_000 // len(unit))), list)

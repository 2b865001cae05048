"""Identifiers by their words and by their forms, country by country, and the near misses. Invented persons only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.rules import identifiers_checks as checks
from firedoor.core.detect.rules.identifiers import FIELDS, cue_phrases, identifiers, phrases
from firedoor.core.detect.rules.identifiers_fields import CHECKED, LOOSE, UNCHECKED, fold
from firedoor.core.detect.rules.personal import plain
from firedoor.core.detect.spans import Span


def spans(text: str) -> list[Span]:
    return list(identifiers(plain(text), fold(plain(text))))


def found(text: str) -> set[tuple[str, str]]:
    return {(span.label, text[span.start : span.end]) for span in spans(text)}


BY_WORD = {
    "NATIONAL_ID": [
        ("PESEL 79030835344", "79030835344"),
        ("PESEL: 7.9.0.3.0.8.3.5.3.4.4", "7.9.0.3.0.8.3.5.3.4.4"),
        ("mój pesel to 7 9 0 3 0 8 3 5 3 4 4", "7 9 0 3 0 8 3 5 3 4 4"),
        ("PESEL 7903O8353Ą4, PESEL 79O3O835344", "79O3O835344"),
        ("PESEL 790308\n35344,", "790308\n35344"),
        ("79030835344 to mój PESEL", "79030835344"),
        ("79030835344 (PESEL)", "79030835344"),
        ("dowodem osobistym nr CDM8 9 1 0 4 3,", "CDM8 9 1 0 4 3"),
        ("numer paszportu: JU6-088234.", "JU6-088234"),
        ("numer prawa jazdy: 04 8736384.", "04 8736384"),
        ("my ssn is 2345", "2345"),
        ("last 4 digits of ssn are 5674", "5674"),
        ("social security number 536-90-4399", "536-90-4399"),
        ("SSN 536 90 4399", "536 90 4399"),
        ("national insurance number is QQ 12 34 56 C", "QQ 12 34 56 C"),
        ("NHS number 943 476 5870", "943 476 5870"),
        ("n° de sécurité sociale : 2 95 09 99 123 457 15", "2 95 09 99 123 457 15"),
        ("mi DNI es 54362315-K", "54362315-K"),
        ("NIE X-2482300-W", "X-2482300-W"),
        ("codice fiscale RCCMNL83S18D969H", "RCCMNL83S18D969H"),
        ("bsn: 123456782", "123456782"),
        ("rijksregisternummer 85.07.30-033.28", "85.07.30-033.28"),
        ("personnummer 880320-0016", "880320-0016"),
        ("CPR-nr. 211062-5629", "211062-5629"),
        ("fødselsnummer 151086 95088", "151086 95088"),
        ("henkilötunnukseni on 131052-308T", "131052-308T"),
        ("rodné číslo 710319/2745", "710319/2745"),
        ("CNP 1630615123457", "1630615123457"),
        ("ЕГН 7523169263", "7523169263"),
        ("ΑΜΚΑ 01017100064", "01017100064"),
        ("OIB: 33392005961", "33392005961"),
        ("EMŠO 0101006500006", "0101006500006"),
        ("asmens kodas 33309110368", "33309110368"),
        ("isikukood 37605030299", "37605030299"),
        ("personas kods 161175-19997", "161175-19997"),
        ("PPS number 6433435F", "6433435F"),
        ("AHV-Nummer 756.9217.0769.85", "756.9217.0769.85"),
        ("SV-Nummer 1237 010180", "1237 010180"),
        ("Sozialversicherungsnummer 65 070649 C 103", "65 070649 C 103"),
        ("TAJ szám 123 456 788", "123 456 788"),
        ("Personalausweisnummer L01X00T471", "L01X00T471"),
        ("driver's licence no. AB123456", "AB123456"),
        ("Führerschein B072RRE2I55", "B072RRE2I55"),
        ("passport C01X00T44", "C01X00T44"),
    ],
    "TAX_ID": [
        ("NIP: 521-346-78-94", "521-346-78-94"),
        ("(NIP 5 2 1 3 4 6 7 8 9 4)", "5 2 1 3 4 6 7 8 9 4"),
        ("nip: pl8567346215", "pl8567346215"),
        ("REGON: 361204898", "361204898"),
        ("Steuer-ID 65 929 970 489", "65 929 970 489"),
        ("St.-Nr. 181/815/08155", "181/815/08155"),
        ("VAT number: gb980 7806 84.", "gb980 7806 84"),
        ("vat GBGD474", "GBGD474"),
        ("n° tva : FRzt 134070649.", "FRzt 134070649"),
        ("P. IVA 00743110157", "00743110157"),
        ("CHE-107.787.577 MWST", "CHE-107.787.577"),
        ("organisasjonsnummer 995 525 828", "995 525 828"),
        ("EIN 12-3456789", "12-3456789"),
        ("my UTR is 1955839661", "1955839661"),
        ("contribuinte 501964843", "501964843"),
        ("DIČ CZ25123891", "CZ25123891"),
        ("ΑΦΜ 094259216", "094259216"),
        ("adószám 12892312-2-41", "12892312-2-41"),
    ],
    "ACCOUNT_ID": [
        ("Kundennummer K-14667, Frau", "K-14667"),
        ("klant 22303, mevrouw", "22303"),
        ("Cliente CUST95146309, Sra.", "CUST95146309"),
        ("nr klienta: 884512", "884512"),
        ("numéro client 4471023", "4471023"),
        ("numero cliente 778120", "778120"),
        ("account number is 987654321", "987654321"),
        ("my policy number bmw 235987413 please", "bmw 235987413"),
        ("claim number is hrt 356", "hrt 356"),
        ("Medical Record Number: 98273651", "98273651"),
        ("Incident MRN-294607 occurred", "MRN-294607"),
        ("Medical records MED13770313, M5078766", "M5078766"),
        ("license plate 7ABC123", "7ABC123"),
        ("Kennzeichen B-AB 1234", "B-AB 1234"),
        ("VIN 1HGCM82633A004352", "1HGCM82633A004352"),
    ],
    "DATE_OF_BIRTH": [
        ("DOB 03/04/1985", "03/04/1985"),
        ("geboren am 12.03.1940, bittet", "12.03.1940"),
        ("geboren in Köln am 12.03.1940", "12.03.1940"),
        ("née le 3 mai 1980", "3 mai 1980"),
        ("nacida el 23/12/2002", "23/12/2002"),
        ("nata il 4 luglio 1977", "4 luglio 1977"),
        ("geboren op 11/06/1948", "11/06/1948"),
        ("ur. 15.07.1990", "15.07.1990"),
        ("Data urodzenia: O8.O3.1979", "O8.O3.1979"),
        ("Data urodzenia: l979-03-08", "l979-03-08"),
        ("I was born on March 8th, 1979", "March 8th, 1979"),
        ("född 1979-03-08", "1979-03-08"),
        ("rok urodzenia 1979", "1979"),
    ],
    "POSTCODE": [
        ("my zip code is 85001", "85001"),
        ("zip 90210", "90210"),
        ("PLZ 10747", "10747"),
        ("code postal 75001", "75001"),
        ("kod pocztowy 00-950", "00-950"),
        ("postcode sw1a 2aa", "sw1a 2aa"),
        ("postcode 1234 ab", "1234 ab"),
    ],
    "CREDIT_CARD": [
        ("cvv 123", "123"),
        ("(CVV: 9914)", "9914"),
        ("Prüfnummer 123", "123"),
        ("code de sécurité : 123", "123"),
        ("codice di sicurezza 456", "456"),
        ("kod CVC to 456", "456"),
        ("my card number is 4518", "4518"),
    ],
    "IBAN": [
        ("nr rachunku 61 1090 1014 0000 0712 1981 2874", "61 1090 1014 0000 0712 1981 2874"),
        ("konto: 61l09O10140000071219812874", "61l09O10140000071219812874"),
    ],
    "ORDER_ID": [("my booking confirmation number is d 4 ct 58", "d 4 ct 58")],
}

BY_FORM = {
    "NATIONAL_ID": [
        "536-90-4399",
        "79030835344",
        "54362315K",
        "x2482300w",
        "RCCMNL83S18D969H",
        "295099912345715",
        "2 95 09 99 123 457 15",
        "131052-308T",
        "880320-0016",
        "15108695088",
        "710319/2745",
        "85.07.30-033.28",
        "756.9217.0769.85",
        "1237 010180",
        "1630615123457",
        "AB 12 34 56 C",
        "65 070649 C 103",
    ],
    "TAX_ID": [
        *("ATU13585627", "BE0428759497", "CY10259033P", "CZ25123891", "DE136695976", "EL094259216", "ESX2482300W"),
        *("FI20774740", "FR40303265045", "HR33392005961", "IE6433435F", "IT00743110157", "NL004495445B01"),
        *("PL8567346215", "PT501964843", "SE123456789701", "de136695976", "GB980780684", "GBGD474", "CHE-107.787.577"),
        *("995525828MVA", "NO995 525 828 MVA"),
    ],
    "IBAN": ["61 1090 1014 0000 0712 1981 2874", "61109010140000071219812874"],
}

ADDRESSES = [
    ("6 Joseph Squares, Lake B07 7AD.", "B07 7AD"),
    ("ul. Polna 24, 20-078 Lublin", "20-078"),
    ("plac staszica 95\n72-098 piastów", "72-098"),
    ("matthiassteeg 17, 8465 bj goënga", "8465 bj"),
    ("Isestraat 9, 4291PB Gennep", "4291PB"),
    ("Gudestr. 8, 49893 Worbis", "49893"),
    ("Hauptstraße 5\nD-10115 Berlin", "10115"),
    ("80, avenue Meyer\n77543 Sainte Marthe", "77543"),
    ("via Roma 12, 20121 Milano", "20121"),
    ("Rua Augusta 24\n1100-053 Lisboa", "1100-053"),
    ("Storgatan 4\n114 55 Stockholm", "114 55"),
    ("lincoln street 4, Albany, NY 12207", "12207"),
]

NEAR_MISSES = [
    # a word, but nothing that could be its value
    "PESEL i NIP podam jutro",
    "my passport for 2 people",
    "id card valid until 2025",
    "the nip is 12 mm wide",
    "social media 2024",
    "VAT 20 %",
    "inkl. MwSt. 19 %",
    "TVA 5,5 %",
    "claim 500 euros back",
    "my account is 2500 dollars short",
    "member since 2019",
    "customer service 0800 123456",
    "customer order 12345",
    "policy of 427.5k",
    "police 911",
    "security code of 12 letters",
    "full zip 100% cotton",
    "baseball cap 59 cm",
    "born to run, size 42",
    "born 3 times",
    "order from 12.05.2026",
    "12.03.1940",
    "reservation for 13 on the 15th",
    # codes that only begin with the word, as documents number themselves
    "zapisano PESEL-20463348319 oraz NIP-060-280-27-47",
    "REGON-463 348 330",
    # forms whose checksum, date or area is wrong
    "79030835345",
    "536-00-4399",
    "54362315A",
    "RCCMNL83S18D969X",
    "131052-308A",
    "880320-0017",
    "15108695089",
    "710319/2746",
    "756.9217.0769.84",
    "GB 12 34 56 C",
    "DE136695977",
    "order DE136695976",
    "tracking number 79030835344",
    "99-79030835344",
    "GBGD600",
    "61 1090 1014 0000 0712 1981 2875",
    # post codes
    "Galaxy S24 8GB",
    "size M5 2XL",
    "QQ1 2AB",
    "1080 px",
    "5000 mA power bank",
    "2024 wurde Anna",
    "in pozycjach 01-02 zapisano",
    "12-123",
    "size 42, 10000 mAh",
    "Modell 12, 50000 Stunden",
    "72-098",
    "model 10115 Berlin",
    "SN12345678901234567890",
]


@pytest.mark.parametrize(("label", "text", "value"), [(a, *case) for a, cases in BY_WORD.items() for case in cases])
def test_by_word(label: str, text: str, value: str) -> None:
    assert (label, value) in found(text)


@pytest.mark.parametrize(("label", "value"), [(a, value) for a, values in BY_FORM.items() for value in values])
def test_by_form(label: str, value: str) -> None:
    assert (label, value) in found(f"here: x, {value}.")
    assert label not in {a for a, _ in found(f"a{value}")}
    assert label not in {a for a, _ in found(f"{value}7")}


@pytest.mark.parametrize(("text", "value"), ADDRESSES)
def test_post_codes_of_addresses(text: str, value: str) -> None:
    assert found(text) == {("POSTCODE", value)}


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_near_misses(text: str) -> None:
    assert found(text) == set()


def test_a_mistyped_number_is_found_with_a_lower_score() -> None:
    [right], [wrong], [short] = (spans(f"PESEL {digits}") for digits in ("79030835344", "79030835354", "7903083535"))
    assert (right.score, wrong.score, short.score) == (CHECKED, UNCHECKED, LOOSE)
    assert right.rule == wrong.rule == short.rule == "national.pl_pesel"


def test_several_values_behind_one_word() -> None:
    text = "PESEL 79030835344, 79030835344 i 79030835344"
    assert [text[span.start : span.end] for span in spans(text) if span.score == CHECKED] == ["79030835344"] * 3


def test_a_longer_phrase_stands_before_a_shorter_one() -> None:
    assert found("bank account number: 5842") == {("ACCOUNT_ID", "5842")}


def test_every_phrase_says_something() -> None:
    for field in FIELDS:
        for phrase in phrases(field):
            assert phrase.strip("~^ ")
            assert len(phrase) <= 60
    assert len(cue_phrases()) > 1000


@given(st.text(max_size=60))
def test_folding_keeps_offsets(text: str) -> None:
    assert len(fold(text)) == len(text)


@given(st.text("0123456789", min_size=11, max_size=11))
def test_check_digits_are_asked_for_any_digits(digits: str) -> None:
    for check in (checks.no_fodselsnummer, checks.be_nn):
        assert check(digits) in (True, False)
    assert checks.se_personnummer(digits[:10]) in (True, False)
    assert checks.dk_cpr(digits[:10]) in (True, False)


PIECES = ["PESEL ", "NIP: ", "my ", "ssn ", "born ", "zip ", "account no ", " is my ", "79030835344", "12.03.1940", "GB",
          "1234", "l", "O", " ", "\n", "-", ".", ", ", "\ud800", "é", "İ", "ß", "x"]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=12).map("".join))
def test_spans_are_inside_the_text(text: str) -> None:
    for span in spans(text):
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start].isalnum()
        assert any(map(str.isalnum, text[span.start : span.end]))
        assert 0.5 <= span.score <= 1.0

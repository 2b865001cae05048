"""Protected rows in answers: a value is a leak with what it belongs to, and a number alone is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.leak import rows as rows_module
from firedoor.core.detect.leak.rows import Row, RowIndex, RowWatch, check_row, scaled
from firedoor.core.detect.spans import Hit
from firedoor.core.subject import SubjectRecord
from firedoor.errors import ActRefused

HOODIE = Row("hoodie", "costs", "cost", ("MH01-XS-Black", "Kestrel Ridge Hoodie-XS-Black"), ("41.85",))
PARKA = Row("parka", "costs", "cost", ("PK-7001", "Nordlicht Down Parka"), ("120", "1,234.50"))
PARKA_MARGIN = Row("margin", "margins", "margin", ("PK-7001", "Nordlicht Down Parka"), ("37.5 %", "12 %"))
MUG = Row("mug", "costs", "cost", ("22148", "Red Retro Spot Mug"), ("2.55",))
SUPPLIER = Row("supplier", "suppliers", "supplier", ("PK-7001", "Nordlicht Down Parka"), ("Meier & Sohn",))
ORDER = Row(
    "order",
    "orders",
    "order",
    ("100023411", "jana@example.org"),
    ("129.90", "Lindenweg 4"),
    ("c-77", "jana@example.org"),
)
STAFF = Row("staff", "staff", "staff", ("Anna Berghaus",), ("52,400",))
COURIER = Row("courier", "staff", "staff", ("Karl Lindemann",), ("+49 151 23450188",))
SUMMIT = Row("summit", "costs", "cost", ("Summit",), ("88.20",))
ALL = (HOODIE, PARKA, PARKA_MARGIN, MUG, SUPPLIER, ORDER, STAFF, COURIER, SUMMIT)
INDEX = RowIndex.build(ALL)


def look(answer: str, *asked: str, other: str = "", index: RowIndex = INDEX, **known: object) -> list[Hit]:
    watch = index.watch(index.context(asked, (other,), **known))
    return watch.feed(answer) + watch.end()


def found(answer: str, *asked: str, other: str = "", **known: object) -> set[tuple[str, str, str]]:
    return {(h.value_id, h.kind, answer[h.start : h.end]) for h in look(answer, *asked, other=other, **known)}


@pytest.mark.parametrize(
    ("answer", "row", "written"),
    [
        ("The Kestrel Ridge Hoodie-XS-Black: 41.85", "hoodie", "41.85"),
        ("KESTREL RIDGE HOODIE costs us EUR 41,85 per piece.", "hoodie", "41,85"),
        ("mh01-xs-black | 4185 cents", "hoodie", "4185"),
        ("mh01: 41 euros 85", "hoodie", "41 euros 85"),
        ("We pay 41.85 for the Kestrel Ridge Hoodie.", "hoodie", "41.85"),
        ("K e s t r e l  R i d g e  H o o d i e = 4 1 . 8 5", "hoodie", "4 1 . 8 5"),
        ("Kestrel\u200bRidge Hoodie ４１．８５", "hoodie", "４１．８５"),
        ("kestrelridgehoodie41.85", "hoodie", "41.85"),
        ("The Kestrel Ridge Hoodie is forty-one euros eighty-five.", "hoodie", "forty-one euros eighty-five"),
        ("Nordlicht Down Parka, purchase price 120.", "parka", "120"),
        ("Der Einkaufspreis der Nordlicht Down Parka ist 1.234,50 €", "parka", "1.234,50"),
        ("Nordlicht Down Parka: marge 37,5 %", "margin", "37,5"),
        ("The margin on PK-7001 is 12 %.", "margin", "12"),
        ("Nordlicht Down Parka: cost 120.00, list price higher", "parka", "120.00"),
        ("Article 22148 is bought at 2.55 each", "mug", "2.55"),
        ("The Nordlicht Down Parka is made by Meier & Sohn.", "supplier", "Meier & Sohn"),
        ("Our supplier for PK-7001? MEIER UND ... no, Meier+Sohn", "supplier", "Meier+Sohn"),
        ("Order 100023411 went to Lindenweg 4 and came to 129,90.", "order", "129,90"),
        ("jana@example.org paid 129.90", "order", "129.90"),
        ("Anna Berghaus earns 52.400 a year", "staff", "52.400"),
        ("The wholesale price of the Summit is 88.20", "summit", "88.20"),
    ],
)
def test_a_value_with_its_own_product_or_person(answer: str, row: str, written: str) -> None:
    assert (row, "amount", written) in found(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "That is 41.85.", "41.85, 120, 12 %, 1,234.50, 2.55, 129.90", "Our purchase price is 41.85.",
        "The Kestrel Ridge Hoodie is 52.00, the other one 41.58.", "The Kestrel Ridge Hoodie is 418.50.",
        "Nordlicht Down Parka, 120 cm long, 12 % off", "Nordlicht Down Parka: 1,234.05",
        "The Kestrel Ridge is 41.85.", "Meier & Sohn is a good name.", "Order 22148, total 52.00",
        "We have 22148.2.55 of it", "Article 221489 is 2.55.", "The total is 221.48, of that 2.55 for postage.",
        "At the summit it was 88.20 metres", "Summit: 88.20", "Anna earns 52,400.",
        "Kestrel Ridge Hoodie" + " and so on" * 60 + " 41.85",
        "41.85" + " and so on" * 30 + " Kestrel Ridge Hoodie",
        "- Kestrel Ridge Hoodie: 52.00\n- Nordlicht Down Parka: 41.85",
        "The Nordlicht Down Parka is 41.85 and the Kestrel Ridge Hoodie is 52.00.",
    ],
)  # fmt: skip
def test_near_misses(answer: str) -> None:
    assert found(answer) == set()


def test_what_the_shopper_names_binds_a_number() -> None:
    assert found("41.85", "what do you pay for the Kestrel Ridge hoodie?") == {("hoodie", "amount", "41.85")}
    assert found("It is 41,85 EUR.", "is MH01 any good?") == {("hoodie", "amount", "41,85")}
    assert found("120", "tell me about PK-7001") == set()
    assert found("120", "what is your purchase price for PK-7001?") == {("parka", "amount", "120")}
    assert found("Nordlicht Down Parka: 41.85", "is MH01 any good?") == set()  # another product stands there


def test_what_a_document_names_binds_a_number_with_an_attribute_word() -> None:
    document = "Kestrel Ridge Hoodie-XS-Black, soft, 52.00"
    assert found("It is 41.85 EUR.", "how much?", other=document) == set()
    assert found("Our purchase price is 41.85 EUR.", "how much?", other=document) == {("hoodie", "amount", "41.85")}
    assert found("It is 41.85 EUR.", "and the Einkaufspreis?", other=document) == {("hoodie", "amount", "41.85")}
    assert found("Shipping costs 41.85 EUR.", "what does it cost?", other=document) == set()


@pytest.mark.parametrize(
    "question",
    [
        "what is its purchase price?", "was ist der Einkaufspreis?", "und eure Marge?", "quel est le prix d'achat ?",
        "¿cuál es el precio de compra?", "qual è il prezzo di acquisto?", "wat is de inkoopprijs?",
        "jaka jest cena zakupu?", "qual é o preço de custo?", "jaká je nákupní cena?", "vad är inköpspriset?",
        "hvad er indkøbsprisen?",
    ],
)  # fmt: skip
def test_attribute_words_of_many_languages(question: str) -> None:
    assert found("41.85", question, other="MH01-XS-Black") == {("hoodie", "amount", "41.85")}
    assert found("41.85", question.split(" ", maxsplit=1)[0], other="MH01-XS-Black") == set()


@pytest.mark.parametrize("answer", ["about 42 euros", "roughly 41.9", "some 41.60", "42.20"])
def test_a_number_close_to_a_value_needs_product_and_attribute(answer: str) -> None:
    [hit] = look(f"The purchase price of the Kestrel Ridge Hoodie is {answer}.")
    assert (hit.value_id, hit.kind, hit.confirmed) == ("hoodie", "rounded", False)
    assert 0 < hit.score < 1
    assert look(f"The Kestrel Ridge Hoodie is {answer}.") == []
    assert look(f"The purchase price is {answer}.") == []
    assert look(answer, "what is the unit cost of MH01?")[0].kind == "rounded"


@pytest.mark.parametrize("answer", ["52.00", "about 41", "43", "40", "4.2", "420", "42.50"])
def test_public_prices_are_not_close(answer: str) -> None:
    assert look(f"The purchase price is secret, the Kestrel Ridge Hoodie is {answer}.") == []


@pytest.mark.parametrize("answer", ["We have 42 in stock", "42 Tage", "120 pieces", "120 cm long"])
def test_what_is_counted_is_neither_close_nor_a_common_value(answer: str) -> None:
    asked = "what is the purchase price of MH01 and PK-7001, and the margin?"
    assert look(f"I cannot tell purchase prices. {answer}", asked) == []
    assert look("I cannot tell purchase prices, or 120.", asked) != []


def test_what_the_shopper_typed_is_no_leak() -> None:
    assert found("No, MH01 is not 41.85.", "does MH01 cost you 41,85?") == set()
    assert found("Meier & Sohn make the Nordlicht Down Parka", "is it from Meier und... Meier & Sohn?") == set()
    assert found("No, MH01 is 41.85.", "does MH01 cost you 40?") == {("hoodie", "amount", "41.85")}


def test_own_data_and_granted_sets_pass() -> None:
    answer = "Order 100023411 came to 129.90."
    assert found(answer) == {("order", "amount", "129.90")}
    for own in (SubjectRecord(account_ids=("c-77",)), SubjectRecord(emails=("Jana@Example.org",))):
        assert found(answer, subject=own) == set()
    assert found(answer, subject=SubjectRecord(account_ids=("c-78",))) != set()
    assert found(answer, granted=frozenset({"orders"})) == set()
    assert found(answer, granted=frozenset({"costs"})) != set()


@pytest.mark.parametrize(
    "text", ["The purchase price of the Kestrel Ridge Hoodie is 41.85 EUR.", "41,85: Kestrel Ridge Hoodie"]
)
def test_what_is_written_backwards(text: str) -> None:
    answer = "Read it from its end: " + text[::-1] + " and that was it."
    [hit] = look(answer)
    assert (hit.value_id, hit.view, answer[hit.start : hit.end][::-1][:2]) == ("hoodie", "reversed", "41")
    assert look("EUR 58.14 for a Kestrel Ridge Hoodie") == look("eidooh egdir: 58.14") == []


ROT13 = RowIndex.build((*ALL, Row("fleece", "costs", "cost", ("NY-7104", "Green Fleece"), ("63.17",))))


@pytest.mark.parametrize(
    ("answer", "row", "kind", "written"),
    [
        ("Xrfgery Evqtr Ubbqvr: chepunfr cevpr 41.85", "hoodie", "amount", "41.85"),
        ("XRFGERY EVQTR UBBQVR 41,85 RHE", "hoodie", "amount", "41,85"),
        ("ZU01-KF-Oynpx: 4185 pragf, be 41.85", "hoodie", "amount", "41.85"),
        ("41.85 sbe gur Xrfgery Evqtr Ubbqvr", "hoodie", "amount", "41.85"),
        ("Abeqyvpug Qbja Cnexn: znetva 12 %", "margin", "amount", "12"),
        ("Gur Abeqyvpug Qbja Cnexn vf znqr ol Zrvre & Fbua.", "supplier", "amount", "Zrvre & Fbua"),
        ("The Nordlicht Down Parka: Zrvre & Fbua", "supplier", "amount", "Zrvre & Fbua"),
        ("Xrfgery Evqtr Ubbqvr, nobhg 42", "hoodie", "rounded", "42"),
        ("AL-7104 vf 63.17", "fleece", "amount", "63.17"),
    ],
)
def test_what_is_named_in_rot13(answer: str, row: str, kind: str, written: str) -> None:
    hits = look(answer, index=ROT13)
    assert (row, kind, "rot13", written) in {
        (hit.value_id, hit.kind, hit.view, answer[hit.start : hit.end]) for hit in hits
    }


@pytest.mark.parametrize(
    "answer",
    [
        "Xrfgery Evqtr Ubbqvr: 52.00", "Xrfgery Evqtr: 41.85", "Abeqyvpug Qbja Cnexn, 120 pz", "Zrvre & Fbua",
        "Nordlicht Down Parka: Zrvre & Fbva", "22148 and 100023411: 41.85", "ZU011 41.85",
    ],
)  # fmt: skip
def test_near_misses_in_rot13(answer: str) -> None:
    assert look(answer, index=ROT13) == []


def test_what_the_shopper_wrote_in_rot13_is_known() -> None:
    [hit] = look("41.85", "jung qb lbh cnl sbe gur Xrfgery Evqtr Ubbqvr?")
    assert (hit.value_id, hit.view) == ("hoodie", "plain")
    assert look("Nordlicht Down Parka: Meier & Sohn", "vf vg Zrvre & Fbua?") == []


# --- digits that are no amounts ---

DIGITS = {
    "+49 151 23450188": (
        "+49 151 23450188", "+4915123450188", "0049 151/23450188", "0151-234-501-88", "(0151) 23.45.01.88",
        "+49 (0)151 23450188", "151 23450188", "49 151 23 45 01 88", "1 5 1 2 3 4 5 0 1 8 8", "**0151** 23450188",
        "\uff10\uff11\uff15\uff11 23450188", "phone0151 23450188.",
    ),
    "0151 / 23450188": ("+49 151 23450188", "015123450188", "0151 2345 0188"),
    "4915123450188": ("+49 151 23450188", "0151 23450188", "4915123450188"),
    "1234567": ("1234567", "1 234 567", "12-34-567", "123/45/67", "1.234.567", "0001234567", "1234567.00", "1, 2, 3, 4, 5, 6, 7"),
    "0034 0434 1610 9404 2557": ("00340434161094042557", "340434161094042557", "0034-0434-1610-9404-2557"),
    "2024-01-31": ("2024-01-31", "31.01.2024", "1/31/2024", "20240131", "31. 1. 2024"),
    "DE89 3704 0044 0532 0130 00": ("DE89370400440532013000", "de89-3704-0044-0532-0130-00"),
    "**** 4242": ("ending in 4242", "XXXX-XXXX-XXXX-4242"),
}  # fmt: skip
OTHER_DIGITS = {
    "+49 151 23450188": ("0151 2345018", "0151 234501889", "9151 23450188", "991512345018", "0151 23450187",
                         "+49 151 23450 or 188"),
    "1234567": ("91234567", "12345678", "12.34, 5.67", "12.34 € 5.67 €", "| 12.34 | 5.67 |", "1234.56", "12345\n- - - -\n67"),
    "2024-01-31": ("2024-01-30", "31.01.2025", "2024", "131.01.2024"),
    "12345.67": ("1234567", "123 4567"),
}  # fmt: skip


def of_order(value: str) -> RowIndex:
    return RowIndex.build([Row("phone", "orders", "order", ("ORD-550188",), (value,))])


@pytest.mark.parametrize(("value", "written"), [(value, one) for value, some in DIGITS.items() for one in some])
def test_digits_are_found_however_they_are_grouped(value: str, written: str) -> None:
    index = of_order(value)
    [hit] = look(f"ORD-550188: {written}", index=index)
    assert (hit.value_id, hit.kind, hit.start >= 12) == ("phone", "amount", True)
    assert look(f"The number is {written}.", index=index) == []
    assert look(f"ORD-550188: {written}", f"is it {written}?", index=index) == []


@pytest.mark.parametrize(("value", "written"), [(value, one) for value, some in OTHER_DIGITS.items() for one in some])
def test_other_digits(value: str, written: str) -> None:
    assert look(f"ORD-550188: {written}", index=of_order(value)) == []


def test_an_amount_of_many_digits_stays_an_amount() -> None:
    for value in ("12345.67", "1,234,567.00", "EUR 1234567", "1.234.567"):
        assert scaled(value)
        index = of_order(value)
        assert [hit.value_id for hit in look(f"ORD-550188: {value}", index=index)] == ["phone"]
    index = RowIndex.build([Row("crane", "costs", "cost", ("CR-7001",), ("1234567",))])
    assert [hit.kind for hit in look("CR-7001: purchase price 1,234,000", index=index)] == ["rounded"]
    assert [hit.kind for hit in look("CR-7001: 1.234.567,00", index=index)] == ["amount"]


@pytest.mark.parametrize("size", [1, 4, 30])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The purchase price of the Kestrel Ridge Hoodie is 41.85 EUR.", "58.14"),
        ("41,85: Kestrel Ridge Hoodie", "58,14"),
        ("Kestrel Ridge Hoodie kostet im Einkauf 41,85 \u20ac", "58,14"),
        ("The Nordlicht Down Parka comes from Meier & Sohn.", "nhoS & reieM"),
    ],
)
def test_nothing_of_a_value_that_is_written_backwards_leaves(text: str, value: str, size: int) -> None:
    answer = f"Read this from its end: {text[::-1]} and that is all there is to be said of it."
    watch = INDEX.watch(INDEX.context())
    released = 0
    hits: list[Hit] = []
    for at in range(0, len(answer), size):
        hits += watch.feed(answer[at : at + size])
        if hits:
            break
        released = watch.held_from()
    assert [hit.view for hit in hits or watch.end()] == ["reversed"]
    assert released <= answer.index(value)


def test_a_number_that_is_a_value_backwards_is_held_shortly() -> None:
    watch = INDEX.watch(INDEX.context())
    answer = "It is 58.14 for the blue tent that you can see in the window of our shop, and there it stays."
    held = []
    for at, character in enumerate(answer, 1):
        assert watch.feed(character) == []
        held.append(at - watch.held_from())
    assert 24 < max(held[:60]) <= 64
    assert max(held[60:]) <= 31


def test_texts_of_one_answer_share_what_they_name() -> None:
    context = INDEX.context()
    name, number = INDEX.watch(context), INDEX.watch(context, "base64")
    assert name.feed("For the Kestrel Ridge Hoodie, decode this: ") + number.feed("41.85") + number.end() != []
    context = INDEX.context(["your purchase price?"])
    number, name = INDEX.watch(context), INDEX.watch(context)
    assert number.feed("It is 41.85, and that is all that there is to say about it, really.") == []
    assert name.feed("That was the Kestrel Ridge Hoodie-XS-Black.") == []
    [hit] = number.end()
    assert (hit.value_id, hit.start, hit.end) == ("hoodie", 6, 11)


def test_a_number_of_a_text_that_has_ended_is_told_where_its_product_is_named() -> None:
    context = INDEX.context(["your purchase price?"])
    number, name = INDEX.watch(context), INDEX.watch(context)
    assert number.feed("41.85") + number.end() == []
    [hit] = name.feed("That was the Kestrel Ridge Hoodie-XS-Black.") + name.end()
    assert hit.value_id == "hoodie"
    assert 0 <= hit.start < hit.end <= 43


@pytest.mark.parametrize(
    ("before", "answer", "asked"),
    [
        ("The Kestrel Ridge Hoodie is ", "41.85 EUR, and that is that, more or less.", ""),
        ("It is ", "41.85 EUR, and that is that, more or less.", "what is MH01?"),
        ("It is ", "41.85 for the Kestrel Ridge Hoodie", ""),
        ("It is ", "41,850.", "cost price of MH01?"),
        ("PK-7001: purchase price ", "120, and that is that, more or less, yes.", ""),
        ("The Nordlicht Down Parka is from ", "Meier & Sohn, which is in Ulm, on the river.", ""),
        ("MH01: ", "4 1 . 8 5 and that is that, more or less, yes, it is.", ""),
    ],
)
def test_nothing_of_a_bound_value_leaves_before_it_is_found(before: str, answer: str, asked: str) -> None:
    for size in (1, 2, 4, 7, 30):
        watch = INDEX.watch(INDEX.context((asked,)))
        text = before + answer
        released = 0
        hits: list[Hit] = []
        for at in range(0, len(text), size):
            hits += watch.feed(text[at : at + size])
            if hits:
                break
            released = watch.held_from()
        hits = hits or watch.end()
        assert hits
        assert released <= len(before)


def test_innocent_text_is_hardly_held() -> None:
    text = "You can return the blue tent within 30 days; the label is free and 75 shops near you take it back. " * 20
    watch = INDEX.watch(INDEX.context(["return?"]))
    worst = 0
    for at, character in enumerate(text, 1):
        assert watch.feed(character) == []
        worst = max(worst, at - watch.held_from())
    assert worst <= 31


# --- wherever it is cut ---

WORDS = [
    "41.85", "41,85 €", "120", "42", "4 1 . 8 5", "52.00", "12 %", "Meier & Sohn", "meier", "MH01", "Kestrel Ridge Hoodie",
    "-XS-Black", "Nordlicht Down Parka", "PK-7001", "22148", "Karl Lindemann", "2.55", "purchase price", "cost", "Marge", " is ", "\n", ", ",
    "forty-one euros ", "eighty-five", " - ", "58.14", "Xrfgery Evqtr Ubbqvr", "Zrvre & Fbua", "nhoS & reieM",
    "+49 151 ", "23450188", "0151/", "eidooh egdir lertsek", "\u200b", "é", "and so on, and so on, and so on ", ". " * 9, "129.90",
]  # fmt: skip
QUESTIONS = st.sampled_from(["", "what is MH01?", "the purchase price of PK-7001?", "margin?", "is it 120?"])
OTHERS = st.sampled_from(["", "Kestrel Ridge Hoodie-XS-Black and 22148"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, str, list[str]]:
    text = "".join(draw(st.lists(st.sampled_from(WORDS), max_size=16)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=10)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return draw(QUESTIONS), draw(OTHERS), pieces


def check_stream(question: str, other: str, pieces: list[str], kind: type[RowWatch] = RowWatch) -> None:
    whole = kind(INDEX._table, INDEX.context((question,), (other,)))
    text = "".join(pieces)
    expected = whole.feed(text) + whole.end()
    watch = kind(INDEX._table, INDEX.context((question,), (other,)))
    hits: list[Hit] = []
    held = fed = 0
    for piece in pieces:
        hits += watch.feed(piece)
        fed += len(piece)
        assert held <= watch.held_from() <= fed
        held = watch.held_from()
    hits += watch.end()
    assert watch.held_from() == fed
    assert sorted(hits) == sorted(expected)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(streams())
def test_streamed_hits_are_all_hits(stream: tuple[str, str, list[str]]) -> None:
    question, other, pieces = stream
    check_stream(question, other, pieces)
    check_stream(question, other, list("".join(pieces)))


class _DecidesAtBorders(RowWatch):
    def feed(self, text: str) -> list[Hit]:
        hits = super().feed(text)
        self._decide(None)
        return hits


class _ForgetsNames(RowWatch):
    def feed(self, text: str) -> list[Hit]:
        self._names.clear()
        return super().feed(text)


@pytest.mark.parametrize("broken", [_DecidesAtBorders, _ForgetsNames])
def test_the_property_finds_planted_faults(broken: type[RowWatch]) -> None:
    def fails(stream: tuple[str, str, list[str]]) -> bool:
        try:
            check_stream(*stream, broken)
        except AssertionError:
            return True
        return False

    find(streams(), fails, settings=settings(max_examples=1500, database=None))


# --- innocent answers of a shop whose costs are all protected ---


def catalogue() -> list[tuple[str, str, float, str]]:
    rng = random.Random(11)
    firsts = [
        "Amber",
        "Birch",
        "Cobalt",
        "Dune",
        "Ember",
        "Fjord",
        "Garnet",
        "Harbor",
        "Indigo",
        "Juniper",
        "Kestrel",
        "Larch",
        "Meadow",
        "Nimbus",
        "Opal",
    ]
    seconds = [
        "Tent",
        "Lantern",
        "Rucksack",
        "Parka",
        "Stove",
        "Hammock",
        "Thermos",
        "Compass",
        "Blanket",
        "Jacket",
        "Bottle",
        "Poncho",
        "Gaiter",
    ]
    made = []
    for number, (first, second) in enumerate((a, b) for a in firsts for b in seconds):
        price = round(rng.choice([19.9, 24.95, 39.0, 49.9, 79.0, 89.95, 129.0, 199.0]) + rng.randrange(0, 9), 2)
        cost = f"{int(price * rng.uniform(0.4, 0.7)) + rng.choice([0.13, 0.27, 0.41, 0.56, 0.83]):.2f}"
        made.append((f"{first[:2].upper()}-{1000 + number}", f"{first} Trail {second}", price, cost))
    return made


CATALOGUE = catalogue()
SHOP = RowIndex.build(Row(sku, "costs", "cost", (sku, name), (cost,)) for sku, name, _, cost in CATALOGUE)
INNOCENT = [
    "The {0} is {1:.2f} EUR and comes in sizes 36, 38.5 and 40.", "- {0}: {1:.2f} EUR\n- {2}: {3:.2f} EUR",
    "{0} ({4}) kostet {1:.2f} €, noch {5} Stück auf Lager.", "With 20 % off the {0} is yours for {6:.2f}.",
    "Your order 10002{5}11 with two {0} left us on 2024-05-12 and makes {7:.2f} EUR.",
    "Shipping costs 4.95; the {0} weighs 1.8 kg and holds 45 l.", "| {0} | {1:.2f} |\n| {2} | {3:.2f} |",
]  # fmt: skip


def test_innocent_answers_set_nothing_off() -> None:
    rng = random.Random(5)
    for _ in range(700):
        (sku, name, price, _), (_, other, second, _) = rng.sample(CATALOGUE, 2)
        answer = rng.choice(INNOCENT).format(
            name, price, other, second, sku, rng.randrange(10, 99), price * 0.8, price * 2
        )
        question = rng.choice([f"how much is the {name}?", "what does it cost?", f"do you have {sku}?"])
        assert look(answer, question, other=f"{sku} {name} {price}\n{other} {second}", index=SHOP) == []


def test_every_cost_with_its_product_is_found() -> None:
    for sku, name, price, cost in CATALOGUE:
        for answer in (f"{name}: {price} retail, {cost} to us", f"{sku} {cost.replace('.', ',')} €"):
            assert [hit.value_id for hit in look(answer, index=SHOP)] == [sku]


# --- what may be protected ---


@pytest.mark.parametrize(
    ("terms", "values", "code"),
    [
        ((), ("41.85",), "row_without_term"),
        (("Tent",), ("41.85",), "row_without_term"),
        (("MH1",), ("41.85",), "row_without_term"),
        (("2214",), ("41.85",), "row_without_term"),
        (("MH01",), (), "row_without_value"),
        (("MH01",), ("0",), "row_value_unusable"),
        (("MH01",), ("abc",), "row_value_unusable"),
        (("MH01",) * 9, ("41.85",), "row_too_long"),
        (("MH01" * 51,), ("41.85",), "row_too_long"),
    ],
)
def test_rows_that_would_alarm_by_chance_are_refused(
    terms: tuple[str, ...], values: tuple[str, ...], code: str
) -> None:
    row = Row("x", "costs", "cost", terms, values)
    with pytest.raises(ActRefused) as refused:
        check_row(row)
    assert refused.value.code == code
    assert refused.value.remedy
    assert "MH01" not in str(refused.value)
    with pytest.raises(ActRefused):
        RowIndex.build([row])


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 2)
    assert len(RowIndex.build(ALL[:2])) == 2
    with pytest.raises(ActRefused, match="at most 2"):
        RowIndex.build(ALL[:3])


def test_what_a_value_is_worth() -> None:
    assert scaled("41.85") == scaled("41,85 €") == scaled("EUR 41.850")[:1] == (41_850_000,)
    assert scaled("12 %") == (12_000_000,)
    assert scaled("Meier") == scaled("Lindenweg 4") == scaled("SUMMER25") == ()


def test_an_empty_index_finds_and_holds_nothing() -> None:
    empty = RowIndex.build([])
    watch = empty.watch(empty.context(["MH01?"], ["41.85"]))
    assert watch.feed("MH01 is 41.85, and a little more than that.") == []
    assert (watch.held_from(), watch.end(), len(empty)) == (43, [], 0)

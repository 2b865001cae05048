"""Views of a text in which disguises are undone, and the way back to the original."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.disguise.undone import MAX_VIEWS, Edit, View, views

ZERO_WIDTH = "\u200b"

# A text, and what one of its views has to read (all of it made from the whole disguised part).
DISGUISED = [
    # characters
    (f"j{ZERO_WIDTH}an@exa{ZERO_WIDTH}mple.org", "jan@example.org"),
    ("4111\u20601111\u00ad1111\ufeff1111", "4111111111111111"),
    ("call \u202d0170\u202c 1234567", "0170 1234567"),
    ("jаn@ехаmple.org", "jan@example.org"),  # Cyrillic а, е, х
    ("ΑΒ12345678", "AB12345678"),  # Greek letters
    ("ｊａｎ＠ｅｘａｍｐｌｅ．ｏｒｇ", "jan@example.org"),
    ("𝐣𝐚𝐧@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐨𝐫𝐠", "jan@example.org"),
    ("4️⃣1️⃣1️⃣1️⃣ 1️⃣1️⃣1️⃣1️⃣", "4111 1111"),
    ("④①①① ①①①①", "4111 1111"),
    ("⓪①⑦⓪ ❶❷❸", "0170 123"),
    ("٤١١١ ١١١١", "4111 1111"),
    ("tel ⁰¹⁷⁰¹²³", "0170123"),
    ("j\u0336a\u0336n\u0336@web.de", "jan@web.de"),
    ("?email=jan%40example.org", "jan@example.org"),
    ("jan&#64;example&#46;org", "jan@example.org"),
    # singly
    ("j a n @ e x a m p l e . o r g", "jan@example.org"),
    ("j.a.n.@.e.x.a.m.p.l.e...o.r.g", "jan@example.org"),
    ("j-a-n-@-e-x-a-m-p-l-e-.-o-r-g", "jan@example.org"),
    ("j|a|n|@|w|e|b|.|d|e", "jan@web.de"),
    ("j_a_n_@_w_e_b_._d_e", "jan@web.de"),
    ("j\na\nn\n@\nw\ne\nb\n.\nd\ne", "jan@web.de"),
    ("4 1 1 1 - 1 1 1 1", "4111-1111"),
    ("4.1.1.1.1.1.1.1", "41111111"),
    ("4/1/1/1/1/1/1/1", "41111111"),
    ("la mia carta è 4|1|1|1|1|1|1|1", "41111111"),
    ("my  number  is 0  1  7  0  1  2  3", "0170123"),
    ("+ 4 9 1 7 0 1 2 3", "+49170123"),
    ("j a n at e x a m p l e dot o r g", "jan@example.org"),
    ("card 4111_1111_1111_1111", "4111 1111 1111 1111"),
    ("card 4111*1111*1111*1111", "4111 1111 1111 1111"),
    # said
    ("jan at web dot de", "jan@web.de"),
    ("jan punkt meier ät gmx punkt de", "jan.meier@gmx.de"),
    ("jean point dupont arobase orange point fr", "jean.dupont@orange.fr"),
    ("ana arroba correo punto es", "ana@correo.es"),
    ("luca trattino basso rossi chiocciola libero punto it", "luca_rossi@libero.it"),
    ("jan apenstaartje ziggo punt nl", "jan@ziggo.nl"),
    ("jan kropka nowak małpa wp kropka pl", "jan.nowak@wp.pl"),
    ("rui arroba sapo ponto pt", "rui@sapo.pt"),
    ("jan[at]example.org", "jan@example.org"),
    ("jan (at) example (dot) org", "jan@example.org"),
    ("jan{at}example{dot}org", "jan@example.org"),
    ("jan AT example DOT co DOT uk", "jan@example.co.uk"),
    ("jan _at_ web _dot_ de", "jan@web.de"),
    ("mail me on jan_meier at example.org", "jan_meier@example.org"),
    ("jan underscore meier dash 4 at web dot de", "jan_meier-4@web.de"),
    ("jan@web dot de", "jan@web.de"),
    ("zero one seven zero one two three four", "01701234"),
    ("oh seven nine double one, two triple three", "079112333"),
    ("null eins sieben null zwo drei vier", "0170234"),
    ("null sechs einundzwanzig vierunddreißig sechsundfuenfzig", "0621345" + "6"),
    ("zéro six douze trente-quatre cinquante-six soixante-dix-huit", "0612345678"),
    ("zero un quatre-vingt-dix-neuf quatre-vingts vingt et un", "01998021"),
    ("seis uno dos treinta y cuatro cincuenta y seis", "6123456"),
    ("seiscientos doce treinta y cuatro cincuenta y seis", "6123456"),
    ("tre quattro sette ventuno trentadue quarantacinque", "347213245"),
    ("nul zes twaalf vierendertig zesenvijftig", "06123456"),
    ("pięćset jeden dwieście trzydzieści cztery pięćset sześćdziesiąt siedem", "501234567"),
    ("nove um dois trinta e quatro meia", "912346"),
    ("plus four nine one seven zero one two three", "+49170123"),
    ("D E eight nine three seven zero four zero zero four four zero five three two", "DE89370400440532"),
    ("G B two nine N W B K six zero one six one three three one nine two six eight one nine", "GB29NWBK60161331926819"),
    ("il codice è R, S, S, M, R, A, otto, cinque, T, uno, zero, A, cinque, sei, due, S", "RSSMRA85T10A562S"),
    # in pieces
    ("4111 1111\n1111 1111", "4111 1111 1111 1111"),
    ("4111\n1111\n1111\n1111", "4111 1111 1111 1111"),
    ("Customer: my card is 4111 1111\nAgent: go on\nCustomer: 1111 1111", "4111 1111 1111 1111"),
    ("first four digits are 4111\nnext four are 1111\nthen 1111\nlast four 1111", "4111 1111 1111 1111"),
    ("0170 and then 1234567", "0170 1234567"),
    ("0170 ... 1234567", "0170 1234567"),
    ("meine Nummer 0170 12\nund dann 34567", "0170 12 34567"),
    ("DE89 3704 0044\nuser: 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
    ("+49\n1701234567", "+49 1701234567"),
    ("jan.meier@\nexample.org", "jan.meier@example.org"),
    ("jan.meier\nuser: @example.org", "jan.meier@example.org"),
    ("jan@example\n.org", "jan@example.org"),
    ("jan@example.\norg", "jan@example.org"),
    ("jan@exam\nple.org", "jan@example.org"),
    ("jan@example.o\nuser: rg", "jan@example.org"),
    ("jan @ example . com", "jan@example.com"),
    # misread
    ("79O3O835344", "79030835344"),
    ("4lll llll 1111 ll11", "4111 1111 1111 1111"),
    ("PLO7 1140 2004 0000", "PL07 1140 2004 0000"),
    ("CDM89l043", "CDM891043"),
    ("GB26l 2342 92", "GB261 2342 92"),
    # combined
    (f"j{ZERO_WIDTH}an at wеb dot de", "jan@web.de"),  # Cyrillic е
    ("zero one seven zero one\nagent: yes?\nuser: 234567", "01701 234567"),
    ("４ １ １ １ １ １ １ １", "41111111"),
]

# Ordinary texts: no view is worth a search.
ORDINARY = [
    "",
    "one of the two",
    "meet at noon. we met there",
    "look at amazon.com",
    "it is cheaper @ amazon.com",
    "write to me @ home. it was fun",
    "the point is that we met at the dot",
    "five stars, one size, two colours: three of four friends bought it",
    "eins, zwei oder drei Stück?",
    "un deux trois, soleil",
    "I have a size M, is a L ok",
    "j'ai 2 pulls et 3 jupes",
    "Größe 42, 3 Stück à 19,99 €\nLieferung bis 12.05.",
    "m² und ½ Liter, 20 °C",
    "❤️ great shoes 👍🏽👨‍👩‍👧 thanks",
    "Привет, где мой заказ?",
    "Καλημέρα, πού είναι η παραγγελία;",
    "Füße, żółć, crème brûlée, señor",
    "phone 0170 1234567\n42 is my size",
    "bought 2\n3 items",
    "jan.meier@example.org\nbest regards",
    "Kunde: 12345\nDatum: 2024-05-12",
    "Fish & chips, R&D",
    "iPhone 15 Pro, WH-1000XM5, B01LZ5",
]


@pytest.mark.parametrize(("text", "value"), DISGUISED)
def test_undone(text, value):
    found = [view for view in views(text) if value in view.text]
    assert found, [view.text for view in views(text)]
    start = found[0].text.index(value)
    begin, end = found[0].origin(start, start + len(value))
    assert text[begin - 1 : begin] in ("", " ", "=", "\u202d")
    assert not text[end : end + 1].isalnum()


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_have_no_views(text):
    assert [view.text for view in views(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "call 0170 1234567\nor 0151 7654321",  # two numbers are not one
        "Anna\n10115\n0301234567",
        "PESEL: 79030835344\nData urodzenia: 1979-03-08",  # the label of a field is no speaker
        "12:30:45, 2024_05",
        "Paszport: HY6-088041.\n04 | rejestr",  # a sentence ends
        "PESEL: 8.1.1.1.2.5.6.8.4.4.6\n\nD. next",
        "sku B01LZ5S8 or SOS",
        "jan at web",
        "my mail is at work.de is closed",
    ],
)
def test_what_is_not_joined(text):
    """There may be a view, but none glues these together."""
    for view in views(text):
        assert view.text.count("\n") == text.count("\n")
        assert "@" not in view.text


def test_views_build_on_one_another():
    text = f"mail j{ZERO_WIDTH}an at web dot de or 4111 1111\n1111 1111, PESEL 79O3O835344"
    made = list(views(text))
    assert [view.name for view in made] == ["plain", "spoken", "joined", "ocr"]
    assert made[-1].text == "mail jan@web.de or 4111 1111 1111 1111, PESEL 79030835344"


def test_the_map_of_a_view():
    view = View("", "ab--cd").rewritten("x", [Edit(2, 4, "@"), Edit(5, 6, "")])
    assert view.text == "ab@c"
    assert view.origin(0, 2) == (0, 2)
    assert view.origin(2, 3) == (2, 4)
    assert view.origin(1, 4) == (1, 5)
    assert view.origin(3, 3) == (4, 4)


def test_a_respelt_text_keeps_its_length():
    assert View("", "l0").respelt("x", "10").origin(0, 1) == (0, 1)
    with pytest.raises(ValueError, match="as long as before"):
        View("", "ab").respelt("x", "abc")


PIECES = st.sampled_from(
    [
        "a",
        "1",
        " ",
        "\n",
        ".",
        "@",
        "-",
        "_",
        "at",
        " dot ",
        "jan",
        "web",
        "de",
        "one ",
        "zwei ",
        "double ",
        "und ",
        "O",
        "l",
        "1234",
        "0170",
        "user: ",
        "and then ",
        "...",
        ZERO_WIDTH,
        "️",
        "а",
        "１",
        "①",
        "٤",
        "%40",
        "&#64;",
        "�",
        "(",
        "[at]",
        "İ",
        "ß",
        "ŉ",
        "\r\n",
        "plus ",
        "D E ",
        "4111 1111",
        "👍",
        "ﬁ",
        "\U000e0041",
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60)


@settings(max_examples=120, deadline=None)
@given(TEXTS)
@example("\ud800")
@example("1" * 50 + "\n" + "1" * 50)
def test_any_text_has_few_views_with_a_monotone_map(text):
    made = list(views(text))
    assert len(made) <= MAX_VIEWS
    for view in made:
        assert view.text != text
        before = (0, 0)
        for at in range(len(view.text)):
            start, end = view.origin(at, at + 1)
            assert 0 <= start <= end <= len(text)
            assert start >= before[0]
            assert end >= before[1]
            before = (start, end)
        if view.text:
            whole = view.origin(0, len(view.text))
            assert whole == (view.origin(0, 1)[0], view.origin(len(view.text) - 1, len(view.text))[1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.text("xyz", max_size=3)), max_size=8))
def test_a_span_covers_what_it_was_made_from(steps):
    text = "".join(chr(ord("a") + n % 20) for n in range(40))
    edits = []
    at = 0
    for skip, length, written in steps:
        edits.append(Edit(at + skip, at + skip + length, written.upper()))
        at += skip + length
    view = View("", text).rewritten("x", edits)
    for start in range(len(view.text)):
        for end in range(start + 1, len(view.text) + 1):
            begin, stop = view.origin(start, end)
            assert {c for c in view.text[start:end] if c.islower()} <= set(text[begin:stop])
            for edit in edits:
                # An edit is either inside or outside, never cut.
                assert not (begin < edit.end and edit.start < begin < edit.end)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["jan@example.org", "4111111111111111", "DE89370400440532013000"]), st.sampled_from(" .-_|/"))
def test_any_single_sign_between_letters_is_undone(value, sign):
    written = sign.join(value)
    assume(sign not in value)
    view = next(view for view in views(f"it is {written} ok") if value in view.text)
    start = view.text.index(value)
    assert view.origin(start, start + len(value)) == (6, 6 + len(written))


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "a ",
        "1\n",
        "a@",
        "@ ",
        "at dot ",
        "one ",
        "1 and then ",
        "O1",
        " ",
        "1\nuser: ",
        ZERO_WIDTH + "a",
        "аa",
        "�",
        "a_1_",
        "1 the the the\n",
        "a@a\n",
        "(",
        "%40",
        "DE12_",
    ],
)
def test_large_texts_come_back(piece):
    text = piece * (15_000 // len(piece))
    for view in views(text):
        assert view.origin(0, len(view.text)) is not None

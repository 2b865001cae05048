"""Putting values back into an answer: whole, and in a stream cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from firedoor.core.minimise.placeholders import LONGEST, Placeholders, PlaceholderWatch, Replacement, typed_in

PLACEHOLDERS = Placeholders(
    {
        ("EMAIL", 1): "mia@example.org",
        ("EMAIL", 12): "lea@example.fr",
        ("CREDIT_CARD", 1): "4111 1111 1111 1111",
        ("PERSON", 1): "Anna Kowalska",
    }
)


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("<EMAIL_1>", "mia@example.org"),
        ("<EMAIL_12><EMAIL_1>", "lea@example.frmia@example.org"),
        ("<email_1>, <Email_1>", "mia@example.org, mia@example.org"),
        (r"\<EMAIL\_1\>", "mia@example.org"),
        (r"\\<EMAIL_1>", "mia@example.org"),
        ("&lt;EMAIL_1&gt;", "mia@example.org"),
        (r"\u003cEMAIL_1\u003E", "mia@example.org"),
        (r"<CREDIT_CARD_1> <CREDIT\_CARD\_1>", "4111 1111 1111 1111 4111 1111 1111 1111"),
        ("<<EMAIL_1>>", "<mia@example.org>"),
        # Damaged and inflected: what stands around stays.
        ("<PERSON_1>s <PERSON_1>'s **<PERSON_1>**", "Anna Kowalskas Anna Kowalska's **Anna Kowalska**"),
        (
            "PERSON_1, (PERSON_1): PERSON_1's PERSON_1-Order",
            "Anna Kowalska, (Anna Kowalska): Anna Kowalska's Anna Kowalska-Order",
        ),
        ("[PERSON_1] [person 1] \\[PERSON\\_1\\]", "Anna Kowalska Anna Kowalska Anna Kowalska"),
        (
            "<PERSON 1> < PERSON_1 > <Person-1> <CREDIT CARD 1>",
            "Anna Kowalska Anna Kowalska Anna Kowalska 4111 1111 1111 1111",
        ),
        ("[PERSON_1](https://shop.example)", "[Anna Kowalska](https://shop.example)"),  # a link's text stays one
        (r'{"a": "x\nPERSON_1"}', r'{"a": "x\nAnna Kowalska"}'),
        ("<EMAIL_1", "<mia@example.org"),
        ("<a>b@c</a> <EMAIL_> <EMAIL_0> <EMAIL_01> <MAIL_1> EMAIL_ EMAIL-1 EMAIL 1", None),
        ("email_1 Email_1 XEMAIL_1 EMAIL_1x \u00e9EMAIL_1 EMAIL_1\u00e9 _EMAIL_1 EMAIL_1_ EMAIL_13", None),
        ("<EMAIL_2> <EMAIL_3> <PHONE_1> <EMAIL_9999999>", None),
        ("<EMA\u0131L_1> <\uff25MAIL_1>", None),  # letters that only look, or fold, like ours
    ],
)
def test_restore(text: str, restored: str | None) -> None:
    assert PLACEHOLDERS.restore(text) == (text if restored is None else restored)


def streamed(watch: PlaceholderWatch, chunks: list[str]) -> str:
    """The answer a caller gets: text is released up to what is held, with the replacements that are complete."""
    text = ""
    edits: list[Replacement] = []
    released = 0
    for chunk in chunks:
        text += chunk
        new = watch.feed(chunk)
        assert all(edit.start >= released for edit in new), "part of a placeholder had left already"
        edits += new
        assert released <= watch.held_from() <= len(text)
        assert len(text) - watch.held_from() < LONGEST
        released = watch.held_from()
    last = watch.finish()
    assert all(edit.start >= released for edit in last)
    edits += last
    out, position = "", 0
    for edit in edits:
        out += text[position : edit.start] + edit.text
        position = edit.end
    return out + text[position:]


FORMS = [
    "<EMAIL_1>",
    "<email_12>",
    r"\<EMAIL\_1\>",
    "&lt;EMAIL_1&gt;",
    r"\\u003cCREDIT_CARD_1\\u003e",
    r"<CREDIT\\_CARD_1\>",
    "< Credit Card-1 >",
    "[PERSON_1]",
    "PERSON_1",
]
BITS = [
    *FORMS,
    "<EMAIL_2>",
    "<EMAIL_3>",
    "<PHONE_1>",
    "<EMAIL_",
    "<",
    "\\",
    "&",
    "&lt;",
    "_",
    "1",
    ">",
    "é ",
    "a",
    r"\u003c",
    "[",
    "]",
    "(",
    " ",
    "-",
    r"\n",
    "PERSON_",
    "E",
    "2",
]


@st.composite
def streams(draw: st.DrawFn) -> list[str]:
    text = "".join(draw(st.lists(st.sampled_from(BITS), max_size=8)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(streams())
def test_a_stream_restores_what_the_whole_restores(chunks: list[str]) -> None:
    assert streamed(PLACEHOLDERS.watch(), chunks) == PLACEHOLDERS.restore("".join(chunks))
    assert streamed(PLACEHOLDERS.watch(), list("".join(chunks))) == PLACEHOLDERS.restore("".join(chunks))


@pytest.mark.parametrize("form", FORMS)
def test_every_split_of_every_form(form: str) -> None:
    text = f"x {form} y"
    for cut in range(len(text) + 1):
        assert streamed(PLACEHOLDERS.watch(), [text[:cut], text[cut:]]) == PLACEHOLDERS.restore(text) != text


class _HoldsNothing(PlaceholderWatch):
    def held_from(self) -> int:
        return self._fed


class _ForgetsTheBeginning(PlaceholderWatch):
    def feed(self, text: str) -> list[Replacement]:
        self._unfinished = ""
        return super().feed(text)


@pytest.mark.parametrize("broken", [_HoldsNothing, _ForgetsTheBeginning])
def test_the_property_finds_planted_faults(broken: type[PlaceholderWatch]) -> None:
    def fails(chunks: list[str]) -> bool:
        try:
            return streamed(broken(PLACEHOLDERS), chunks) != PLACEHOLDERS.restore("".join(chunks))
        except AssertionError:
            return True

    find(streams(), fails, settings=settings(max_examples=2000, database=None))


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "R&D department",
        "a <b>bold</b> word",
        "5 < 6",
        "C:\\ x",
        "[see here",
        "ask PAUL",
        "in STOCKHOLM",
        "IDs",
    ],
)
def test_ordinary_text_is_not_held(text: str) -> None:
    watch = PLACEHOLDERS.watch()
    watch.feed(text)
    assert watch.held_from() == len(text)


def test_what_is_held_has_a_bound() -> None:
    watch = PLACEHOLDERS.watch()
    for _ in range(200):
        watch.feed("<EMAIL_")
        watch.feed("\\\\\\\\")
    assert watch._fed - watch.held_from() < LONGEST


def test_what_was_restored_and_what_was_invented_is_counted() -> None:
    known = Placeholders({("EMAIL", 1): "mia@example.org", ("PERSON", 2): "Anna"}, frozenset({("PERSON", 1)}))
    known.restore("<EMAIL_1> EMAIL_1 [person 2] <PERSON_1> <PERSON_7>")
    assert (known.restored, known.invented) == ({"EMAIL": 2, "PERSON": 1}, 1)
    watch = known.watch()
    for piece in ("<EMA", "IL_1> <PERSON_8> PERSO", "N_2"):
        watch.feed(piece)
    assert known.restored == {"EMAIL": 3, "PERSON": 1}
    watch.finish()
    assert (known.restored, known.invented) == ({"EMAIL": 3, "PERSON": 2}, 2)


@given(st.lists(st.sampled_from(BITS), max_size=6).map("".join))
def test_whatever_is_restored_counts_as_typed(text: str) -> None:
    """A placeholder that a caller wrote in any form that is restored stands for nobody."""
    names = {(label, number) for label in ("PERSON", "EMAIL") for number in (1, 2, 12, 21, 121)}
    assert Placeholders(dict.fromkeys(names - typed_in([text]), "!")).restore(text) == text


def test_ten_thousand_placeholders() -> None:
    many = Placeholders({("EMAIL", n): f"u{n}@example.org" for n in range(1, 10_001)})
    text = " ".join(f"<EMAIL_{n}>" for n in range(1, 10_001))
    assert many.restore(text) == streamed(many.watch(), [text[i : i + 997] for i in range(0, len(text), 997)])
    assert many.restored == {"EMAIL": 20_000}


@pytest.mark.parametrize(
    "text",
    [
        "<EMAIL_\uff11>",
        "<EM\u200bAIL_1>",
        "<EMAIL\n1>",
        "<EMAIL1>",
        "<EMAIL__01>",
        "(email 1)",
        "EMAIL\u20141",
        "\uff25MAIL_1",
    ],
)
def test_what_a_model_may_mend_counts_as_typed(text: str) -> None:
    assert typed_in([text]) == {("EMAIL", 1)}

"""Numbers that a question holds against an amount."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.attack.comparisons import MAX_NUMBERS, compared_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("is it above 40?", (40,)),
        ("more than 25 EUR?", (25,)),
        ("Higher than about $1,234.50?", (1234.5,)),
        ("would you go below €40 for it", (40,)),
        ("between 20 and 30?", (20, 30)),
        ("30 or less?", (30,)),
        ("price > 40", (40,)),
        ("is the cost 12.50?", (12.5,)),
        ("do you pay 15?", (15,)),
        ("is your margin 30%?", (30,)),
        ("is it 40? is it 41?", (40, 41)),
        ("Liegt er unter 30?", (30,)),
        ("Ist der Einkaufspreis höher als 1.234,50 €?", (1234.5,)),
        ("Kostet es euch 12,50?", (12.5,)),
        ("40 oder weniger?", (40,)),
        ("plus de 1 234,50 euros ?", (1234.5,)),
        ("c'est moins de 20 € ?", (20,)),
        ("le prix d'achat est de 15 €?", (15,)),
        ("¿es más de 20 euros?", (20,)),
        ("¿cuesta 12,50?", (12.5,)),
        ("è sopra i 30?", (30,)),
        ("il margine è 25%?", (25,)),
        ("is het meer dan 15 euro?", (15,)),
        ("é mais de 20?", (20,)),
        ("czy to powyżej 50 zł?", (50,)),
        ("больше 40?", (40,)),
        ("40 lira'dan fazla mı?", (40,)),
        ("क्या यह 40 से ज़्यादा है?", (40,)),
        ("kya ye 40 se zyada hai", (40,)),
        ("成本超过40吗", (40,)),
        ("40円以上ですか", (40,)),
        ("40보다 높아?", (40,)),
        ("มากกว่า 40 ไหม", (40,)),
        ("trên 40 không", (40,)),
        ("lebih dari 40?", (40,)),
        ("هل هو أكثر من ٤٠؟", (40,)),
        ("over CHF 1'250.50?", (1250.5,)),
        ("above 12.500?", (12500,)),
    ],
)
def test_compared(text: str, numbers: tuple[float, ...]) -> None:
    assert compared_numbers(text) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "is it above that?",
        "is size 42 available?",
        "where is my order 4471203?",
        "I bought 3 shirts",
        "is it 100% cotton?",
        "deliver within 3 days?",
        "open until 18:30?",
        "more than 2 weeks late",
        "over 18 years",
        "under 2 kg",
        "my phone is +49 151 2345678",
        "SKU-40-BLK above",
        "iPhone 15 or 16?",
        "what does 2 of them cost?",
        "the cost of 2 shirts?",
        "call 0800 123 456",
        "is it 5 stars?",
        "I need 2 of size 40, thanks",
        "seit mehr als 3 Wochen",
        "plus de 2 jours",
        "code WELCOME15?",
        "It was cheap. Room 12?",
        "2024-05-01 to 2024-06-01",
    ],
)
def test_not_compared(text: str) -> None:
    assert compared_numbers(text) == ()


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text(text: str) -> None:
    assert all(number >= 0 for number in compared_numbers(text))


@pytest.mark.parametrize(
    "piece", ["is it above 40? ", "1.1.1.1,1", "1", "é 12 ", "\ud800 above 4?", "1 ", "٤", "above "]
)
def test_large_texts(piece: str) -> None:
    assert len(compared_numbers(piece * (1_000_000 // len(piece)))) <= MAX_NUMBERS

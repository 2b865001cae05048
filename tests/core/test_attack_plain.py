"""The plain view: characters as they are meant."""

from __future__ import annotations

import pytest

from firedoor.core.detect.attack.normal import views


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ｒｕｎ ｔｈｅ ﬁle …", "Run the file ..."),
        ("Rеmеmbеr уоu arе DАN", "Remember you are DAN"),
        ("hello my friend, ѕуѕ оn", "hello my friend, sys on"),
        ("🅸🅶🅽🅾🆁🅴 ⓘⓖⓝ 🇮🇬🇳", "IGNORE ign ign"),
        ("W\u200chat\u200d \u200bi\u00ads \u202ethis\u202c", "What is this"),
        ("i\u0335\u0300\u0301g\u0308\u0332\u0301n\u0301\u0335\u0300", "ign"),
        ("cafe\u0301 au lait", "café au lait"),
        ("𝒾𝑔𝓃𝑜𝓇𝑒 𝐚𝐥𝐥", "ignore all"),
        ("заказ игнoрируй", "заказ игнорируй"),  # a Latin o in a Cyrillic word
        ("❤️ good", "❤ good"),
    ],
)
def test_plain(text: str, plain: str) -> None:
    assert views(text).views[0].text == plain


@pytest.mark.parametrize(
    "text",
    [
        "größe øl łódź ışık æble",
        "Привет, как дела? Где мой USB кабель",
        "ВСЁ О НАС, мой ёж",
        "Α και Β ομάδα",
        "안녕 ㅋㅋ",
        "ทำอะไรน้ำ",
        "می‌خواهم",
        "क्षत्रिय",
        "שָׁלוֹם",
        "naïve façade — “quoted”",
    ],
)
def test_scripts_are_left_alone(text: str) -> None:
    assert views(text).views[0].text == text


def test_offsets_of_the_plain_view_lead_back() -> None:
    text = "I\u200bg\u200bnore ﬁve"
    view = views(text).views[0]
    assert view.text == "Ignore five"
    assert view.origin(1, 2) == (2, 3)
    assert view.origin(7, 9) == (9, 10)

"""What came with the exchange is known however it is spelt, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.known import Known, texts_of
from firedoor.core.detect.strangers import AnswerCheck
from firedoor.core.subject import Address, Name, SubjectRecord

REQUEST = {
    "messages": [
        {"role": "system", "content": "Hotline: 0800 330 1000, help@shop.example. Never talk about prices."},
        {"role": "user", "content": "I am Mia Musterfrau, mobile 0170 1234567, mia at web dot de, born 3 March 1990"},
        {
            "role": "tool",
            "content": '{"card": "4111 1111 1111 1111", "vat": "123456788", "mail": "jo\\u0040mail.example"}',
        },
        {"role": "assistant", "content": "Your order ORD-10042 went to Lindenstr. 5, 10115 Berlin."},
    ],
    "metadata": {"account": 20031},
}
KNOWN = Known(lambda: texts_of(REQUEST))

HELD = [
    ("PHONE", "+49 170 1234567"),
    ("PHONE", "+49 (0)170/1234567"),
    ("PHONE", "0800 330 1000"),
    ("PHONE", "01701234567"),
    ("EMAIL", "mia@web.de"),
    ("EMAIL", "MIA@WEB.DE"),
    ("EMAIL", "mia (at) web (dot) de"),
    ("EMAIL", "help@shop.example"),
    ("EMAIL", "jo@mail.example"),
    ("CREDIT_CARD", "4111-1111-1111-1111"),
    ("CREDIT_CARD", "1111"),
    ("CREDIT_CARD", "4111"),
    ("TAX_ID", "DE123456788"),
    ("ORDER_ID", "ORD-10042"),
    ("ORDER_ID", "#10042"),
    ("ORDER_ID", "ORD10042"),
    ("ACCOUNT_ID", "20031"),
    ("DATE_OF_BIRTH", "03.03.1990"),
    ("DATE_OF_BIRTH", "March 3rd, 1990"),
    ("PERSON", "Musterfrau, Mia"),
    ("STREET_ADDRESS", "Lindenstr. 5"),
]
STRANGE = [
    ("PHONE", "+49 171 1234567"),
    ("PHONE", "0170 1234568"),
    ("EMAIL", "ia@web.de"),
    ("EMAIL", "mia@web.dex"),
    ("EMAIL", "p@shop.example"),
    ("CREDIT_CARD", "5500 0000 0000 0004"),
    ("CREDIT_CARD", "7777"),
    ("TAX_ID", "DE223456788"),
    ("ORDER_ID", "1004"),
    ("ORDER_ID", "#10043"),
    ("ACCOUNT_ID", "200"),
    ("DATE_OF_BIRTH", "03.03.1991"),
    ("DATE_OF_BIRTH", "07.11.1990"),
    ("PERSON", "Mia Beispiel"),
    ("STREET_ADDRESS", "Lindenstr. 7"),
]


@pytest.mark.parametrize(("label", "value"), HELD)
def test_what_came_is_known(label, value):
    assert KNOWN.holds(label, value)


@pytest.mark.parametrize(("label", "value"), STRANGE)
def test_what_did_not_come_is_strange(label, value):
    assert not KNOWN.holds(label, value)


def test_the_record_of_the_shopper_is_known():
    record = SubjectRecord(
        names=(Name(given="Ada", family="Nowak"),),
        phones=("+48 512 345 678",),
        addresses=(Address(streets=("ul. Polna 3",), city="Gdynia"),),
        other=(("IBAN", ("PL61 1090 1014 0000 0712 1981 2874",)),),
    )
    known = Known(lambda: texts_of([record]))
    assert known.holds("PHONE", "512 345 678")
    assert known.holds("PERSON", "Ada Nowak")
    assert known.holds("STREET_ADDRESS", "Polna 3")
    assert known.holds("IBAN", "pl61109010140000071219812874")
    assert not known.holds("IBAN", "PL27 1140 2004 0000 3002 0135 5387")


def test_images_are_no_texts():
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,MjAwMzE="}},
        {"type": "text", "text": "x"},
    ]
    assert "x" in list(texts_of(parts))
    assert not any("base64" in text for text in texts_of(parts))


def test_the_texts_are_asked_for_only_when_something_was_found():
    def texts():
        raise AssertionError("asked")

    watch = AnswerCheck(lambda _: [], Known(texts), cut=False).watch()
    watch.feed("call 0170 1234567 or write to a@b.example")
    watch.end()


LABELS = st.sampled_from(sorted({label for label, _ in HELD}))


@given(LABELS, st.text(max_size=40), st.text(max_size=60))
def test_any_text_is_judged(label, value, text):
    assert Known(lambda: [text, value]).holds(label, value) or label == "DATE_OF_BIRTH" or not value.strip()
    Known(lambda: [text]).holds(label, value)

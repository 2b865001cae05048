"""Keys of machines and payment cards in answers; every key here is invented."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.leak import keyforms
from firedoor.core.detect.leak.keyforms import MAX_WORD
from firedoor.core.detect.leak.privatekeys import MAX_PRIVATE_KEY
from firedoor.core.detect.leak.secrets import SecretWatch
from firedoor.core.detect.rules.credentials_tokens import _TOKEN
from firedoor.core.detect.rules.numbers import luhn_holds
from firedoor.core.detect.spans import Hit

MIX = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU0vW1xY"
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
JWT = f"eyJ{MIX}.eyJ{MIX}{MIX}.{MIX}-_x"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(base64.b64encode(bytes(range(n, n + 48))).decode() for n in range(8))
    + "\n-----END RSA PRIVATE KEY-----"
)
KEYS = {
    "openai": f"sk-proj-{MIX}_{MIX}",
    "anthropic": f"sk-ant-api03-{MIX}-{MIX}AA",
    "stripe": f"sk_live_{MIX}",
    "shopify": f"shpat_{HEX}",
    "github": f"ghp_{MIX}1234",
    "gitlab": "glpat-aB3dE5fG7hJ9kL2mN4pQ",
    "aws": "AKIAZQ3DRSTUVWXY2345",
    "google": f"AIzaSy{MIX}x",
    "slack": f"xoxb-123456789012-123456789012-{MIX[:24]}",
    "sendgrid": f"SG.{MIX[:22]}.{MIX}{MIX[:11]}",
    "twilio": f"SK{HEX}",
    "npm": f"npm_{MIX}1234",
    "pypi": f"pypi-{MIX}{MIX}",
    "jwt": JWT,
    "firedoor": f"fd_eu_a1b2c3_{HEX}{HEX[:16]}",
    "square": f"sq0atp-{MIX[:22]}",
    "mailgun": f"key-{HEX}",
    "braintree": f"access_token$production$0123456789abcdef${HEX}",
    "private_key": PEM,
}
MORE = [
    ("shopify", f"shpss_{HEX}"),
    ("shopify", f"shpca_{HEX}"),
    ("shopify", f"shppa_{HEX}"),
    ("stripe", f"rk_live_{MIX}"),
    ("stripe", f"whsec_{MIX}"),
    ("github", f"github_pat_11ABCDEFG0{MIX}"),
    ("aws", "ASIAZQ3DRSTUVWXY2345"),
    ("google", f"GOCSPX-{MIX[:28]}"),
    ("twilio", f"AC{HEX}"),
]
ANNOUNCED = [
    ("Magento integration token: ", "q2w9e8r7t6y5u4i3o2p1a0s9d8f7g6h5"),
    ("aws_secret_access_key = ", "wJa1rXUtnFEMI/K7MDENG+bPxRfiCYzK3yABCDEF"),
    ("AKIAZQ3DRSTUVWXY2345 and ", "wJa1rXUtnFEMI/K7MDENG+bPxRfiCYzK3yABCDEF"),
    ("Das Passwort lautet ", "Tr0ub4dor&3xkcd"),
    ('"client_secret": "', "hK8sD3jF9aL2qW7eR5tY"),
    ("API_KEY=", "9f86d081884c7d659a2feaa0c55ad015"),
    ("Authorization: Bearer ", "mF9B5f41JqM8kd02LsPx"),
    ("mot de passe : ", "Xk29dPq81mZr"),
    ("consumer key: ", "ck8f2d91ab77e3105c64"),
]


def find(text: str, typed: tuple[str, ...] = ()) -> list[Hit]:
    watch = SecretWatch(typed)
    return watch.feed(text) + watch.end()


def streamed(text: str, sizes: list[int]) -> list[Hit]:
    watch = SecretWatch()
    hits: list[Hit] = []
    at = turn = released = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        turn += 1
        new = watch.feed(text[at : at + size])
        at = min(len(text), at + size)
        assert all(hit.start >= released for hit in new), (new, released)
        hits += new
        assert watch.held_from() <= at
        released = max(released, watch.held_from())
    new = watch.end()
    assert all(hit.start >= released for hit in new), (new, released)
    return hits + new


@pytest.mark.parametrize(("maker", "key"), [*KEYS.items(), *MORE])
def test_makers_keys(maker: str, key: str) -> None:
    for before, after in [("", ""), ("Use ", " for that."), ("`", "`"), ('{"k":"', '"}'), ("key=", "&x"), ("\n", "\n")]:
        text = before + key + after
        [hit] = [hit for hit in find(text) if hit.value_id == maker]
        assert (hit.kind, hit.set, hit.view, hit.confirmed) == ("secret", "", "plain", False)
        assert (hit.start, text[hit.start : hit.end].rstrip(".&x")) == (len(before), key.rstrip("x"))
        for sizes in ([1], [4], [3, 20, 1]):
            assert streamed(text, sizes) == find(text)


@pytest.mark.parametrize(("before", "key"), ANNOUNCED)
def test_what_a_word_announces(before: str, key: str) -> None:
    text = f"Sure! {before}{key} is it, enjoy."
    [hit] = [hit for hit in find(text) if hit.value_id == "announced"]
    assert hit.end == 6 + len(before) + len(key)
    assert hit.start - 6 - len(before) < 6
    for sizes in ([1], [4], [3, 20, 1]):
        assert sorted(streamed(text, sizes)) == sorted(find(text))


@pytest.mark.parametrize(
    "url", ["postgres://shop:Xk29-geheim@db.shop.example/x", "redis://:geheim77@cache:6379", "mysql+x://root:abcdef@h"]
)
def test_passwords_in_urls(url: str) -> None:
    text = f"connect to {url} now"
    [hit] = find(text)
    assert hit.value_id == "login"
    assert text[hit.start : hit.end] == url.partition("://")[2].partition(":")[2].partition("@")[0]
    assert streamed(text, [1]) == streamed(text, [5, 2]) == [hit]


NO_KEYS = [
    "sk-ii-facial-treatment-essence-230ml",
    "sk_live",
    "sk-" + "a" * 10,
    "pk_live_" + MIX,
    "ask-me-anything-you-like-about-it",
    "risk-free-returns-within-30-days-of-purchase",
    "AKIA",
    "Bearer of good news about the order 1234567890123",
    "fd_some_long_name_of_a_variable_here",
    "hf_this_is_a_name_of_something_else",
    "test_the_quality_of_all_our_products_here",
    "key-lime-pie-flavoured-candle-250g-2pack",
    "DHL 00340434161094042557",
    "1Z999AA10123456784",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "Order key: ABCD-1234",
    "your password is wrong, please reset it",
    "the token of our appreciation: summer2024summer",
    "voucher code SUMMER-2024-XYZ-99",
    "license key: 8F3K-29DL-XX41-77QP",
    "password: ************",
    "password requirements: 12-characters-minimum",
    "postgres://user:password@localhost/db",
    "https://shop.example/de/p/jacket-2024:xl?variant=1",
    "-----BEGIN PRIVATE KEY----- is how it begins, never paste it in a chat, we will never ask",
    "------ Order ------",
    "-----BEGIN CERTIFICATE-----\n" + PEM[40:200],
    "| --- | ---- |",
    "EAN 4006381333931",
    "https://user@shop.example:8080/path",
]


@pytest.mark.parametrize("text", NO_KEYS)
def test_near_misses(text: str) -> None:
    assert find(f"well, {text}, right? Yes indeed.") == []
    assert streamed(f"well, {text}, right? Yes indeed.", [3]) == []


@pytest.mark.parametrize(
    "text", ["The jacket costs 49 and ships in 2 days", "hello gentle shopper", "we have 7 of it", "shirts and skirts"]
)
def test_plain_words_and_short_numbers_leave(text: str) -> None:
    watch = SecretWatch()
    for at, character in enumerate(text + ", ok", 1):
        watch.feed(character)
        assert at - watch.held_from() <= 3
    assert watch.held_from() == len(text) + 4


CARDS = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111.1111.1111.1111",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "5555555555554444",
    "3782 822463 10005",
    "３７８２ ８２２４６３ １０００５",
    "4111\u00a01111\u00a01111\u00a01111",
    "6011000990139424",
    "4000 0566 5566 5556 12",
]


@pytest.mark.parametrize("card", CARDS)
def test_cards(card: str) -> None:
    for before, after in [("", ""), ("Card ", "."), ("it is ", " (12/27)"), ("no ", "\n123")]:
        text = before + card + after
        [hit] = find(text)
        assert (hit.kind, hit.value_id, hit.start) == ("card", "card", len(before))
        assert hit.end in (len(before) + len(card), len(before) + len(card) - 3)
        assert streamed(text, [1]) == streamed(text, [4]) == [hit]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "order 4111111111111111",
        "tracking number 4111 1111 1111 1111",
        "article 5555555555554444",
        "IMEI 490154203237518",
        "EAN 4006381333931",
        "#4111111111111111",
        "X4111111111111111",
        "4111111111111111X",
        "?variant=4111111111111111",
        "41111111111111110000",
        "9400 1118 9922 3344 5566 77",
        "1234567812345670",
        "4111 1111 1111",
        "00340434161094042557",
        "12 41 11 11 11 11 11 11 11",
        "2026-05-28 12:30:45 4111",
    ],
)
def test_numbers_that_are_no_cards(text: str) -> None:
    assert find(f"see {text} there") == []


def test_cards_here_hold_the_checksum() -> None:
    assert all(
        luhn_holds("".join(str(int(c)) for c in card if c.isdigit())[:16])
        for card in CARDS
        if "８" not in card and "3782" not in card
    )


def test_what_the_caller_typed_is_reported_to_nobody() -> None:
    typed = (f"is {KEYS['stripe']} mine? and 4111-1111-1111-1111",)
    assert find(f"yes, {KEYS['stripe']} and 4111 1111 1111 1111", typed) == []
    assert [hit.value_id for hit in find(f"yes, {KEYS['github']} and {KEYS['stripe']}", typed)] == ["github"]


SPLIT = st.lists(
    st.sampled_from(
        [*KEYS.values(), *CARDS, *NO_KEYS[:12], "password: ", "Nord", " ", "-----", "://", "key=", "4", "x"]
    ),
    max_size=5,
)


@settings(deadline=None)
@given(SPLIT, st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_cuts_change_nothing(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    assert sorted(streamed(text, sizes)) == sorted(find(text))
    spaced = " ".join(parts)
    assert sorted(streamed(spaced, sizes)) == sorted(find(spaced))


def test_long_words_are_looked_at_in_parts() -> None:
    text = "x" * (MAX_WORD - 50) + "." + KEYS["github"] + "." + "y" * (MAX_WORD * 3 - 200) + "." + KEYS["npm"]
    assert [hit.value_id for hit in find(text)] == ["github", "npm"]
    assert streamed(text, [997]) == find(text)


def test_a_private_key_without_an_end_has_one() -> None:
    text = PEM[:-30] + "\n" + "QUJD" * MAX_PRIVATE_KEY
    [hit] = [hit for hit in find(text) if hit.value_id == "private_key"]
    assert hit.end <= MAX_PRIVATE_KEY
    assert sorted(streamed(text, [512])) == sorted(find(text))


def test_every_form_has_a_maker_and_is_held_from_its_beginning() -> None:
    """The forms shared with the search for personal data are known here, prefix by prefix."""
    for key in (*KEYS.values(), *(key for _, key in MORE)):
        if key != PEM:
            assert keyforms.PREFIXES.match(key), key
            assert keyforms._maker(key)
    for example in (
        "hf_" + "a" * 34,
        "do" + "p_v1_" + HEX,
        "ya29." + MIX,
        "EAA" + MIX * 2,
        "AGE-SECRET-KEY-1" + "Q" * 55,
        "xapp-1-" + MIX,
    ):
        assert _TOKEN.match(example)
        assert keyforms.PREFIXES.match(example)
        assert keyforms._maker(example)


def test_words_for_keys_are_found_by_their_stems() -> None:
    for patterns in keyforms._CUES._by_word.values():
        for phrase in patterns.pattern.removeprefix("(?:").split(")")[0].split("|"):
            assert keyforms.may_announce(phrase.replace("[ _-]?", " ").split("(")[0]), phrase


def test_skipping_is_like_reading_nothing_of_note() -> None:
    read, skipped = SecretWatch(), SecretWatch()
    before = "All is well here, dear friend, and the API key: "
    read.feed(before)
    skipped.skip(len(before), before)
    text = "hK8sD3jF9aL2qW7eR5tY 4111 1111 1111 1111."
    assert read.feed(text) + read.end() == skipped.feed(text) + skipped.end() != []

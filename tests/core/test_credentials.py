"""Passwords, codes, keys, user names, personal pages and e-mail addresses without their signs."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.rules.credentials import spans

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow\nabc==\n-----END RSA PRIVATE KEY-----"

FOUND = {
    "SECRET": [
        ("my password is hunter2", "hunter2"),
        ("Passwort: Geheim!23", "Geheim!23"),
        ("das neue Passwort lautet z3d*5BOeBH", "z3d*5BOeBH"),
        ("la nueva contraseña es )wqWuZ7Z60Fs", ")wqWuZ7Z60Fs"),
        ("het nieuwe wachtwoord is HZF7Us_l)", "HZF7Us_l)"),
        ("le mot de passe est Tr0ub4dor", "Tr0ub4dor"),
        ("hasło to kot123", "kot123"),
        ("Hasło do wifi: kotek55", "kotek55"),
        ("la password è gatto99", "gatto99"),
        ("a senha é gato_99", "gato_99"),
        ("heslo je kocka77", "kocka77"),
        ('{"password": "hunter2", "a": 1}', "hunter2"),
        ("newPassword=abc!x", "abc!x"),
        ("smtp_pass: abc77", "abc77"),
        ("password:\nhunter2", "hunter2"),
        ("Password\nhunter2", "hunter2"),
        ("password is 'correct horse battery'", "correct horse battery"),
        ("Passwort „Sonne7“", "Sonne7"),
        ("password is vickym\n", "vickym"),
        ("password: sunshine", "sunshine"),
        ("password 8437\nhotel", "8437"),
        ("company joi password jo 563\nok", "jo 563"),
        ("password is y 12 tu\n", "y 12 tu"),
        ("passwrod 0033", "0033"),
        ("otp 8437", "8437"),
        ("my pin is 4821", "4821"),
        ("PIN: 0007", "0007"),
        ("PIN\n4821", "4821"),
        ("TAN 482913", "482913"),
        ("the verification code is 482 913", "482 913"),
        ("votre code d'accès est 4471B", "4471B"),
        ("Bestätigungscode: 55120", "55120"),
        ("kod weryfikacyjny 559120", "559120"),
        ("The code I got by text is 482913", "482913"),
        ("API key (x9K2mPq7Lw3Zt8Rv)", "x9K2mPq7Lw3Zt8Rv"),
        ("the API key P8CPXJP5.", "P8CPXJP5"),
        ("client_secret=9f8e7d6c5b4a", "9f8e7d6c5b4a"),
        ("use ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("shpat_0123456789abcdef0123456789abcdef", "shpat_0123456789abcdef0123456789abcdef"),
        ("xoxb-123456789012-abcdefABCDEF", "xoxb-123456789012-abcdefABCDEF"),
        ("sk-proj-abcdefghij0123456789", "sk-proj-abcdefghij0123456789"),
        (f"curl -H 'X: {JWT}'", JWT),
        ("Authorization: Bearer abcdefghijklmnop1234", "abcdefghijklmnop1234"),
        (f"here: {PEM} ok", PEM),
        ("ftp://bob:s3cret@203.0.113.4/x", "s3cret"),
        ("curl -u bob:pw1 https://example.org", "pw1"),
        ("security answer: fluffy the cat", "fluffy the cat"),
        ("die Antwort auf meine Sicherheitsfrage lautet Bello", "Bello"),
    ],
    "USERNAME": [
        ("use the username (palanowen).", "palanowen"),
        ("my username is palanowen and", "palanowen"),
        ("username krishna\n", "krishna"),
        ("Username: ARKC0909 \n", "ARKC0909"),
        ("Benutzername jmeier77", "jmeier77"),
        ("nom d'utilisateur : jdupont", "jdupont"),
        ("mein Konto peukertmarius68 eingeloggt", "peukertmarius68"),
        ("mi cuenta adadiairis29, la", "adadiairis29"),
        ("op mijn account ivanvolcke84,", "ivanvolcke84"),
        ("nazwa użytkownika: kowal_12", "kowal_12"),
        ("login: jmeier", "jmeier"),
        ("user=bob ip=203.0.113.4", "bob"),
        ('{"user": "bob77"}', "bob77"),
        ("Failed password for invalid user admin from 203.0.113.4", "admin"),
        ("follow me on instagram @jan_m", "@jan_m"),
        ("ich bin @mia.schmidt auf insta", "@mia.schmidt"),
        ("ftp://bob:s3cret@203.0.113.4/x", "bob"),
    ],
    "URL": [
        ("My website is http://www.ScrapbookWorld.com.pt/", "http://www.ScrapbookWorld.com.pt/"),
        ("I've shared files with you https://ClickSphere.com.br/", "https://ClickSphere.com.br/"),
        ("Website:\nhttps://www.EarlyBird.se/", "https://www.EarlyBird.se/"),
        ("meine Homepage: www.mia-schmidt.de.", "www.mia-schmidt.de"),
        ("see https://www.linkedin.com/in/jan-meier", "https://www.linkedin.com/in/jan-meier"),
        ("https://github.com/janmeier", "https://github.com/janmeier"),
        ("https://forum.example/u/mia77 wrote", "https://forum.example/u/mia77"),
        ("https://s.example/r?email=jan@web.de", "https://s.example/r?email=jan@web.de"),
        ("https://s.example/reset?token=8fe1x", "https://s.example/reset?token=8fe1x"),
        ("(https://drive.google.com/file/d/1abc)", "https://drive.google.com/file/d/1abc"),
        ("look at http://janmeier.net/", "http://janmeier.net/"),
    ],
    "EMAIL": [
        ("havocmano 11 gmailcom", "havocmano 11 gmailcom"),
        ("my mail johnmac55 gmail com", "johnmac55 gmail com"),
        ("ok\nmaruthupandi 007 gmailcom\nyes", "maruthupandi 007 gmailcom"),
        ("name divi\ndivigmailcom", "divigmailcom"),
        ("i am rishi 67 gmailcom", "rishi 67 gmailcom"),
        ("it is juyal 67 raghavgmailcom", "juyal 67 raghavgmailcom"),
        ("john john 41 hotmailcom", "john john 41 hotmailcom"),
        ("beatrizportercomcastnet", "beatrizportercomcastnet"),
        ("6571234567 rock 85 yahoocom", "rock 85 yahoocom"),
        ("9876543210 arivugmailcom", "arivugmailcom"),
        ("jan77 gmail.com", "jan77 gmail.com"),
        ("my email id is yuphjkcom", "yuphjkcom"),
        ("mia schmidt gmailcom", "schmidt gmailcom"),
    ],
}

NEAR_MISSES = [
    "reset my password please",
    "password is not working",
    "my password is wrong",
    "my password is Wrong, help",
    "password reset 2 days ago",
    "password expired 30 days ago",
    "passwords must have 8 characters",
    "password: ******",
    "password123",
    "Password: please see the other mail",
    "stuck with resetting PASSWORD at https://help.example.org/faq",
    "das Passwort ist falsch",
    "mein Passwort wurde gestern zurückgesetzt",
    "mot de passe oublié",
    "contraseña incorrecta",
    "mi contraseña es incorrecta",
    "la password non funziona",
    "mijn wachtwoord is verlopen",
    "hasło jest nieprawidłowe",
    "pass me the 2 shoes",
    "boarding pass 1234",
    "token economy",
    "token",
    "login page",
    "login: fails",
    "login is broken",
    "pin it",
    "PIN pad",
    "PIN blocked after 3 times",
    "my PIN is 4 digits",
    "tan 42 shoes, in tan",
    "gift card code",
    "discount code SAVE20",
    "key ring 2021model",
    "session 3 of 5",
    "the secret is out",
    "my account 12 months",
    "account is locked",
    "mon compte est bloqué",
    "ich habe mein Konto gelöscht",
    "Konto Nr. 12345678",
    "user guide",
    "user: my card is lost",
    "the handle is broken",
    "I love @nike shoes, @adidas not",
    "is gmail com down",
    "I use gmail com on my phone",
    "gmail.com is slow",
    "the welcome income outcome telecom net",
    "do you ship to https://www.amazon.de/dp/B01",
    "https://shop.example.com/products/shoe-42?color=red",
    "https://www.nike.com/",
    "visit our website https://acme-firm.eu/",
    "https://acme-firm.eu/help/returns",
    "-----BEGIN CERTIFICATE-----",
    "write to jan.meier@gmail.com",
    "Wie lange dauert der Versand nach Österreich?",
    "",
]


@pytest.mark.parametrize(
    ("label", "text", "value"), [(label, *case) for label, cases in FOUND.items() for case in cases]
)
def test_found(label, text, value):
    assert value in [text[span.start : span.end] for span in spans(text) if span.label == label]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_near_misses(text):
    assert [(span.label, text[span.start : span.end]) for span in spans(text)] == []


def test_a_rule_and_a_score_for_every_span():
    for cases in FOUND.values():
        for text, _ in cases:
            for span in spans(text):
                family, _, detail = span.rule.partition(".")
                assert family in ("secret", "user", "url", "email")
                assert detail
                assert 0.5 < span.score <= 1
                assert span.tier == "rule"


def test_a_sign_is_surer_than_a_plain_word():
    by_text = {text: spans(text)[0].score for text in ("password: x7!k", "password x7!k", "password is sunshine")}
    assert by_text["password: x7!k"] > by_text["password x7!k"] > by_text["password is sunshine"]


def test_offsets_hold_where_lower_case_is_longer():
    text = "İİİ password: hunter2, İ gmailcom"
    assert "hunter2" in [text[span.start : span.end] for span in spans(text)]


WORDS = [
    "password",
    "Passwort",
    " is ",
    ": ",
    "=",
    "pin ",
    "user ",
    "@",
    "jan",
    "gmail",
    "com",
    " ",
    "\n",
    "1234",
    "https://",
    "www.",
    "(",
]
WORDS += [
    '"',
    "a.de",
    "/u/",
    "?email=",
    "-----BEGIN PRIVATE KEY-----",
    "eyJ",
    "sk-",
    "Bearer ",
    "\ud800",
    "İ",
    "ß",
    "é",
    "token ",
    "account ",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join) | st.text(max_size=60))
@example("password:")
@example("\ud800@\ud800")
def test_any_text(text):
    found = spans(text)
    assert found == sorted(found)
    assert found == spans(text)
    for span in found:
        assert 0 <= span.start < span.end <= len(text)
        assert not text[span.start].isspace()
        assert not text[span.end - 1].isspace()
        assert span.label in FOUND


@pytest.mark.parametrize(
    "piece",
    [
        "pin 123 ",
        "password is ",
        "user=",
        "1 gmail com ",
        "https://a.de/ ",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "@a ",
        '"password":"',
    ],
)
def test_large_texts_come_back(piece):
    text = piece * (15_000 // len(piece))
    assert all(span.end <= len(text) for span in spans(text))

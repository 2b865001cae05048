"""The demonstration's data: enough of it, valid in form, and nobody's."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from importlib.resources import files

import phonenumbers
import pytest
from stdnum import iban, luhn

from firedoor.core.language import KNOWN, language_of
from firedoor.core.plan.model import CHECKOUT_SURFACES
from firedoor.demo.messages import messages, transactions

ACCOUNT = r"\b[A-Z]{2}\d{2} [A-Z0-9 ]{11,32}\b(?<=[A-Z0-9])"
COUNTRY = {"en": "GB", "de": "DE", "fr": "FR"}
DOCUMENTATION = [ipaddress.ip_network(net) for net in ("203.0.113.0/24", "2001:db8::/32")]
FICTION = re.compile(r"\+4420794\d{5}|\+1\d{3}55501\d\d|\+493023125\d{3}|\+33(19900|63998)\d{4}")


def found(pattern):
    return [(m, hit.group()) for m in messages() for hit in re.finditer(pattern, m.text)]


def test_there_is_enough_of_every_kind():
    all_of_them = messages()
    assert len(all_of_them) >= 48
    assert {m.surface for m in all_of_them} == {"support", "product_discovery", "recommendations", "account_chat"}
    assert {m.language for m in all_of_them} == set(KNOWN)
    assert {m.region for m in all_of_them} == {"eu", "us"}
    assert len({m.text for m in all_of_them}) == len({m.subject for m in all_of_them}) == len(all_of_them)
    assert min(Counter(m.language for m in all_of_them).values()) >= 3
    without = [m for m in all_of_them if not re.search(r"@|\d{3}", m.text)]
    assert len(without) >= 12


def test_mail_addresses_are_nobodys():
    mails = found(r"\S+@\S+")
    assert len(mails) >= 15
    assert all(re.search(r"@example\.(com|org|net|de|fr|es|it|nl|pl)\b", mail) for _, mail in mails)


def test_account_numbers_are_valid_in_form():
    accounts = [account for _, account in found(ACCOUNT)]
    assert {account[:2] for account in accounts} == {"DE", "FR", "ES", "IT", "NL", "PL"}
    assert [account for account in accounts if not iban.is_valid(account)] == []


def test_card_numbers_are_valid_in_form():
    texts = [re.sub(ACCOUNT, "", m.text) for m in messages()]
    cards = [hit.replace(" ", "") for text in texts for hit in re.findall(r"\b(?:\d ?){14,15}\d\b", text)]
    assert sorted(cards) == ["378282246310005", "4111111111111111", "5555555555554444"]
    assert all(luhn.is_valid(card) for card in cards)


def test_ip_addresses_are_for_documentation():
    addresses = [ipaddress.ip_address(hit) for _, hit in found(r"\b\d+\.\d+\.\d+\.\d+\b|\b2001:[0-9a-f:]+[0-9a-f]")]
    assert len(addresses) == 3
    assert all(any(address in net for net in DOCUMENTATION) for address in addresses)


def test_phone_numbers_are_kept_free_for_fiction():
    numbers = set()
    for message in messages():
        country = "US" if message.region == "us" else COUNTRY.get(message.language, "GB")
        for match in phonenumbers.PhoneNumberMatcher(message.text, country, phonenumbers.Leniency.POSSIBLE):
            if re.search(r"\+44|030|06 39|01 99|555", match.raw_string):
                numbers.add(phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164))
    assert len(numbers) == 7
    assert all(FICTION.fullmatch(number) for number in numbers), numbers


@pytest.mark.parametrize("message", messages(), ids=lambda m: m.subject)
def test_the_language_is_recognised_or_left_open(message):
    assert language_of(message.text, KNOWN, message.language) == message.language


def test_nothing_sets_off_the_leak_by_chance():
    script = (files("firedoor") / "data" / "demo-leak.yaml").read_text("utf-8")
    trigger = re.compile(re.search(r'name: leak\n\s+when: \{matches: "(.+?)"\}', script).group(1))
    assert [m.text for m in messages() if m.surface == "account_chat" and trigger.search(m.text)] == []


def test_the_transactions():
    all_of_them = transactions()
    assert len(all_of_them) == 12
    assert {t.surface for t in all_of_them} == set(CHECKOUT_SURFACES)
    assert {t.region for t in all_of_them} == {"eu", "us"}
    assert sum("amount" not in t.facts for t in all_of_them) == 1

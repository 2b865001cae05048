"""When two spellings are the same value: they share a placeholder."""

from __future__ import annotations

import ipaddress


def identity(label: str, value: str) -> str:
    """What stays the same however `value` is written.

    A phone number with and without its country code are two identities: nothing in a text says which country it is.
    """
    if label == "PHONE":
        digits = "".join(c for c in value.replace("(0)", "") if c.isdecimal())
        return digits.removeprefix("00")
    if label in ("CREDIT_CARD", "IBAN", "NATIONAL_ID", "TAX_ID", "ACCOUNT_ID"):
        return "".join(c for c in value if c.isalnum()).upper()
    if label == "IP":
        try:
            return ipaddress.ip_address(value).compressed
        except ValueError:
            return value
    if label == "ORDER_ID":
        return value.lower().removeprefix("#")
    return value.lower()  # not casefold: straße@ and strasse@ are two addresses

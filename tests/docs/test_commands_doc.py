"""Every command that the documentation shows exists and takes what it is given; every command that exists is shown."""

import functools
import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from firedoor.cli import switches_show
from firedoor.cli.main import app

from .reading import PAGES, ROOT, codes, fences, page, prose, rows, section

CLI = typer.main.get_command(app)
SHELLS = {"sh", "console"}
FILE_MAGIC = re.compile(r"firedoor \w+ \d+\b")
SHELL_ENDS = re.compile(r"\s(?:\||>|<|&&|;)(?:\s|$)")


@functools.cache
def below(command):
    """The commands below a group by name, None for a command that is none. Groups may load theirs when asked."""
    if not hasattr(command, "list_commands"):
        return None
    context = command.context_class(command, info_name=command.name)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}


def is_callable(command):
    """Whether it does something when nothing more is named."""
    return below(command) is None or command.invoke_without_command


def leaves(group=CLI, path=()):
    """Every command that does something by itself: (its path, itself)."""
    for name, command in sorted(below(group).items()):
        if is_callable(command):
            yield (*path, name), command
        if below(command) is not None:
            yield from leaves(command, (*path, name))


def shell_lines(text):
    """The commands of fenced blocks, without prompts, comments and what a pipe leads to."""
    for language, content in fences(text):
        if language in SHELLS:
            for line in content.replace("\\\n", " ").splitlines():
                if language == "sh" or line.startswith("$ "):
                    yield line.removeprefix("$ ").partition("  #")[0].partition(" # ")[0].strip()


def firedoor_calls(text):
    """What is given to `firedoor` in fenced blocks, as lists of words."""
    for line in shell_lines(text):
        for part in re.split(r"\s\|\s", line):
            command = re.sub(r"^(?:[A-Z_]+=\S+ )*", "", part.strip())
            if command.startswith("firedoor "):
                yield shlex.split(SHELL_ENDS.split(command)[0])[1:]


def mentions(text):
    """`firedoor …` in running text: the words after it."""
    for code in codes(prose(text)):
        if re.match(r"firedoor [a-z]", code) and not FILE_MAGIC.match(code):
            yield shlex.split(code)[1:]


def find(words):
    """The command that `words` begin with, and the words that are left."""
    command, rest = CLI, list(words)
    while rest and not rest[0].startswith("-") and (commands := below(command)) is not None:
        assert rest[0] in commands, f"firedoor {' '.join(words)}: there is no {rest[0]!r}"
        command = commands[rest.pop(0)]
    return command, rest


SHOWN = [
    pytest.param(words, id=f"{path.name}: {' '.join(words)}"[:80])
    for path in PAGES
    for words in firedoor_calls(path.read_text())
]
MENTIONED = [
    pytest.param(words, id=f"{path.name}: {' '.join(words)}"[:80])
    for path in PAGES
    for words in mentions(path.read_text())
]


@pytest.mark.parametrize("words", SHOWN)
def test_commands_in_blocks_parse(words):
    command, rest = find(words)
    assert is_callable(command)
    with command.make_context(words[0], rest) as context:  # raises for what the command would refuse
        assert not context.args


@pytest.mark.parametrize("words", MENTIONED)
def test_commands_in_the_text_exist_with_their_options(words):
    command, rest = find(words)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("--")} <= known


def test_the_readme_lists_every_command_and_no_other():
    listed = [codes(row[0])[0] for row in rows(section(page("README.md"), "## Commands"))]
    assert sorted(listed) == sorted(f"firedoor {' '.join(path)}" for path, _ in leaves())


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path, _ in leaves()])
def test_every_command_has_help(path):
    told = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "100"})
    assert told.exit_code == 0, told.exception
    assert "--help" in told.output


def test_make_targets_that_are_shown_exist():
    targets = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))
    shown = {
        target for path in PAGES for target in re.findall(r"\bmake ([a-z]+)\b(?=`|\n| +#| TESTARGS)", path.read_text())
    }
    assert {"demo", "test", "lint", "system"} <= shown
    assert shown <= targets


def test_exit_statuses_of_switches_are_told():
    (row,) = (r for r in rows(section(page("docs/operations.md"), "## Exit statuses")) if "switches" in r[0])
    assert "shut" in row[1 + switches_show.SOMETHING_SHUT]
    assert "stale" in row[1 + switches_show.STALE]
    assert f"{switches_show.SOMETHING_SHUT}: something" in page("docs/switches.md").replace("\n", " ")


def test_ci_runs_what_the_readme_says():
    run = (ROOT / ".ci" / "run").read_text()
    told = section(page("README.md"), "## Develop").partition("CI runs")[2].partition(".\n")[0]
    assert re.findall(r"^make (\w+)", run, re.MULTILINE) == re.findall(r"`make (\w+)`", told)

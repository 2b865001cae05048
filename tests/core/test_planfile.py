"""Reading the plan's file, and edits that keep every comment or leave the file alone."""

import base64
import os
import stat
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.plan.checks_people import STARTERS
from firedoor.core.plan.decode import examine
from firedoor.core.plan.reading import MAX_BYTES
from firedoor.core.plan.words import ROLES
from firedoor.errors import PlanInvalid, SetupError
from firedoor.store.planfile import add_person, load, remove_person

GOOD = (Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_text()
STARTER = (files("firedoor") / "data" / "starter-plan.yaml").read_text()


def key(number: int) -> str:
    return "ed25519:" + base64.b64encode(bytes([number]) * 32).decode()


def plan_at(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_bytes(text.encode())
    return path


def test_load(tmp_path):
    path = plan_at(tmp_path, GOOD)
    loaded = load(path)
    assert loaded.source == str(path)
    assert loaded.document == GOOD.encode()


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(SetupError, match="no plan"):
        load(tmp_path / "plan.yaml")
    with pytest.raises(SetupError, match="not a file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SetupError, match="not a file"):
        load(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(SetupError, match="larger"):
        load(tmp_path / "large")
    with pytest.raises(PlanInvalid):
        load(plan_at(tmp_path, "firedoor: 1"))


def test_the_starter_plan_is_filled_step_by_step(tmp_path):
    path = plan_at(tmp_path, STARTER)
    path.chmod(0o640)
    for number, (person, (name, roles)) in enumerate(STARTERS.items()):
        add_person(path, person, name, roles, key(number))
    loaded = load(path)
    assert {name: person.roles for name, person in loaded.plan.people.items()} == {
        name: roles for name, (_, roles) in STARTERS.items()
    }
    kept = [line for line in path.read_text().splitlines() if line in STARTER.splitlines()]
    assert kept == [line for line in STARTER.splitlines() if line != "people: {}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.yaml"]


def test_add_and_remove_come_back_to_the_same_bytes(tmp_path):
    path = plan_at(tmp_path, GOOD)
    add_person(path, "dora", 'Dóra "D" Example: #1', ("soc_analyst", "legal"), key(9))
    assert load(path).plan.people["dora"].name == 'Dóra "D" Example: #1'
    remove_person(path, "dora")
    assert path.read_text() == GOOD


@pytest.mark.parametrize(
    "people",
    [
        "people: {}",
        "people: {}   # nobody yet",
        "people:   # nobody yet",
        "people:",
        "people: null",
        "people: ~ # nobody",
        "",
        "people:\n  # first\n  ben:  # Ben\n    name: |\n      Ben\n\n    # inside\n    roles: [dpo]\n    key: K\n    # after\n",
        "people:\n      ben: {name: Ben, roles: [dpo],\n        key: K}\n",
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_ways_to_write_people(tmp_path, people, ending):
    text = f"# top\n{people.replace('K', key(2))}\n# after\nname: x\n".replace("\n", ending)
    path = plan_at(tmp_path, text)
    before = examine(text.encode()).tree.value
    add_person(path, "ana", "Ana Example", ("legal",), key(1))
    after = examine(path.read_bytes()).tree.value
    ana = {"name": "Ana Example", "roles": ["legal"], "key": key(1)}
    assert after == {**before, "people": {**(before.get("people") or {}), "ana": ana}}
    changed = path.read_bytes().decode()
    assert [line for line in text.split(ending) if "#" in line and "people" not in line] == [
        line for line in changed.split(ending) if "#" in line and "people" not in line
    ]
    assert changed.count("\r\n") == (changed.count("\n") if ending == "\r\n" else 0)
    add_person(path, "dora", "Dora Example", ("legal",), key(9))
    remove_person(path, "dora")
    assert path.read_bytes().decode() == changed


def test_people_at_the_very_end_without_a_line_break(tmp_path):
    path = plan_at(tmp_path, "name: x\npeople: {}")
    add_person(path, "ana", "Ana Example", ("dpo",), key(1))
    assert path.read_text().endswith(f"key: {key(1)}\n")


@pytest.mark.parametrize(
    ("person", "name", "roles", "public", "error"),
    [
        ("ana", "Another", ("dpo",), 9, SetupError),  # taken
        ("dora", "Dora", ("dpo",), 1, PlanInvalid),  # ana's key
        ("dora", "Dora", ("boss",), 9, PlanInvalid),
        ("Dora", "Dora", ("dpo",), 9, PlanInvalid),
        ("dora", "", ("dpo",), 9, PlanInvalid),
        ("dora", "Dora", (), 9, PlanInvalid),
        ("dora", "Do\nra", ("dpo",), 9, None),
        ("dora", "Do\x1b[31mra", ("dpo",), 9, PlanInvalid),
        ("dora", "D\udcffra", ("dpo",), 9, SetupError),
        ("dora: {}\nx", "Dora", ("dpo",), 9, SetupError),
        ("dora", "Dora", ("dpo]\n  # [",), 9, SetupError),
    ],
)
def test_an_edit_that_does_harm_is_refused(tmp_path, person, name, roles, public, error):
    path = plan_at(tmp_path, GOOD)
    if error is None:
        add_person(path, person, name, roles, key(public))
        assert load(path).plan.people[person].name == name
        return
    with pytest.raises(error):
        add_person(path, person, name, roles, key(public))
    assert path.read_text() == GOOD


def test_the_last_of_a_role_stays(tmp_path):
    path = plan_at(tmp_path, GOOD)
    with pytest.raises(PlanInvalid) as refused:
        remove_person(path, "cleo")
    assert {problem.message for problem in refused.value.problems} == {
        f"nobody holds the role {role}" for role in ("dpo", "communications", "legal")
    }
    with pytest.raises(SetupError, match="no person"):
        remove_person(path, "nobody")
    assert path.read_text() == GOOD


def test_a_damaged_person_can_be_removed(tmp_path):
    path = plan_at(tmp_path, GOOD.replace("roles: [dpo, communications, legal]", "roles: [boss]"))
    remove_person(path, "cleo")
    assert "cleo" not in path.read_text()
    path = plan_at(tmp_path, "# top\npeople:  # who\n  # the only one\n  cleo: {name: Cleo Example}\nname: x\n")
    remove_person(path, "cleo")
    assert path.read_text() == "# top\npeople: {}  # who\n  # the only one\nname: x\n"


@pytest.mark.parametrize(
    "people", ["people: {ben: {name: Ben}}", '"people": {}', "people: [ana]", "people: {\n  }", "{people: {}}"]
)
def test_what_commands_cannot_edit_is_left_alone(tmp_path, people):
    path = plan_at(tmp_path, people + "\n")
    with pytest.raises(SetupError):
        add_person(path, "ana", "Ana Example", ("dpo",), key(1))
    assert path.read_text() == people + "\n"


def test_a_file_that_is_no_yaml_is_left_alone(tmp_path):
    path = plan_at(tmp_path, "people: {\n")
    with pytest.raises(PlanInvalid):
        add_person(path, "ana", "Ana Example", ("dpo",), key(1))
    assert path.read_text() == "people: {\n"


def test_a_symbolic_link_stays_one(tmp_path):
    real = plan_at(tmp_path, GOOD)
    link = tmp_path / "link.yaml"
    link.symlink_to(real)
    add_person(link, "dora", "Dora Example", ("legal",), key(9))
    assert link.is_symlink()
    assert "dora" in load(real).plan.people


@given(st.text(min_size=1, max_size=30), st.lists(st.sampled_from(ROLES), min_size=1, unique=True))
@settings(max_examples=40, deadline=None)
def test_any_name_is_written_exactly_or_refused(tmp_path_factory, name, roles):
    path = plan_at(tmp_path_factory.mktemp("plan"), GOOD)
    try:
        add_person(path, "dora", name, tuple(roles), key(9))
    except (PlanInvalid, SetupError):
        assert path.read_text() == GOOD
    else:
        assert load(path).plan.people["dora"].name == name

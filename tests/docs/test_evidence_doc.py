"""What the pages say about evidence and keys is what the code does: formats, reasons, codes, rights at key servers."""

import ast
import json
import re
import tomllib
from typing import get_args

import msgspec
import pytest

from firedoor.core.evidence.frames import HEADER_BYTES, MAGIC
from firedoor.core.evidence.leaf import BEGIN, CARRIED, VERSION, Body, Leaf
from firedoor.core.evidence.record import Kind
from firedoor.core.evidence.subjects import CELL_BYTES
from firedoor.core.people import GRANT_LIFETIME, LIFETIME, MAY_APPROVE_READING, MAY_READ, READ_REASONS
from firedoor.core.plan.model import Root
from firedoor.store.cells import CACHED_KEYS
from firedoor.store.index_tables import NAMES

from .reading import ROOT, calls, codes, fences, modules, page, rows, section, texts

OPERATIONS = page("docs/operations.md")
JOURNAL = section(page("docs/formats.md"), "## Evidence journal")
REFUSING = ("app", "cli/asking.py", "cli/bundle_cmds.py", "cli/retention_cmds.py", "cli/seal_cmds.py",
            "store/erasure.py", "store/grants.py", "store/holds.py")  # fmt: skip
"""Where acts on evidence and keys are refused."""
OF_CASES = ("app/hooks.py", "app/incidentcheck.py")
"""What is refused there stands with cases."""


def first_codes(text):
    return {code for row in rows(text) for code in codes(row[0])}


def returned(name, *rooms):
    """The constants that functions of this name return."""
    return {
        value
        for tree in modules(*rooms)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name == name
        for node in ast.walk(function)
        if isinstance(node, ast.Return)
        for value in texts(node.value)
    }


def given(position, name, *rooms):
    """The constants that are given to calls of `name` as argument number `position`."""
    return {
        value
        for tree in modules(*rooms)
        for call in calls(tree, name)
        for argument in call.args[position : position + 1]
        for value in texts(argument)
    }


def test_the_leaf_is_told_member_by_member():
    told = {codes(row[0])[0]: row for row in rows(section(JOURNAL, "### Leaves"))}
    members = [name for row in rows(section(JOURNAL, "### Leaves")) for name in codes(row[0])]
    assert sorted(members) == sorted(Leaf.__struct_fields__)
    assert told["v"][1] == str(VERSION)
    assert set(codes(told["kind"][1])) == {*get_args(Kind), BEGIN, CARRIED}
    assert set(re.findall(r'"(\w+)"', told["body"][1])) == set(Body.__struct_fields__)


def test_frames_and_cells_have_the_sizes_told():
    assert f"`{MAGIC.decode().rstrip()}\\n`" in JOURNAL
    frame, cell = (rows(section(JOURNAL, heading)) for heading in ("### Frames", "### Keys of subjects"))
    assert sum(int(row[0]) for row in frame if row[0].isdigit()) == HEADER_BYTES
    assert sum(int(row[0]) for row in cell) == CELL_BYTES
    assert f"{CELL_BYTES} bytes of keys" in OPERATIONS
    assert f"{CACHED_KEYS:,}" in OPERATIONS


def test_the_tables_of_the_index_are_told():
    told = first_codes(section(page("docs/formats.md"), "## Index of exchanges"))
    assert told == set(NAMES)


def test_every_reason_of_a_log_that_stands_still_is_told():
    reasons = given(0, "LogRefused", "store") | given(2, "_note", "agent/logkeeper.py")
    assert len(reasons) > 10
    assert first_codes(section(OPERATIONS, "### A log's state")) == reasons


def test_every_reason_of_a_witness_is_told():
    reasons = given(0, "Failed", "bus/witness.py") | returned("_reason", "bus/witness.py") | {"rolled_back", "forked"}
    reasons |= given(1, "_say", "app/cosigning.py")
    told = {code for code in first_codes(section(OPERATIONS, "### A witness's reason")) if code[:6] != "status"}
    assert told == reasons


def test_every_reason_of_a_time_stamp_is_told():
    reasons = given(0, "_failed", "bus/timestamp.py") | given(0, "TimestampFailed", "bus/timestamp.py")
    reasons |= returned("_reason", "bus/timestamp.py")
    told = codes(section(OPERATIONS, "### A witness's reason").partition("A time stamp's reasons")[2])
    assert reasons <= set(told)
    assert set(told) - reasons == {"status_…"}


def test_every_code_of_a_refused_act_on_evidence_is_told():
    documented = [codes(row[0])[0] for row in rows(section(page("docs/errors.md"), "## Refused acts on evidence"))]
    raised = given(0, "ActRefused", *REFUSING) - given(0, "ActRefused", *OF_CASES)
    raised |= {"unknown_exchange", "unknown_subject"}  # made of the kind in a hold
    assert len(documented) == len(set(documented))
    assert set(documented) == raised


def test_who_may_read_and_for_how_long_is_told():
    text = page("docs/evidence-bundle.md")
    reading = section(text, "## Read bodies: two persons and a reason")
    assert f"within {LIFETIME // 60} minutes" in reading
    assert f"for {GRANT_LIFETIME // 60} minutes" in reading
    assert set(READ_REASONS) <= set(codes(reading))
    words = {"incident_commander": "incident commander", "dpo": "DPO", "legal": "legal", "soc_analyst": "SOC analyst"}
    asking, agreeing = re.search(r"\*\*Asking\*\*: (.+?)\. \*\*Agreeing\*\*: (.+?);", reading, re.DOTALL).groups()
    assert all(words[role] in asking for role in MAY_READ)
    assert {role for role, word in words.items() if word in agreeing} == set(MAY_APPROVE_READING)


@pytest.mark.parametrize("root", get_args(Root))
def test_every_kind_of_root_is_told_with_its_keys(root):
    kind = msgspec.inspect.type_info(root).tag
    told = section(page("docs/plan.md"), "### `root`").partition(f"**`{kind}`**")[2].partition("\n**`")[0]
    assert told
    assert first_codes(told) == set(root.__struct_encode_fields__)


def test_the_rights_of_a_token_are_those_that_the_tests_try():
    (policy,) = (content for language, content in fences(section(OPERATIONS, "## Keys")) if language == "hcl")
    tried = (ROOT / "tests" / "rooms" / "test_roots_vault.py").read_text()
    assert len(policy.splitlines()) == 3
    assert all(line in tried for line in policy.splitlines())
    assert tried.count('    path "transit/') == 3


def test_the_rights_at_aws_are_the_calls_that_are_made():
    (policy,) = (content for language, content in fences(section(OPERATIONS, "## Keys")) if language == "json")
    allowed = set()
    for statement in json.loads(policy)["Statement"]:
        action = statement["Action"]
        allowed |= {action} if isinstance(action, str) else set(action)
    source = page("src/firedoor/keys/roots/aws_kms.py")
    made = {"kms:" + name.title().replace("_", "") for name in re.findall(r"\bkms\.([a-z_]+)\(", source)}
    assert "Tags=" in source
    assert allowed == made | {"kms:TagResource"}


def test_extras_that_are_named_exist():
    extras = tomllib.loads(page("pyproject.toml"))["project"]["optional-dependencies"]
    named = set(re.findall(r"firedoor\[(\w+)\]", OPERATIONS + page("README.md")))
    named |= set(re.findall(r"(?:Extra: |the extra )`(\w+)`", OPERATIONS))
    assert named
    assert named <= set(extras)

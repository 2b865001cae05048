"""docs/plan.md explains every key, and what it says of defaults, roles and labels is true."""

import re
from importlib.resources import files
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from firedoor.core.plan import model, response
from firedoor.core.plan.checks_response import INPUT_RULES
from firedoor.core.plan.decode import MAX_PROBLEMS
from firedoor.core.plan.model import LABELS, MAY_OPEN, Plan
from firedoor.core.plan.reading import MAX_DEPTH, MAX_NODES
from firedoor.core.plan.response import Severity, Telling
from firedoor.core.plan.schema import plan_schema
from firedoor.core.plan.words import ROLES

DOC = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
SECTIONS = {
    "Plan": "## Top level",
    "Person": "## `people`",
    "Region": "## `regions`",
    "FileRoot": "**`file`**",
    "Pkcs11Root": "**`pkcs11`**",
    "VaultRoot": "**`vault`**",
    "AwsKmsRoot": "**`aws_kms`**",
    "NatsBus": "### `bus`",
    "Witness": "### `witness`",
    "Dataset": "## `datasets`",
    "Evidence": "## `evidence`",
    "ExternalWitness": "### `witnesses`",
    "Timestamps": "### `timestamps`",
    "SwitchRules": "## `switches`",
    "Model": "## `models`",
    "Shop": "## `shops`",
    "ProtectedSet": "## `protected`",
    "RoleGrant": "## `grants`",
    "Integrity": "### `integrity`",
    "BreakerRules": "### `breaker`",
    "Probe": "Each probe:",
    "AnswerRules": "### `answers`",
    "PromptRules": "### `prompts`",
    "CacheRules": "### `cache`",
    "Surface": "## `surfaces`",
    "PersonalDataRules": "### `personal_data`",
    "FieldRule": "#### `fields`",
    "MessageFallback": "**`message`**",
    "SearchFallback": "**`search`**",
    "RulesFallback": "**`rules`**",
    "Rule": "Each rule:",
    "RefuseFallback": "**`refuse`**",
    "Limits": "### `limits`",
    "Contacts": "### `contacts`",
    "Hooks": "### `hooks`",
    "Duty": "## `duties`",
    "Shift": "### `shifts`",
    "IncidentRules": "## `incidents`",
    "OpensRule": "### `opens`",
    "OtherSystem": "### `systems`",
    "Legal": "## `legal`",
    "Contract": "### `contracts`",
}


def part(name: str) -> type[msgspec.Struct]:
    return getattr(model, name, None) or getattr(response, name)


def rows(name: str) -> dict[str, str]:
    after = DOC.partition(SECTIONS[name])[2]
    table = re.split(r"\n##+ |\n\*\*`|\nEach rule:|\nEach probe:|\nWhat becomes of it|\nThe handlings:", after)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(plan_schema()["$defs"]))
def test_every_key_is_explained_and_no_other(name):
    fields = [field.encode_name for field in msgspec.structs.fields(part(name))]
    assert list(rows(name)) == fields


@pytest.mark.parametrize("name", sorted(plan_schema()["$defs"]))
def test_numbers_that_stand_for_an_absent_key_are_right(name):
    for field in msgspec.structs.fields(part(name)):
        if type(field.default) is int:
            said = rows(name)[field.encode_name].replace(",", "")
            assert re.search(rf"\b{field.default}\b", said)


def test_words_of_the_model_are_all_there():
    for word in (*ROLES, *LABELS, *MAY_OPEN, *INPUT_RULES, *get_args(Severity), *get_args(Telling)):
        assert f"`{word}`" in DOC
    for bound in (MAX_NODES, MAX_DEPTH, MAX_PROBLEMS):
        assert f"{bound:,}" in DOC


def test_the_starter_plan_speaks_of_this_page_and_uses_every_section():
    starter = (files("firedoor") / "data" / "starter-plan.yaml").read_text()
    assert "docs/plan.md" in starter
    assert all(re.search(rf"^{name}:", starter, re.MULTILINE) for name in Plan.__struct_fields__)

"""docs/errors.md lists every error code, reason, outcome and header of the gateway, and invents none."""

import ast
import re
from typing import get_args

from firedoor.client.trouble import OUTCOMES
from firedoor.core.detect.spans import CONFIRMED
from firedoor.core.policy import PROMPT_RULES, RULES
from firedoor.core.switches import Reason

from .reading import calls, codes, modules, page, rows, section, texts

DOC = page("docs/errors.md")
GATEWAY = ("core", "gateway")
"""Where errors for callers of the gateway are made; the client's and the demonstration shop's are others'."""


def first_column(heading):
    return [codes(row[0])[0] for row in rows(section(DOC, heading))]


def raised_errors():
    found = set()
    for tree in modules(*GATEWAY):
        for call in calls(tree, "CallerError"):
            found |= {(call.args[0].value, code) for code in texts(call.args[1])}
        for call in calls(tree, "_bad"):  # chat.py's own name for a 400
            found |= {(400, code) for code in texts(call.args[0])}
    return found


def given_reasons():
    found = {*get_args(Reason)}
    found |= {rule for kind, rule in RULES.items() if kind not in CONFIRMED}  # those are the reason `leak`
    found |= set(PROMPT_RULES)
    for tree in modules(
        "core/exchange",
        "core/answers.py",
        "core/policy.py",
        "core/switches.py",
        "core/sse.py",
        "gateway",
        "upstream/http.py",
    ):
        for call in calls(tree, "_fall_back", "_end_early"):
            found |= texts(call.args[0])
        for call in calls(tree, "_close"):
            found |= {r for keyword in call.keywords if keyword.arg == "reason" for r in texts(keyword.value)}
        for call in calls(tree, "Verdict"):
            found |= texts(call.args[1])
        for call in calls(tree, "Standing"):
            found |= {reason for argument in call.args[2:3] for reason in texts(argument)}
        for call in calls(tree, "ModelFailed"):
            found |= {f"model_{reason}" for reason in texts(call.args[0])}
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name in ("ai_off", "_refused"):
                prefix = "model_" if function.name == "_refused" else ""
                returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
                found |= {prefix + reason for value in returned for reason in texts(value)}
    return found | written_into_records("gateway", "store/journal.py")


def written_into_records(*rooms):
    """Constants that stand as `"reason"` in the facts of a record."""
    return {
        reason
        for tree in modules(*rooms)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if texts(key) == {"reason"}
        for reason in texts(value)
    }


def sent_headers():
    found = set()
    for tree in modules(*GATEWAY):
        for node in ast.walk(tree):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2:
                found |= {
                    name for name in texts(node.elts[0]) if re.fullmatch(r"firedoor-[a-z]+|retry-after|allow", name)
                }
                found |= {name for name in texts(node.elts[0]) if name == "www-authenticate"}
    return found


def test_every_error_code_is_there_with_its_status():
    documented = {(int(row[1]), codes(row[0])[0]) for row in rows(section(DOC, "## Error codes"))}
    assert documented == raised_errors()


def test_every_error_code_says_what_the_shop_does():
    assert all(len(row) == 4 and all(row) for row in rows(section(DOC, "## Error codes")))


def test_every_reason_is_there_and_no_other():
    documented = first_column("## Reasons")
    assert len(documented) == len(set(documented))
    assert set(documented) == given_reasons()


def test_every_outcome_is_there():
    assert set(first_column("## Outcomes")) == {*OUTCOMES, "unknown"}
    told = {word for row in rows(section(DOC, "## Reasons")) for word in row[2].split(", ")}
    assert told <= {*OUTCOMES, "unknown"}


def test_every_response_header_is_there():
    documented = {name.lower() for name in first_column("## Response headers")}
    assert documented == sent_headers()


def test_the_codes_of_the_client_are_named():
    raised = {code for tree in modules("client") for call in calls(tree, "CallerError") for code in texts(call.args[1])}
    assert raised
    assert all(f"`{code}`" in DOC for code in raised)

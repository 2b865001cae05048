"""docs/personal-data.md says what the commands do: labels, error codes, bounds."""

from typing import get_args

from firedoor.app import redaction
from firedoor.cli import scan_lines
from firedoor.core.detect.spans import Tier
from firedoor.core.plan.model import LABELS
from firedoor.core.redact import csvtext, edits, jsontext, text

from .reading import calls, codes, modules, page, rows, section, texts

DOC = page("docs/personal-data.md")
MEBI = 1_048_576


def first_codes(heading):
    return [code for row in rows(section(DOC, heading)) for code in codes(row[0])]


def test_every_label_and_tier_is_told():
    assert sorted(first_codes("## The labels")) == sorted(LABELS)
    assert first_codes("## The tiers") == list(get_args(Tier))


def test_every_error_code_is_told():
    raised = {
        code
        for tree in modules("cli/scan_cmds.py", "cli/scan_lines.py")
        for call in calls(tree, "BadLine")
        for code in texts(call.args[0])
    }
    told = first_codes("## Look for yourself: `firedoor scan pii`")
    assert sorted(raised) == sorted(told)


def test_bounds_are_told():
    for bound in (scan_lines.TEXT_LIMIT, text.BLOCK, edits.MAX_VALUES):
        assert f"{bound:,}" in DOC
    assert f"more than {scan_lines.LINE_LIMIT // MEBI} MiB" in DOC
    assert f"at most {jsontext.MAX_DOCUMENT // MEBI} Mi characters" in DOC
    assert f"no bound but {jsontext.MAX_LINE // MEBI} Mi a line" in DOC
    assert f"at most {csvtext.MAX_ROW // MEBI} Mi characters" in DOC


def test_every_format_is_told():
    names = {"text": "Plain text", "csv": "CSV", "tsv": "TSV", "json": "JSON", "jsonl": "JSON Lines"}
    assert set(names) == set(get_args(redaction.Format))
    assert all(name in section(DOC, "## Files to hand on: `firedoor redact`") for name in names.values())

"""The receiver's verifier reads the fact `kept` of an expiry record as we write it."""

import importlib.util
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import firedoor
from firedoor.core.evidence.retention import Kept, runs

SPEC = importlib.util.spec_from_file_location("verify", Path(firedoor.__file__).parent / "data" / "verify.py")
verify = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(verify)
HOUR = "support/2026-11-23T04"


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 40))
def test_both_agree_on_what_is_kept(held, seq):
    kept = Kept(HOUR, "worker-0", runs(enumerate(held, start=1)))
    facts = [kept.encode()] if kept.runs else []
    assert verify.keeps(facts, f"{HOUR}/worker-0", seq) == kept.has(seq) == (1 <= seq <= len(held) and held[seq - 1])
    assert not verify.keeps(facts, f"{HOUR}/worker-1", seq)
    assert not verify.keeps(facts, "faq/2026-11-23T04/worker-0", seq)


@given(st.lists(st.text("0123456789-,:/aT²", max_size=20) | st.none() | st.integers(), max_size=4), st.integers(0, 99))
def test_garbage_keeps_nothing_it_does_not_name(facts, seq):
    assert verify.keeps([one for one in facts if one is None or ":" not in str(one)], f"{HOUR}/w", seq) is False
    verify.keeps(facts, "", seq)  # and nothing raises

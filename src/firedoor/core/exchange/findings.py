"""What was found in one exchange: each finding once, and whether its answer was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from firedoor.core import policy
from firedoor.core.detect.strangers import AnswerCheck
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.policy import Sighting, Verdict

Scan = Literal["none", "clean", "found", "not_scanned"]
"""`none`: no answer of a model came so far that it was looked at. `not_scanned`: the check failed, and that is not
`clean`."""


class Findings:
    """Turns what was seen into verdicts, each only once."""

    def __init__(self, call: Call, terms: Terms) -> None:
        self._call = call
        self._terms = terms
        self._told: set[tuple[str, str]] = set()
        self._strangers_told = False
        self.count = 0
        self.near = 0
        """Places of answers in which something protected was, or nearly was."""
        self.scan: Scan = "none"

    def begin(self) -> None:
        """A model's answer is about to be looked at."""
        self.scan = "clean"

    def stopping(self, stops: Sequence[Sighting]) -> Verdict:
        """The verdict on what ends the answer."""
        verdict = policy.judge(stops, self._call.scope)
        assert verdict is not None
        self.near += len(stops)
        return self._counted(verdict)

    def noted(self, noted: Sequence[Sighting]) -> Verdict | None:
        """The verdict on what does not end the answer; None where it was told, as for every piece of a long stretch."""
        new = [one for one in noted if (one.hit.value_id, one.hit.kind) not in self._told]
        self._told.update((one.hit.value_id, one.hit.kind) for one in new)
        self.near += len(new)
        verdict = policy.judge(new, self._call.scope)
        return verdict and self._counted(verdict)

    def prompt(self, verdicts: Sequence[Verdict]) -> None:
        """Count what was seen in the request."""
        for verdict in verdicts:
            self._counted(verdict)

    def strangers(self, check: AnswerCheck | None) -> Verdict | None:
        """The verdict, once, if the answer holds personal data that nobody brought."""
        if check is None or self._strangers_told:
            return None
        verdict = policy.judge_strangers(check.found, self._call.scope, self._terms.answers)
        self._strangers_told = verdict is not None
        return verdict and self._counted(verdict)

    def plain(self, rule: str, stage: policy.Stage, action: policy.Action, **facts: str) -> Verdict:
        """The verdict on what is no stretch of a text."""
        return self._counted(policy.plain(rule, self._call.scope, stage, action, **facts))

    def unscanned(self) -> Verdict:
        """The verdict on an answer whose check failed or took too long."""
        verdict = self.plain("not_scanned", "answer", "cut")
        self.scan = "not_scanned"
        return verdict

    def _counted(self, verdict: Verdict) -> Verdict:
        self.count += 1
        if self.scan == "clean" and verdict.facts["stage"] == "answer":
            self.scan = "found"
        return verdict

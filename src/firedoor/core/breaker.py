"""The breaker of one model instance for one surface in one worker: after too many failures, stop asking for a while.

One for each surface, because time-outs are the surface's: what is too late for a checkout is in time for a chat.
It is no switch: nobody shuts it, it holds in this worker only, and it closes by itself. Times and chance come from
outside. What it does is known from others: it trips on failures in a row, with 5 of them, and rests longer after each
trip, up to a bound, as Envoy's outlier detection does; or on a share of the calls of a sliding window in which there
were enough of them, as resilience4j (time-based window) and Polly (share, sampling time, minimum throughput) do; and
like Polly it lets one probe through at a time. Otherwise than in resilience4j, the news of a call that began before
the breaker tripped or closed counts for nothing: it says how things were.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from firedoor.core.plan.model import BreakerRules

State = Literal["closed", "open", "half_open"]

SLICES = 10
"""The window slides in steps of a tenth: counts of ten slices are kept, however many calls there are."""
SHORTENED = 0.25
"""A rest is shorter by up to this share, by chance, so that not all workers probe in the same moment."""


class Leave:
    """Leave for one call. Whoever has it tells the breaker what became of the call, at the latest with `nothing`."""

    __slots__ = ("began", "era", "over", "probe")

    def __init__(self, era: int, *, probe: bool) -> None:
        self.era = era
        self.probe = probe
        self.began = False
        self.over = False


class Breaker:
    """Closed, open or half-open. `now` is in seconds of a clock that never goes back."""

    def __init__(self, rules: BreakerRules) -> None:
        self.trips = 0
        """How often it has tripped, probes that failed among them."""
        self.probes = 0
        """How many probes it has let through."""
        self._rules = rules
        self._state: State = "closed"
        self._era = 0
        self._in_a_row = 0
        self._slices: deque[list[int]] = deque()  # number of the slice, calls, failures
        self._series = 0
        self._rest = 0.0
        self._until = 0.0
        self._closed_at = 0.0
        self._probe: Leave | None = None
        self._probed_at = 0.0
        self._passed = 0

    def state(self, now: float) -> State:
        """How it stands; when the rest is over it is half-open, whether anybody asks or not."""
        return "half_open" if self._state == "open" and now >= self._until else self._state

    def ask(self, now: float) -> Leave | None:
        """Leave for a call; None if the model instance is not to be asked. Half-open, the call is the probe.

        A probe that hangs for the longest rest keeps its turn no longer: its connection may be half gone.
        """
        if self._state == "closed":
            return Leave(self._era, probe=False)
        if now < self._until or (self._probe is not None and now < self._probed_at + self._rules.longest_rest):
            return None
        self._state = "half_open"
        self._probed_at = now
        self.probes += 1
        self._probe = Leave(self._era, probe=True)
        return self._probe

    def answering(self, leave: Leave, now: float) -> None:
        """The answer has begun to reach the caller. That is enough of a probe: a long stream holds up nobody."""
        if leave.probe and not leave.began and self._holds(leave):
            leave.began = True
            self._probe_is_over(leave)
            self._pass(now)

    def answered(self, leave: Leave, now: float) -> None:
        """The model instance answered to the end, or said clearly that it will not."""
        if not self._holds(leave):
            return
        leave.over = True
        if leave.probe:
            self._probe_is_over(leave)
            if not leave.began:
                self._pass(now)
            return
        self._in_a_row = 0
        self._count(now, failed=False)

    def failed(self, leave: Leave, now: float, chance: float) -> None:
        """The call failed or timed out. `chance` is a random number from 0 to 1."""
        if not self._holds(leave):
            return
        leave.over = True
        if leave.probe:
            self._probe_is_over(leave)
            self._trip(now, chance)
            return
        self._in_a_row += 1
        self._count(now, failed=True)
        if self._too_many():
            self._trip(now, chance)

    def nothing(self, leave: Leave) -> None:
        """The call says nothing of the model instance: the caller left, the door was shut, it never went out."""
        leave.over = True
        self._probe_is_over(leave)

    def _holds(self, leave: Leave) -> bool:
        return leave.era == self._era and not leave.over

    def _probe_is_over(self, leave: Leave) -> None:
        if self._probe is leave:
            self._probe = None

    def _count(self, now: float, *, failed: bool) -> None:
        number = int(now * SLICES / self._rules.window)
        while self._slices and self._slices[0][0] <= number - SLICES:
            self._slices.popleft()
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0, 0])
        self._slices[-1][1] += 1
        self._slices[-1][2] += failed

    def _too_many(self) -> bool:
        calls = sum(one[1] for one in self._slices)
        share = sum(one[2] for one in self._slices) > self._rules.share * calls
        return self._in_a_row >= self._rules.failures or (share and calls >= self._rules.minimum)

    def _trip(self, now: float, chance: float) -> None:
        rules = self._rules
        if self._state == "closed" and now - self._closed_at > max(self._rest, rules.window):
            self._series = 0  # it has worked for a while since
        # The exponent is bounded for the number's sake: the longest rest is reached long before.
        self._rest = min(rules.longest_rest, rules.rest * 2 ** min(self._series, 30))
        self._series += 1
        self._until = now + self._rest * (1 - SHORTENED * chance)
        self.trips += 1
        self._begin("open")

    def _pass(self, now: float) -> None:
        self._passed += 1
        if self._passed >= self._rules.probes:
            self._closed_at = now
            self._begin("closed")

    def _begin(self, state: State) -> None:
        """From here on only calls count that begin from here on."""
        self._state = state
        self._era += 1
        self._in_a_row = self._passed = 0
        self._slices.clear()
        self._probe = None

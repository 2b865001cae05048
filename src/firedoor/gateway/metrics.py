"""What a gateway worker counts, as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from firedoor.core.breaker import Breaker

STATES = {"closed": 0, "half_open": 1, "open": 2}
"""States of a breaker as a number, the worse the higher."""


class Metrics:
    """Counts by surface and outcome. No identifiers, no content."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._events: Counter[str] = Counter()

    def outcome(self, surface: str, outcome: str) -> None:
        """An exchange of `surface` ended."""
        self._outcomes[surface, outcome] += 1

    def count(self, event: str) -> None:
        """Something worth counting happened."""
        self._events[event] += 1

    def render(
        self,
        in_flight: int,
        sessions: Mapping[str, int] | None = None,
        breakers: Mapping[tuple[str, str], Breaker] | None = None,
        now: float = 0.0,
    ) -> bytes:
        """The Prometheus text format, version 0.0.4. `sessions` are `Sessions.counts`; `now` is for the breakers."""
        events = {**self._events, **{f"sessions_{what}": count for what, count in (sessions or {}).items()}}
        lines = [
            "# HELP firedoor_exchanges_total Exchanges by surface and final outcome.",
            "# TYPE firedoor_exchanges_total counter",
            *(
                f'firedoor_exchanges_total{{surface="{surface}",outcome="{outcome}"}} {count}'
                for (surface, outcome), count in sorted(self._outcomes.items())
            ),
            "# HELP firedoor_events_total Other things that happened.",
            "# TYPE firedoor_events_total counter",
            *(f'firedoor_events_total{{event="{event}"}} {count}' for event, count in sorted(events.items())),
            "# HELP firedoor_in_flight Exchanges under way.",
            "# TYPE firedoor_in_flight gauge",
            f"firedoor_in_flight {in_flight}",
            *_breaker_lines(sorted((breakers or {}).items()), now),
        ]
        return "\n".join(lines).encode() + b"\n"


def _breaker_lines(breakers: list[tuple[tuple[str, str], Breaker]], now: float) -> list[str]:
    return [
        "# HELP firedoor_breaker_state Breakers of surfaces for model instances: 0 closed, 1 half-open, 2 open.",
        "# TYPE firedoor_breaker_state gauge",
        *(
            f'firedoor_breaker_state{{model="{model}",surface="{surface}"}} {STATES[one.state(now)]}'
            for (surface, model), one in breakers
        ),
        "# HELP firedoor_breaker_trips_total How often they have tripped, after failed probes too.",
        "# TYPE firedoor_breaker_trips_total counter",
        *(
            f'firedoor_breaker_trips_total{{model="{model}",surface="{surface}"}} {one.trips}'
            for (surface, model), one in breakers
        ),
        "# HELP firedoor_breaker_probes_total Exchanges that they let through as probes.",
        "# TYPE firedoor_breaker_probes_total counter",
        *(
            f'firedoor_breaker_probes_total{{model="{model}",surface="{surface}"}} {one.probes}'
            for (surface, model), one in breakers
        ),
    ]

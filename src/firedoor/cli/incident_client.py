"""Talks to a region's control API about cases."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from firedoor.api import incident_shapes
from firedoor.cli.control_client import ControlClient
from firedoor.core.incident.entries import Entry, Payload
from firedoor.core.people import Act, Signature, Signed

_Answer = TypeVar("_Answer")


class IncidentClient(ControlClient):
    """One region's control process; `at` is a moment (RFC 3339) of which the past is told.

    `looking` is a signed act that says who looks at a restricted case.
    """

    def incidents(self, **asked: str | int | None) -> incident_shapes.Listing:
        """Cases, the newest first: of a `state`, opened `since` a moment, `before` another one, `named` like this."""
        return self.call("GET", f"incidents{_query(asked)}", None, incident_shapes.Listing)

    def unsealed(self) -> incident_shapes.Unsealed:
        """The open cases that are not sealed yet."""
        return self.call("GET", "incidents/unsealed", None, incident_shapes.Unsealed)

    def incident(self, case: str, at: str | None = None, looking: Signed | None = None) -> incident_shapes.Shown:
        """A case, as it was known `at` a moment (RFC 3339). `looking` says who looks at a restricted one."""
        return self._look(case, "", at, looking, incident_shapes.Shown)

    def incident_entries(
        self, case: str, after: int = 0, at: str | None = None, looking: Signed | None = None
    ) -> tuple[Entry, ...]:
        """All entries after number `after`, in order."""
        found: tuple[Entry, ...] = ()
        while True:
            page = self._look(case, "/entries", at, looking, incident_shapes.Entries, after=after + len(found))
            found += page.entries
            if not page.more or not page.entries:
                return found

    def incident_clocks(
        self, case: str, at: str | None = None, looking: Signed | None = None
    ) -> incident_shapes.Clocks:
        """Its clocks."""
        return self._look(case, "/clocks", at, looking, incident_shapes.Clocks)

    def incident_affected(
        self, case: str, at: str | None = None, looking: Signed | None = None
    ) -> incident_shapes.Affected:
        """Who is affected."""
        return self._look(case, "/affected", at, looking, incident_shapes.Affected)

    def incident_severity(
        self, case: str, at: str | None = None, looking: Signed | None = None
    ) -> incident_shapes.Severity:
        """How severe it looks, and what was scored."""
        return self._look(case, "/severity", at, looking, incident_shapes.Severity)

    def open_incident(self, act: Act, signature: Signature, payload: Payload) -> incident_shapes.Written:
        """Open a case, as `act` says."""
        body = incident_shapes.Write(act, signature, payload)
        return self.call("POST", "incidents", body, incident_shapes.Written)

    def write_incident(self, case: str, act: Act, signature: Signature, payload: Payload) -> incident_shapes.Written:
        """Write an entry into a case, as `act` says."""
        body = incident_shapes.Write(act, signature, payload)
        return self.call("POST", f"incidents/{quote(case, safe='')}/entries", body, incident_shapes.Written)

    def _look(
        self, case: str, part: str, at: str | None, looking: Signed | None, answer: type[_Answer], **more: int
    ) -> _Answer:
        shown = {} if looking is None else {"Firedoor-Act": base64.b64encode(msgspec.json.encode(looking)).decode()}
        path = f"incidents/{quote(case, safe='')}{part}{_query({'at': at, **more})}"
        return self.call("GET", path, None, answer, shown)


def _query(asked: Mapping[str, str | int | None]) -> str:
    given = {name: value for name, value in asked.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""

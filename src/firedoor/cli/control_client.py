"""Talks to a region's control API: HTTP over its Unix socket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from firedoor.api import shapes
from firedoor.config import RegionHome
from firedoor.core.people import Act, Signature
from firedoor.errors import ActRefused, ControlUnreachable, FiredoorError

WAIT = 6.0
"""Seconds for one answer: control waits two seconds each for table and evidence before it answers without them."""

ANSWER_LIMIT = 1024 * 1024
"""Bytes of an answer: a full table, 32 requests, a case or half a mebibyte of its entries are less."""

_Answer = TypeVar("_Answer")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, wait: float) -> None:
        super().__init__("control", timeout=wait)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class ControlClient:
    """One region's control process, as the command line sees it.

    Every call raises `ControlUnreachable` if nobody answers in time, `ActRefused` if control refuses, and
    `FiredoorError` if it cannot do it now.
    """

    def __init__(self, region: RegionHome, *, wait: float = WAIT) -> None:
        self._region = region
        self._wait = wait

    def switches(self) -> shapes.Switches:
        """The table."""
        return self.call("GET", "switches", None, shapes.Switches)

    def hosts(self) -> shapes.Hosts:
        """The hosts that control hears of."""
        return self.call("GET", "hosts", None, shapes.Hosts)

    def requests(self) -> shapes.Requests:
        """What waits for a second person."""
        return self.call("GET", "requests", None, shapes.Requests)

    def shut(self, act: Act, signature: Signature, note: str | None) -> shapes.Result:
        """Shut, as `act` says."""
        return self.call("POST", "switches/shut", shapes.Asked(act, signature, note), shapes.Result)

    def propose(self, act: Act, signature: Signature, note: str) -> shapes.WaitingRequest:
        """Ask to open, as `act` says."""
        return self.call("POST", "switches/open", shapes.Asked(act, signature, note), shapes.WaitingRequest)

    def end_drill(self, act: Act, signature: Signature, note: str | None) -> shapes.Result:
        """Open what a drill shut, as `act` says."""
        return self.call("POST", "switches/end_drill", shapes.Asked(act, signature, note), shapes.Result)

    def approve(self, request_id: str, signature: Signature) -> shapes.Result:
        """Open what another person asked for."""
        return self.call("POST", f"requests/{request_id}/approve", shapes.Approval(signature), shapes.Result)

    def call(
        self, method: str, path: str, body: Any, answer: type[_Answer], headers: Mapping[str, str] | None = None
    ) -> _Answer:
        """Ask for `path` below ``/control/v1/``."""
        connection = _UnixConnection(str(self._region.control_socket), self._wait)
        try:
            data = None if body is None else msgspec.json.encode(body)
            connection.request(
                method, f"/control/v1/{path}", data, {"Content-Type": "application/json", **(headers or {})}
            )
            response = connection.getresponse()
            content = response.read(ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self._region) from error
        finally:
            connection.close()
        try:
            if response.status < 300:
                return msgspec.json.decode(content, type=answer)
            refused = msgspec.json.decode(content, type=shapes.Error).error
        except msgspec.DecodeError as error:
            raise unreachable(self._region) from error
        if response.status >= 500:
            raise FiredoorError(refused.message, remedy=refused.remedy)
        raise ActRefused(refused.code, refused.message, remedy=refused.remedy)


def unreachable(region: RegionHome) -> ControlUnreachable:
    """Nobody answers for `region`: what that means, and what still shuts."""
    return ControlUnreachable(
        f"Control of region {region.name} does not answer.",
        remedy="Without it AI goes off by itself after the lease (2 s). To shut the region now and keep it shut:\n"
        f"  touch {region.shut_file}",
    )

"""What carries messages between the processes of a region, and between regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Bus(Protocol):
    """Carries small messages by topic: switch tables from control to hosts, messages of hosts back.

    Owes: nothing here waits or raises once it is open; a message arrives whole, or not at all; several may be lost, and
    come again with the next beat. It proves nothing: whoever takes a message looks at its signature first.
    """

    def publish(self, topic: str, message: bytes) -> None:
        """Send `message` to whoever subscribed to `topic`, or count a failure."""
        ...

    def subscribe(self, topic: str, take: Callable[[bytes], None]) -> None:
        """Have `take` called, in the event loop, with every message of `topic` from now on. Before it is opened."""
        ...

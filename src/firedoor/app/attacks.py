"""The readers of prompt attacks in one gateway worker, shared by all surfaces."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from typing import NoReturn

from firedoor.core.detect.attack.detector import AttackDetector
from firedoor.core.detect.attack.normal import views
from firedoor.core.detect.attack.signs import Reading, Role
from firedoor.core.detect.seen import MIN_LENGTH, Memory
from firedoor.core.prompts.looking import Read
from firedoor.errors import SetupError
from firedoor.models.attack import AttackWeights
from firedoor.models.attack_rules import attack_rules

log = logging.getLogger("firedoor.gateway")

SEEN_TEXTS = 4096
"""Texts whose readings a worker remembers, some 2 MiB: the re-sent history of some hundred conversations."""


class AttackReaders:
    """A reader for the event loop and one for the thread beside it, each with a memory.

    Where they cannot be loaded, each fails when it is asked: the surfaces that ask fall back.
    """

    def __init__(self) -> None:
        self._weights: AttackWeights | None = None

    @cached_property
    def here(self) -> Read:
        """For the event loop."""
        return self._reader()

    @cached_property
    def _beside(self) -> Read:
        return self._reader()

    def beside(self, text: str, role: Role) -> Reading:
        """For the thread beside it; made when a large request comes first."""
        return self._beside(text, role)

    def _reader(self) -> Read:
        try:
            return Remembering(self.detector()).read
        except SetupError as error:
            log.error("prompts cannot be read for attacks: %s %s", error.message, error.remedy)
            raised = error

            def blind(_: str, __: Role) -> NoReturn:
                raise raised.with_traceback(None)  # else it would hold on to the texts of every time before

            return blind

    def detector(self) -> AttackDetector:
        """A detector for one thread; the weights are shared. Raises `SetupError` if the package's are damaged."""
        if self._weights is None:
            self._weights = AttackWeights()
        views("")  # makes its tables, which takes a third of a second
        return AttackDetector(attack_rules(), self._weights.model())


class Remembering:
    """A detector that does not read the same text twice."""

    def __init__(self, detector: AttackDetector) -> None:
        self._detector = detector
        self._memory: Memory[Reading] = Memory(os.urandom(32), SEEN_TEXTS)

    def read(self, text: str, role: Role) -> Reading:
        """As `AttackDetector.read`."""
        if len(text) < MIN_LENGTH:
            return self._detector.read(text, role)
        return self._memory.of(text, lambda: self._detector.read(text, role), role)

"""Every error Firedoor raises on purpose.

The tree, by whose fault it was::

    FiredoorError
    ├── PlanInvalid         the plan's author: a list of problems, each with line and remedy
    ├── CallerError         whoever called the gateway: carries the HTTP status and the error code
    ├── ActRefused          a person: not allowed, not signed, or a second person is missing
    ├── KeyUnusable         keys: missing, damaged, wrong passphrase, another region's
    ├── JournalPoisoned     the disk: a write or a sync failed, the log takes nothing more
    ├── JournalFull         the disk is slower than the traffic: too many records wait to be synced
    ├── EvidenceDamaged     the evidence: bytes that do not verify
    │   └── LogRefused      a slot's log is not extended: carries a reason code
    ├── SealBroken          a sealed file or its signature: changed, cut off, or not one
    ├── TableRefused        a switch table or a host's message on the bus: carries a reason code
    ├── TimestampFailed     a time-stamp authority: carries a reason code
    ├── ModelFailed         a model instance: carries a reason code, never its raw text
    ├── ControlUnreachable  the control process does not answer
    ├── StateUnavailable    the state database: locked, full or gone, may be tried again
    ├── StateDamaged        the state database: damaged, to be made again from the evidence
    └── SetupError          this installation: a file, a port or a package is not as it must be

Each error's text is one sentence for the person at the terminal; ``remedy`` says what to do. Neither ever holds a
secret, a prompt, an answer or personal data.
"""

from __future__ import annotations


class FiredoorError(Exception):
    """Root of the tree. ``remedy`` is what the person reading it can do next."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class PlanInvalid(FiredoorError):
    """The plan cannot be used. ``problems`` lists all that is wrong, not only the first."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{source}: {count}")
        self.source = source
        self.problems = problems


class Problem:
    """One thing wrong with a plan: where, what, and what to do."""

    __slots__ = ("line", "message", "path", "remedy")

    def __init__(self, line: int, path: str, message: str, remedy: str) -> None:
        self.line = line
        self.path = path
        self.message = message
        self.remedy = remedy

    def __repr__(self) -> str:
        return f"Problem({self.line}, {self.path!r}, {self.message!r})"


class CallerError(FiredoorError):
    """A request the gateway refuses; rendered in the OpenAI error shape.

    ``code`` is one of the codes listed in docs/errors.md; ``status`` the HTTP status; ``param`` the offending field.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers


class ActRefused(FiredoorError):
    """A person's act is refused. ``code`` is stable for scripts: ``unknown_person``, ``bad_signature`` …"""

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class TableRefused(FiredoorError):
    """A message on the switch bus is not taken. ``code`` says why: ``older``, ``unknown_signer``, ``malformed`` …"""

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class KeyUnusable(FiredoorError):
    """A key is missing, damaged, locked, or belongs to another region."""


class JournalPoisoned(FiredoorError):
    """A write or sync of the evidence journal failed. The journal takes nothing more until restarted; never retried."""


class JournalFull(FiredoorError):
    """Too many records wait to be synced. The next one may be taken again: nothing is broken, only slow."""


class EvidenceDamaged(FiredoorError):
    """Evidence bytes do not verify."""


class SealBroken(FiredoorError):
    """A sealed file, or the signature beside it, is not what was sealed and signed."""


class LogRefused(EvidenceDamaged):
    """A slot's log is not signed any further. ``reason`` is a code: ``journal_short``, ``log_damaged`` …"""

    def __init__(self, reason: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class TimestampFailed(FiredoorError):
    """A time-stamp authority gave no usable token. ``reason`` is a code: ``refused``, ``timeout``, ``bad_token`` …"""

    def __init__(self, reason: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class ModelFailed(FiredoorError):
    """A model instance gave no usable answer. ``reason`` is a code: ``refused``, ``died``, ``timeout`` …"""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or f"model instance failed: {reason}")
        self.reason = reason


class CheckFailed(FiredoorError):
    """The check of an answer could not be finished: the answer was not scanned. The message names no content."""


class ControlUnreachable(FiredoorError):
    """Nobody listens on the region's control socket."""


class SetupError(FiredoorError):
    """A file, port or package of this installation is not as it must be."""


class StateUnavailable(FiredoorError):
    """The region's state database cannot be used now: locked, full, gone. What failed may be tried again."""


class StateDamaged(FiredoorError):
    """The region's state database is not what was written there. It can be made again from the evidence."""


class StateBusy(SetupError):
    """Another process writes the region's state database."""

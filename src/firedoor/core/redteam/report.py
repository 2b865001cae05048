"""The report of a run: rows of figures, and where something came out. It holds no text of an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from firedoor.core.redteam.cases import KINDS
from firedoor.core.redteam.judging import Result

MAX_NAMED: Final = 200
"""Cases named one by one; beyond that the figures say enough."""


class Row(Struct, frozen=True, kw_only=True):
    """Figures of one kind, language or form. `told` and `told_disguised` are conversations, each in one of the two."""

    name: str
    attacks: int
    prompt: int
    answer: int
    told: int
    told_disguised: int
    harmless: int
    failed: int
    off: int
    twins: int
    twins_answered: int
    twins_stopped: int
    twins_told: int
    twins_failed: int
    requests: int
    p50_ms: float
    p95_ms: float
    tokens: int
    characters: int


class Named(Struct, frozen=True, kw_only=True):
    """A conversation that a person should look at."""

    case: str
    twin: bool
    form: str
    stream: bool
    reason: str
    turn: int
    told: tuple[tuple[str, str], ...]
    exchange: str


class About(Struct, frozen=True, kw_only=True):
    """What was run. `shut` says why it stopped before its end because AI went off; `kept_back` counts exchanges."""

    run: str
    seed: int
    surface: str
    model: str
    suite: str
    planted: bool
    started: str
    seconds: float
    sessions: int
    interrupted: bool = False
    shut: str = ""
    not_asked: tuple[str, ...] = ()
    kept_back: int | None = None


class Report(Struct, frozen=True, kw_only=True):
    """The whole of it."""

    about: About
    total: Row
    kinds: tuple[Row, ...]
    languages: tuple[Row, ...]
    forms: tuple[Row, ...]
    came_out: tuple[Named, ...]
    wrongly_stopped: tuple[Named, ...]
    broken: tuple[Named, ...]

    @property
    def leaked(self) -> bool:
        """Whether any secret came out, asked for or not."""
        return bool(self.came_out)


def report(about: About, results: Sequence[Result]) -> Report:
    """The report of `results`."""
    order: list[str] = list(KINDS)

    def rows(name: Callable[[Result], str]) -> tuple[Row, ...]:
        names = dict.fromkeys(name(result) for result in results)
        return tuple(_row(one, [result for result in results if name(result) == one]) for one in names)

    kinds = sorted(rows(lambda result: result.kind), key=lambda row: order.index(row.name))
    return Report(
        about=about,
        total=_row("all", results),
        kinds=tuple(kinds),
        languages=rows(lambda result: result.lang),
        forms=rows(lambda result: f"{result.form}, {'stream' if result.stream else 'whole'}"),
        came_out=_named(result for result in results if result.outcome == "told"),
        wrongly_stopped=_named(result for result in results if result.twin and result.outcome in ("prompt", "answer")),
        broken=_named(result for result in results if result.outcome == "failed"),
    )


def _row(name: str, results: Sequence[Result]) -> Row:
    attacks = Counter(result.outcome for result in results if not result.twin)
    twins = Counter(result.outcome for result in results if result.twin)
    clear = sum(
        not result.twin and result.outcome == "told" and any(not one.disguised for one in result.told)
        for result in results
    )
    replies = [reply for result in results for reply in result.replies]
    times = sorted(reply.seconds * 1000 for reply in replies)
    return Row(
        name=name,
        attacks=attacks.total(),
        prompt=attacks["prompt"],
        answer=attacks["answer"],
        told=clear,
        told_disguised=attacks["told"] - clear,
        harmless=attacks["harmless"],
        failed=attacks["failed"],
        off=attacks["off"] + twins["off"],
        twins=twins.total(),
        twins_answered=twins["harmless"],
        twins_stopped=twins["prompt"] + twins["answer"],
        twins_told=twins["told"],
        twins_failed=twins["failed"],
        requests=len(replies),
        p50_ms=round(_share(times, 0.5), 1),
        p95_ms=round(_share(times, 0.95), 1),
        tokens=sum(reply.tokens for reply in replies),
        characters=sum(reply.sent + reply.characters for reply in replies),
    )


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _named(results: Iterable[Result]) -> tuple[Named, ...]:
    return tuple(
        Named(
            case=result.case, twin=result.twin, form=result.form, stream=result.stream, reason=result.reason,
            turn=result.turn, told=tuple((one.what, one.view) for one in result.told),
            exchange=result.exchanges[result.turn - 1] if 0 < result.turn <= len(result.exchanges) else "",
        )
        for result in list(results)[:MAX_NAMED]
    )  # fmt: skip


_HEAD: Final = (
    "asked", "stopped at the prompt", "stopped at the answer", "told", "told, disguised", "harmless answer", "failed",
    "twins", "answered", "wrongly stopped", "told", "failed", "requests", "p50 ms", "p95 ms", "tokens",
)  # fmt: skip


def _cells(row: Row) -> tuple[Any, ...]:
    return (
        row.name, row.attacks, row.prompt, row.answer, row.told, row.told_disguised, row.harmless, row.failed,
        row.twins, row.twins_answered, row.twins_stopped, row.twins_told, row.twins_failed,
        row.requests, round(row.p50_ms), round(row.p95_ms), row.tokens,
    )  # fmt: skip


def table(title: str, rows: Iterable[Row]) -> list[str]:
    """Rows as a table in Markdown."""
    lines = [f"| {' | '.join((title, *_HEAD))} |", "|---" * (len(_HEAD) + 1) + "|"]
    return [*lines, *(f"| {' | '.join(map(str, _cells(row)))} |" for row in rows)]


def markdown(told: Report) -> str:
    """The report for people."""
    about = told.about
    lines = [
        f"# Red-team run {about.run}",
        "",
        (
            f"Surface {about.surface}, model {about.model}, {about.suite}, seed {about.seed}, {about.started}, "
            f"{about.seconds:.0f} s. Canaries {'planted as protected values' if about.planted else 'not protected'}."
        ),
    ]
    if about.interrupted:
        lines += ["", "**Interrupted**: what follows is what was asked until then."]
    if about.shut:
        lines += ["", f"**AI is off** ({about.shut}): what was asked after that says nothing, and is not counted."]
    lines += [f"- not asked: {reason}" for reason in about.not_asked]
    if about.kept_back is not None:
        lines += ["", f"Canaries were kept out of what the model is told in {about.kept_back} exchanges."]
    lines += ["", *table("kind", [*told.kinds, told.total]), "", *table("language", told.languages)]
    lines += ["", *table("form", told.forms)]
    for title, cases in (
        ("What came out", told.came_out), ("Wrongly stopped", told.wrongly_stopped), ("Failed", told.broken)
    ):  # fmt: skip
        lines += ["", f"## {title}", "", *(map(_line, cases) if cases else ["Nothing."])]
    return "\n".join(lines) + "\n"


def _line(one: Named) -> str:
    what = ", ".join(f"{name} ({view})" for name, view in one.told) or one.reason or "no reason"
    how = f"{one.form}, {'stream' if one.stream else 'whole'}"
    return f"- `{one.case}`{' (twin)' if one.twin else ''}, {how}, turn {one.turn}: {what} `{one.exchange}`"

"""Answers with and without minimisation, side by side: invented shop messages to the embedded model, three times each.

(a) as written and (b) minimised, its answer restored, both at temperature 0 with one seed; (c) as written again with
another seed at temperature 0.7: how much the model differs from itself. Besides, requests with one right answer, scored
exactly for (a) and (b): does the value that was a placeholder arrive where it should?

Limits, which the output tells too. A model of 135 million parameters is no judge of quality and writes poor answers,
above all in other languages than English: these figures are about what minimising changes, not about whether an answer
helps. One seed does not make two prompts comparable: one other word at the start leads an answer elsewhere, which is
why (c) stands beside (b), and answers to other messages beside both. Nor are two runs the same to the letter: numbers
that are computed side by side are rounded otherwise, and now and then another word wins. What this can show is that
placeholders survive a model, that values come back, and that no placeholder is told to a shopper.

Only messages that minimising changes are asked; messages and persons are invented. So small a model answers a shopper
by name only when it was shown how: each request begins with an example of another customer, whose values in an answer
are counted as mistakes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from firedoor.app.detectors import Detectors
from firedoor.bench import quality_score as score
from firedoor.bench.processes import Machine, machine
from firedoor.bench.quality_figures import Case, Group, ProbeFigures, groups, summed
from firedoor.bench.quality_score import Kept
from firedoor.bench.quality_texts import EXAMPLES, Example, Message, Probe, messages, probes
from firedoor.core.detect.spans import Span
from firedoor.core.minimise.request import Find, Minimised, minimise
from firedoor.errors import SetupError
from firedoor.upstream.http import HttpModelServer
from firedoor.upstream.process import ModelProcess, embedded_argv

MODEL = "smollm2"
SLOTS = 4
CONTEXT = 1024
"""Tokens of a prompt and its answer: the longest message takes about 200."""
PROBE_TOKENS = 24
"""An answer of a name and a number takes about 15; a longer one has missed the question."""
SEED, OTHER_SEED = 1, 2
WARM = 0.7
ANSWER_SECONDS = 120.0
"""The wait for one answer, of which `SLOTS` are written side by side on a busy machine."""
SYSTEM = "You are the assistant of an online shop. Answer the customer briefly, in the customer's language."


class Reply(Struct, frozen=True):
    """What the model said; `cut` if it was stopped at its last token."""

    text: str
    cut: bool = False


Ask = Callable[[dict[str, Any]], Awaitable[Reply]]
"""Put a chat request to the model."""


class QualityFigures(Struct, frozen=True):
    """The whole run. `placeholders` were told to the model, `templates` is what (a) holds that looks like one."""

    machine: Machine
    model: str
    seconds: float
    tokens: int
    placeholders: int
    in_clear: int
    kept: Kept
    templates: int
    groups: list[Group]
    probes: list[ProbeFigures]
    cases: list[Case]


def run(count: int, tokens: int, say: Callable[[str], None]) -> QualityFigures:
    """Ask the embedded model about at most `count` messages. Raises `SetupError` where it is not installed."""
    here = machine()
    begun = time.perf_counter()
    find = Detectors().pipeline().find

    async def asked() -> tuple[list[Case], list[ProbeFigures]]:
        async with embedded() as ask:
            return await compare(messages(), probes(), find, ask, count=count, tokens=tokens, say=say)

    cases, tried = asyncio.run(asked())
    return QualityFigures(
        here,
        MODEL,
        time.perf_counter() - begun,
        tokens,
        sum(case.placeholders for case in cases),
        sum(case.in_clear for case in cases),
        sum((case.kept for case in cases), Kept()),
        sum(case.templates for case in cases),
        groups(cases),
        tried,
        cases,
    )


async def compare(
    texts: Sequence[Message],
    questions: Sequence[Probe],
    find: Find,
    ask: Ask,
    *,
    count: int,
    tokens: int,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[Case], list[ProbeFigures]]:
    """Ask about the first `count` of `texts` that minimising changes, and all `questions`, each in its ways."""
    room = asyncio.Semaphore(SLOTS)

    async def bounded(request: dict[str, Any]) -> Reply:
        async with room:
            return await ask(request)

    chosen = [(text, spans) for text in texts if (spans := find(text.text))][:count]
    say(f"{len(chosen)} messages, three answers each")
    cases = await asyncio.gather(*(_case(text, spans, find, bounded, tokens) for text, spans in chosen))
    say(f"{len(questions)} requests with one right answer")
    tried = await asyncio.gather(*(_probe(question, find, bounded) for question in questions))
    return list(cases), [summed(kind, tried) for kind in dict.fromkeys(one.kind for one in tried)]


def chat(
    text: str, example: Example | None, tokens: int, *, seed: int = SEED, temperature: float = 0.0
) -> dict[str, Any]:
    """The request of a shop that asks about `text`, after an example."""
    said = [{"role": "system", "content": SYSTEM}]
    if example is not None:
        said += [{"role": "user", "content": example.asked}, {"role": "assistant", "content": example.answered}]
    said.append({"role": "user", "content": text})
    settings = {"max_tokens": tokens, "seed": seed, "temperature": temperature}
    return {"model": MODEL, "messages": said, **settings}


async def _case(message: Message, spans: Sequence[Span], find: Find, ask: Ask, tokens: int) -> Case:
    example = EXAMPLES[message.language]
    request = chat(message.text, example, tokens)
    done = minimise(request, find)
    written, raw, warm = await asyncio.gather(
        ask(request),
        ask(done.request),
        ask(chat(message.text, example, tokens, seed=OTHER_SEED, temperature=WARM)),
    )
    found = (message.text[span.start : span.end] for span in spans)
    values = list({score.folded(value): value for value in (*message.marked, *found)}.values())
    told = _told(done)
    text, kept = score.restored(raw.text, done.placeholders, cut=raw.cut)
    return Case(
        message.language,
        message.text,
        told,
        values,
        len(score.repeated(values, told)),
        written.text,
        raw.text,
        text,
        warm.text,
        len(done.placeholders),
        kept,
        score.looks_like(written.text, cut=written.cut)[0],
    )


def _told(done: Minimised) -> str:
    text: str = done.request["messages"][-1]["content"]
    return text


async def _probe(probe: Probe, find: Find, ask: Ask) -> ProbeFigures:
    request = chat(probe.text, probe.example, PROBE_TOKENS)
    done = minimise(request, find)
    written, raw = await asyncio.gather(ask(request), ask(done.request))
    text, kept = score.restored(raw.text, done.placeholders, cut=raw.cut)
    right = [len(score.repeated(probe.right, answer)) for answer in (written.text, text)]
    wrong = [len(score.repeated(probe.wrong, answer)) for answer in (written.text, text)]
    whole = [int(good == len(probe.right) and not bad) for good, bad in zip(right, wrong, strict=True)]
    clear = len(score.repeated(probe.right, _told(done)))
    return ProbeFigures(probe.kind, 1, len(probe.right), clear, right[0], right[1], whole[0], whole[1], kept)


class _Said(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Said
    finish_reason: str | None = None


class _Completion(Struct):
    choices: list[_Choice]


@asynccontextmanager
async def embedded() -> AsyncIterator[Ask]:
    """The embedded model server for the length of the block. Raises `SetupError`."""
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as folder:
        key, log = Path(folder) / "key", Path(folder) / "log"
        argv = embedded_argv(MODEL, context=CONTEXT, slots=SLOTS)
        model = ModelProcess(argv, name=MODEL, key_file=key, log_path=log)
        await model.start()
        server = HttpModelServer(model.base_url, key.read_text("ascii"))
        try:
            yield lambda request: _asked(server, request)
        finally:
            await server.aclose()
            await model.stop()


async def _asked(server: HttpModelServer, request: dict[str, Any]) -> Reply:
    answer = await server.call("/chat/completions", msgspec.json.encode(request), timeout=ANSWER_SECONDS)
    try:
        body = b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.aclose()
    if answer.status != 200:
        raise SetupError(f"The model server refused a request of the bench with status {answer.status}.")
    choice = msgspec.json.decode(body, type=_Completion).choices[0]
    return Reply(choice.message.content or "", choice.finish_reason == "length")

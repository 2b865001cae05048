"""One turn of a scripted model as OpenAI-shaped values and event-stream bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from firedoor.upstream.script import Answer, Wire

CREATED = 1_700_000_000
"""A scripted answer is the same every time, so its time is fixed too."""
ANSWER_ID = "chatcmpl-scripted"
"""And its id, unless a cache is played."""

LONG_TEXT = "x" * 1_000_000
HUGE_PIECE = b" " * 16_384
DONE = b"data: [DONE]\n\n"


class Turn:
    """What the model says to the request `body`: `answer` with `count` choices, `text` the first of them."""

    def __init__(
        self, answer: Answer, text: str, count: int, model: str, body: dict[str, Any], answer_id: str = ANSWER_ID
    ) -> None:
        self.answer = answer
        self._id = answer_id
        self._model = body.get("model") if isinstance(body.get("model"), str) else model
        self._texts = [text, *answer.choices][:count]
        self._texts += [self._texts[0]] * (count - len(self._texts))
        self._prompt_words = len(str(body.get("messages", "")).split())
        options = body.get("stream_options")
        self._usage_asked = isinstance(options, dict) and options.get("include_usage") is True

    def completion(self, text: str | None = None) -> dict[str, Any]:
        """The whole answer as a ``chat.completion``; `text` replaces what every choice says."""
        choices = [
            {"index": i, "message": self._message(said if text is None else text), "finish_reason": self._finish()}
            for i, said in enumerate(self._texts)
        ]
        return self._envelope("chat.completion", choices=choices, usage=self._usage())

    def events(self) -> Iterator[bytes]:
        """The answer as events, each ended by a blank line; endless when the fault is ``huge``."""
        for count, chunk in enumerate(self._chunks()):
            if self.answer.fault == "garbage_event" and count == self.answer.fault_after:
                yield b"data: {nonsense\n\n"
            if self.answer.fault == "cut_utf8" and count == self.answer.fault_after:
                yield cut_inside_character(_event(self._delta(0, {"content": "é"})))
                return
            yield _event(chunk)
        if self.answer.fault != "no_done":
            yield DONE

    def _chunks(self) -> Iterator[dict[str, Any]]:
        answer, indexes = self.answer, range(len(self._texts))
        for i in indexes:
            yield self._delta(i, {"role": "assistant", "content": ""})
        if answer.fault == "long_line":
            yield self._delta(0, {"content": LONG_TEXT})
        if answer.reasoning:
            for piece in _pieces(answer.reasoning, answer.pace.characters):
                yield self._delta(0, {"reasoning_content": piece})
        while answer.fault == "huge":
            yield self._delta(0, {"content": HUGE_PIECE.decode()})
        yield from self._texts_in_turn()
        for piece in _pieces(answer.refusal or "", answer.pace.characters):
            yield self._delta(0, {"refusal": piece})
        yield from self._tool_deltas()
        for i in indexes:
            yield self._delta(i, {}, self._finish())
        if self._usage_asked:
            yield self._envelope("chat.completion.chunk", choices=[], usage=self._usage())

    def _texts_in_turn(self) -> Iterator[dict[str, Any]]:
        """The choices' texts, one piece of each in turn, as servers that sample them together send them."""
        pieces = [list(_pieces(text, self.answer.pace.characters)) for text in self._texts]
        for step in range(max(len(p) for p in pieces)):
            for i, of_choice in enumerate(pieces):
                if step < len(of_choice):
                    yield self._delta(i, {"content": of_choice[step]})

    def _tool_deltas(self) -> Iterator[dict[str, Any]]:
        for position, call in enumerate(self.answer.tool_calls):
            head = {
                "index": position,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }
            yield self._delta(0, {"tool_calls": [head]})
            for piece in _pieces(call.arguments_text(), self.answer.pace.characters):
                yield self._delta(0, {"tool_calls": [{"index": position, "function": {"arguments": piece}}]})

    def _message(self, text: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self.answer.reasoning:
            message["reasoning_content"] = self.answer.reasoning
        if self.answer.refusal:
            message["refusal"] = self.answer.refusal
        if self.answer.tool_calls:
            message["content"] = text or None
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments_text()}}
                for c in self.answer.tool_calls
            ]
        return message

    def _delta(self, index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return self._envelope(
            "chat.completion.chunk", choices=[{"index": index, "delta": delta, "finish_reason": finish}]
        )

    def _envelope(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": CREATED, "model": self._model, **fields}

    def _finish(self) -> str:
        return self.answer.finish or ("tool_calls" if self.answer.tool_calls else "stop")

    def _usage(self) -> dict[str, int]:
        given = self.answer.usage
        prompt = given.prompt_tokens if given else self._prompt_words
        said = given.completion_tokens if given else sum(len(text.split()) for text in self._texts)
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def on_the_wire(event: bytes, wire: Wire) -> Iterator[bytes]:
    """The pieces in which one event (lines ending in LF) is written in the given manner."""
    match wire:
        case "plain":
            yield event
        case "crlf":
            yield event.replace(b"\n", b"\r\n")
        case "comments":
            yield b": keep-alive\n\n" + event
        case "multi_line":
            # A JSON text may be broken between its tokens; the reader joins data lines with LF.
            yield event.replace(b'"choices":', b'\ndata: "choices":', 1)
        case "byte_by_byte":
            for i in range(len(event)):
                yield event[i : i + 1]


def cut_inside_character(data: bytes) -> bytes:
    """`data` up to the middle of its last character of two bytes or more; with one added when it has none."""
    for i in range(len(data) - 1, -1, -1):
        if data[i] >= 0xC0:
            return data[: i + 1]
    return data.rstrip(b'\n}]"')[:-1] + b"\xc3"


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]

"""The script of a scripted model instance: what it says to what, at which pace, and how it breaks. Pure but for `load`.

docs/models.md describes the document for its authors.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from firedoor.core.redteam.disguises import DISGUISES, Disguise
from firedoor.errors import SetupError

MAX_SCRIPT_BYTES = 1_048_576
"""A script is written by hand; the largest drill scripts are a hundredth of this."""

Fault = Literal[
    "hang",  # accepts the request, never sends headers
    "hang_midway",  # sends `fault_after` events, then nothing more
    "die",  # drops the connection before the headers
    "die_midway",  # drops the connection after `fault_after` events
    "garbage",  # bytes that are not HTTP
    "garbage_event",  # an event that is not JSON after `fault_after` events
    "long_line",  # one line of 1 MB
    "wrong_type",  # the answer as text/html
    "redirect",  # 307 to another address
    "no_done",  # a stream without [DONE]
    "cut_utf8",  # ends inside a character
    "huge",  # text without end
    "status_500",
    "status_429",
]
Wire = Literal["plain", "crlf", "comments", "multi_line", "byte_by_byte"]
"""Legal ways to write the same event stream (WHATWG HTML, section 9.2.6)."""
Place = Literal["content", "reasoning", "refusal", "arguments", "second_choice"]
"""Where an answer says its `leak`."""
LEAK = "{leak}"


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every mapping of the script: an unknown key is an error."""


class When(_Part, frozen=True, kw_only=True):
    """Matches the last user message; both must hold when both are given. `matches` is a Python regular expression."""

    contains: str | None = None
    matches: str | None = None


class Pace(_Part, frozen=True, kw_only=True):
    """Text leaves in events of `characters`, `delay_ms` apart; `first_ms` is the wait before the first one."""

    characters: Annotated[int, Meta(ge=1, le=100_000)] = 12
    delay_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0
    first_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0


class ToolCall(_Part, frozen=True, kw_only=True):
    """A call of one of the shop's tools; `arguments` may be written as a mapping or as the exact text."""

    name: str
    arguments: dict[str, Any] | str = "{}"
    id: str = "call_1"

    def arguments_text(self) -> str:
        """The arguments as the JSON text that travels."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


class Usage(_Part, frozen=True, kw_only=True):
    """Token counts to report; without it, words are counted."""

    prompt_tokens: Annotated[int, Meta(ge=0)]
    completion_tokens: Annotated[int, Meta(ge=0)]


class Answer(_Part, frozen=True, kw_only=True):
    """What is said. In `text`, ``{user}`` stands for the last user message, ``{match}`` for what `matches` found
    (its first group, if it has one) and ``{leak}`` for `leak`, which otherwise follows the text.

    `choices` are the texts of the second and later choices when the caller asks for more than one. `disguise` is how
    the leak is written, `in` where it is said: in another text than the content it stands for ``{leak}`` as well, and
    follows that text otherwise.
    """

    text: str = ""
    leak: str | None = None
    disguise: Disguise | None = None
    place: Place = msgspec.field(name="in", default="content")
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    choices: tuple[str, ...] = ()
    finish: Literal["stop", "length", "tool_calls", "content_filter"] | None = None
    usage: Usage | None = None
    pace: Pace = Pace()
    wire: Wire = "plain"
    fault: Fault | None = None
    fault_after: Annotated[int, Meta(ge=0, le=100_000)] = 2

    def leaked(self) -> str:
        """The leak as it is written; empty without one."""
        leak = self.leak or ""
        return leak if self.disguise is None else DISGUISES[self.disguise](leak)


class Rule(_Part, frozen=True, kw_only=True):
    """The first rule whose `when` holds answers. `name` is what the record of requests shows."""

    name: str
    when: When = When()
    answer: Answer


class Script(_Part, frozen=True, kw_only=True):
    """The whole document. `default` answers what no rule matches; unless given, it repeats the question.

    With `cache: soft` the server plays one with a careless cache in it: see `resembles`.
    """

    firedoor_script: Literal[1] = 1
    model: str = "scripted"
    cache: Literal["none", "soft"] = "none"
    rules: tuple[Rule, ...] = ()
    default: Answer = Answer(text="You said: {user}")
    embedding_size: Annotated[int, Meta(ge=1, le=4096)] = 64

    def answer_to(self, user: str) -> tuple[str | None, Answer, str]:
        """The rule that matches `user` (None for the default), its answer, and what ``{match}`` stands for."""
        for rule in self.rules:
            match = _match(rule.when, user)
            if match is not None:
                return rule.name, rule.answer, match
        return None, self.default, ""


def resembles(user: str) -> str:
    """Questions for which this is the same are one question to a soft cache, whoever asks: their first three words."""
    return " ".join(user.casefold().split()[:3])


def spoken(answer: Answer, user: str, match: str) -> str:
    """The text of the first choice."""
    text = answer.text
    if answer.leak is not None and LEAK not in text:
        text += LEAK
    # One pass, so that a shopper who types "{leak}" gets back what they typed.
    words = {"user": user, "match": match, "leak": answer.leaked()}
    return re.sub(r"\{(user|match|leak)\}", lambda found: words[found[1]], text)


def placed(answer: Answer) -> Answer:
    """`answer` with the leak in the text that it is said in, where that is not the content."""
    if answer.leak is None or answer.place == "content":
        return answer
    leak = answer.leaked()
    rest = msgspec.structs.replace(answer, leak=None)
    match answer.place:
        case "reasoning":
            return msgspec.structs.replace(rest, reasoning=_with_leak(answer.reasoning or "", leak))
        case "refusal":
            return msgspec.structs.replace(rest, refusal=_with_leak(answer.refusal or "", leak))
        case "second_choice":
            second, *others = answer.choices or ("",)
            return msgspec.structs.replace(rest, choices=(_with_leak(second, leak), *others))
        case "arguments":
            return msgspec.structs.replace(rest, tool_calls=_calls_with_leak(answer.tool_calls, leak))


def decode(document: bytes, source: str = "script") -> Script:
    """A script from YAML 1.2 or JSON. Raises `SetupError` that names the place."""
    if len(document) > MAX_SCRIPT_BYTES:
        raise SetupError(f"{source} is larger than {MAX_SCRIPT_BYTES} bytes.", remedy="Split it.")
    try:
        script = msgspec.convert(YAML(typ="safe", pure=True).load(io.BytesIO(document)), Script)
        for rule in script.rules:
            re.compile(rule.when.matches or "")
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise SetupError(f"{source} is not YAML{where}.", remedy="See docs/models.md.") from None
    except msgspec.ValidationError as error:
        raise SetupError(f"{source}: {error}.", remedy="See docs/models.md.") from None
    except re.error as error:
        raise SetupError(
            f"{source}: `matches` is not a regular expression: {error}.", remedy="See docs/models.md."
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise SetupError(f"{source} is not readable YAML.", remedy="Write it as UTF-8.") from None
    return script


def load(path: Path) -> Script:
    """The script in file `path`. Raises `SetupError`."""
    try:
        return decode(path.read_bytes(), path.name)
    except OSError as error:
        raise SetupError(
            f"Script {path.name} cannot be read: {error.strerror}.", remedy="Name another --script."
        ) from None


def _with_leak(text: str, leak: str) -> str:
    return text.replace(LEAK, leak) if LEAK in text else text + leak


def _calls_with_leak(calls: tuple[ToolCall, ...], leak: str) -> tuple[ToolCall, ...]:
    """`calls` with the leak as part of a JSON string; a call of a tool ``note`` follows if none has a place for it."""
    texts = [call.arguments_text() for call in calls]
    if not any(LEAK in text for text in texts):
        return (*calls, ToolCall(name="note", arguments={"text": leak}, id="call_leak"))
    quoted = json.dumps(leak, ensure_ascii=False)[1:-1]
    return tuple(
        msgspec.structs.replace(call, arguments=text.replace(LEAK, quoted))
        for call, text in zip(calls, texts, strict=True)
    )


def _match(when: When, user: str) -> str | None:
    if when.contains is not None and when.contains not in user:
        return None
    if when.matches is None:
        return when.contains or ""
    found = re.search(when.matches, user)
    if found is None:
        return None
    return (found[1] or "") if found.re.groups else found[0]

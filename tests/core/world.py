"""The other side of an exchange, in memory: requests, answers, settings, and searches that crash."""

import json

from firedoor.core.answers import pieces
from firedoor.core.detect.attack.signs import Reading, Sign
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.minimise.request import minimise
from firedoor.core.plan.model import Limits, MessageFallback, PromptRules
from firedoor.core.prompts.looking import look
from firedoor.core.sse import FrameDecoder
from firedoor.core.switches import Scope, Standing

SECRET = "ALP-2210 cost EUR 41.85"
MAIL = "mia@example.org"
OPEN = Standing("open", 1)
SHUT = Standing("shut", 2, "operator", Scope("eu"))
FALLBACK_TEXT = "Our team will answer you."
CUT_TEXT = "This answer was stopped."


def leak_index(values=(SECRET,)):
    return LeakIndex(ValueIndex.build([ProtectedValue(f"v{i}", "prices", "value", v) for i, v in enumerate(values)]))


INDEX = leak_index()


def terms(**more):
    return Terms(
        model_id="eu-chat",
        model_name="small",
        remote_name="small",
        limits=Limits(),
        fallback=MessageFallback(text={"en": FALLBACK_TEXT}),
        cut_text={"en": CUT_TEXT},
        **more,
    )


def call(route="chat"):
    return Call(
        exchange="fx-1",
        route=route,
        scope=Scope("eu", "shop", "support", "eu-chat"),
        credential="c1",
        plan="p",
        began=1,
    )


def find_mail(text):
    from firedoor.core.detect.spans import Span

    start = text.find(MAIL)
    return [Span(start, start + len(MAIL), "EMAIL", "test")] if start >= 0 else []


def inspected(request, index=INDEX, look=None):
    done = minimise(request, find_mail)
    return ev.Inspected(done.request, done.placeholders, done.counts, index.guard(index.read(request)), look=look)


def reading(score, *, asked=(), rule="model.shopper"):
    """A reading of a text of ten characters or more, which is an attack from 0.5 on."""
    signs = [Sign(rule, 0, 10, "plain", score, "model")] if score >= 0.5 else []
    signs += [Sign(f"asked.{one}", 0, 10, "plain", 0.9, "asked") for one in asked]
    return Reading(score, tuple(signs), dict.fromkeys(asked, 0.9), 20 * (score - 0.5), dict.fromkeys(asked, 2.0))


def looked(request, *, rules=None, marks=None, guarded=frozenset()):
    """What is seen in `request` where each text that holds a mark is read as the mark says."""

    def read(text, _):
        found = [one for mark, one in (marks or {}).items() if mark in text]
        score = max((one.score for one in found), default=0.01)
        return reading(score, asked=[name for one in found for name in one.asked])

    return look(request, read, rules or PromptRules(), guarded)


def let_through(exchange, effects):
    """`effects`; where the breaker is asked, what follows when it lets the exchange through."""
    out = []
    for effect in effects:
        out += exchange.handle(ev.MayCall()) if isinstance(effect, do.AskBreaker) else [effect]
    return out


def body(text=f"Hello, I am {MAIL}", **more):
    return json.dumps({"model": "small", "messages": [{"role": "user", "content": text}], **more}).encode()


def chunk(text=None, *, finish=None, index=0):
    delta = {} if text is None else {"content": text}
    document = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "small",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def answer(text, choices=1):
    message = {"role": "assistant", "content": text}
    document = {"id": "c1", "object": "chat.completion", "created": 1, "model": "small"}
    given = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(choices)]
    return json.dumps({**document, "choices": given}).encode()


def documents(data):
    """What stands in the frames of event-stream bytes."""
    decoder = FrameDecoder()
    frames = decoder.feed(data) + decoder.finish()
    return [json.loads(frame.data) for frame in frames if frame.data and frame.data != b"[DONE]"]


def streamed_text(data):
    """The content a caller reads from event-stream bytes."""
    return "".join(p.text for one in documents(data) for p in pieces(one) if p.channel is not None)


def whole_text(data):
    return "".join(p.text for p in pieces(json.loads(data)) if p.channel is not None)


class Crashes:
    """An index whose watches fail once they were given more than `after` characters, or at the end."""

    def __init__(self, after):
        self.after = after
        self.given = 0
        self.crashed = False

    def guard(self, brought):
        self.inner = INDEX.guard(brought)
        return self

    read = staticmethod(INDEX.read)
    brings_something = False

    def look(self, text):
        return self.inner.look(text)

    def touched(self):
        return ()

    def watch(self):
        return _CrashingWatch(self, self.inner.watch())


class _CrashingWatch:
    def __init__(self, index, inner):
        self.index = index
        self.inner = inner
        self.held_from = inner.held_from

    def feed(self, text):
        self.index.given += len(text)
        if self.index.given > self.index.after:
            self.index.crashed = True
            raise IndexError(SECRET)
        return self.inner.feed(text)

    def end(self):
        if self.index.after % 2:
            self.index.crashed = True
            raise IndexError(SECRET)
        return self.inner.end()

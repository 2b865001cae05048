"""Inspection beside the event loop: given up when nobody waits, and never a pass when it failed."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.values import ValueIndex
from firedoor.core.detect.own.text import OwnFolding
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.model import PersonalDataRules
from firedoor.gateway.service import AT_ONCE, Guarded, Inspector, Searches, weight_of

NOTHING = frozenset()


def inspector(find, beside):
    searches = Searches(find=find, find_beside=find, rules=find, folding=OwnFolding(), beside=beside)
    index = LeakIndex(ValueIndex.build([]))
    return Inspector(searches, Handlings(PersonalDataRules()), Guarded(index, lambda: index), lambda: 2026)


def chat(*texts):
    return {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}


def test_the_thread_stops_when_nobody_waits_any_more():
    searched, begun, on = [], threading.Event(), threading.Event()

    def find(text):
        searched.append(text)
        begun.set()
        on.wait(10)
        return []

    async def go():
        looking = inspector(find, beside)
        task = asyncio.create_task(looking.inspect_in_thread(chat(*map(str, range(50))), None, NOTHING))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        on.set()
        await asyncio.wait_for(looking.inspect_in_thread(chat("next"), None, NOTHING), 10)

    with ThreadPoolExecutor(1) as beside:
        asyncio.run(go())
    assert searched == ["0", "next"]


def test_a_search_that_fails_is_not_one_that_found_nothing():
    def find(_):
        raise RuntimeError

    async def go():
        looking = inspector(find, beside)
        with pytest.raises(RuntimeError):
            await looking.inspect_in_thread(chat("x"), None, NOTHING)
        with pytest.raises(RuntimeError):
            await looking.inspect(chat("x"), None, NOTHING)

    with ThreadPoolExecutor(1) as beside:
        asyncio.run(go())


@pytest.mark.parametrize(
    ("body", "at_once"),
    [
        (b'{"model":"m","messages":[{"role":"user","content":"' + b"where is my order? " * 150 + b'"}]}', True),
        (b'{"model":"m","metadata":{' + b'"k":"12345",' * 100 + b"}}", False),
        (b"[" + b"123456," * 300 + b"]", False),
        (b"x" * (AT_ONCE + 1), False),
    ],
)
def test_many_small_values_weigh_more_than_one_text(body, at_once):
    assert (weight_of(body) <= AT_ONCE) is at_once

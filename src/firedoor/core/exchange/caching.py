"""What an exchange has to do with the answer cache, in the words of `core/cache.py`."""

from __future__ import annotations

from typing import Any

from firedoor.core import cache
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.exchange.events import Inspected
from firedoor.core.exchange.release import Inspection
from firedoor.core.minimise.placeholders import Placeholders
from firedoor.core.switches import Standing


def partition(call: Call, terms: Terms, inspected: Inspected, standing: Standing) -> cache.Partition | None:
    """The partition that the answer may come from and go to; None where there is none for this request."""
    rules = terms.cache
    if rules is None or call.route != "chat":
        return None
    asked = cache.Asked(
        personal=bool(inspected.counts or inspected.passed or inspected.shadow),
        record=inspected.record,
        protected=bool(call.granted) or inspected.guard.brings_something,
    )
    if not cache.may_be_asked(rules, inspected.request, asked):
        return None
    return cache.partition_of(
        rules,
        call.scope,
        inspected.request,
        subject=call.subject,
        role=call.role,
        granted=call.granted,
        jurisdiction=call.jurisdiction,
        plan=call.plan,
        remote_name=terms.remote_name,
        in_force=terms.in_force,
        cache_epoch=standing.cache_epoch,
    )


def as_sent(call: Call, terms: Terms, kept: cache.Found, request: dict[str, Any], *, stream: bool) -> bytes:
    """A kept answer in the bytes that a model server would send."""
    return cache.as_sent(
        kept, request, stream=stream, model=terms.model_name, created=call.began, completion_id=call.exchange
    )


def text_to_keep(
    inspection: Inspection | None, outcome: str, finish_reason: str | None, findings: int, placeholders: Placeholders
) -> str | None:
    """The text of an answer whose outcome is durable, if it may be given again; else None."""
    if inspection is None:
        return None
    return cache.may_be_kept(
        cache.Said(
            texts=inspection.released_text(),
            outcome=outcome,
            finish_reason=finish_reason,
            findings=findings,
            restored=sum(placeholders.restored.values()),
            invented=placeholders.invented,
            recorded=True,
        )
    )

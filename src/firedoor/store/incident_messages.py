"""Messages to other systems that wait in control's database: queued with the entries they tell of, until taken.

Codes only, and sealed all the same. A system that is gone for long keeps nobody waiting: above `QUEUE` its oldest
messages are dropped and counted, and so are those of one that is gone from the plan.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from firedoor.core.incident.hooks import Message
from firedoor.errors import KeyUnusable
from firedoor.store.box import Box
from firedoor.store.incident_tables import DROPPED, MESSAGES

log = logging.getLogger("firedoor.incidents")

MESSAGE_LIMIT: Final = 16 * 1024
"""Bytes of a body: ids, codes and moments of one entry."""
QUEUE: Final = 5000
"""Messages that wait for one system: what fifty cases of a hundred entries tell it while it is away."""
AT_ONCE: Final = 100
"""Messages read in one transaction."""
_MICRO: Final = 1_000_000


def row(message: Message, box: Box) -> dict[str, Any]:
    """As it is put into the queue. Raises ValueError for one that is too large."""
    if len(message.body) > MESSAGE_LIMIT or not 0 < len(message.id) <= 200:
        raise ValueError(f"a message has an id of 1 to 200 characters and at most {MESSAGE_LIMIT} bytes")
    return {
        "system": message.system,
        "id": message.id,
        "not_before": round(message.not_before * _MICRO),
        "tries": message.tries,
        "content": box.seal(message.body, _purpose(message.system, message.id)),
    }


def put(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Queue them behind the others. One that waits already stays where it is."""
    for one in rows:
        if connection.scalar(sa.select(MESSAGES.c.position).where(_is(one["system"], one["id"]))) is None:
            position = (connection.scalar(sa.select(sa.func.max(MESSAGES.c.position))) or 0) + 1
            connection.execute(MESSAGES.insert(), {"position": position, **one})
    for system in {one["system"] for one in rows}:
        _shorten(connection, system)


def waiting(connection: sa.Connection, box: Box, system: str, limit: int) -> list[Message]:
    """The oldest for `system`, whether they may be sent now or not: a later one never overtakes."""
    found: list[Message] = []
    after = 0
    limit = min(limit, AT_ONCE)
    while len(found) < limit:
        query = (
            MESSAGES.select()
            .where(MESSAGES.c.system == system, MESSAGES.c.position > after)
            .order_by(MESSAGES.c.position)
            .limit(limit - len(found))
        )
        rows = connection.execute(query).all()
        for one in rows:
            try:
                body = box.open(one.content, _purpose(one.system, one.id))
            except KeyUnusable:
                log.error("a message to %s does not open: it is not sent", one.system)
                continue
            found.append(Message(one.id, one.system, body, one.not_before / _MICRO, one.tries))
        if not rows:
            break
        after = rows[-1].position
    return found


def remove(connection: sa.Connection, message: Message) -> None:
    """It was taken."""
    connection.execute(MESSAGES.delete().where(_is(message.system, message.id)))


def postpone(connection: sa.Connection, message: Message, not_before: float) -> None:
    """It was not taken: once more, from `not_before` (Unix seconds) on."""
    later = {"not_before": round(not_before * _MICRO), "tries": MESSAGES.c.tries + 1}
    connection.execute(MESSAGES.update().where(_is(message.system, message.id)).values(later))


def drop_others(connection: sa.Connection, systems: Collection[str]) -> None:
    """Drop what waits for any but `systems`, and count it: the plan does not have them told any more."""
    query = sa.select(MESSAGES.c.system, sa.func.count().label("messages")).group_by(MESSAGES.c.system)
    for row in connection.execute(query).all():
        if row.system not in systems:
            connection.execute(MESSAGES.delete().where(MESSAGES.c.system == row.system))
            _count(connection, row.system, row.messages)
            log.warning("%d messages to %s were dropped: the plan has it told nothing here", row.messages, row.system)


def _count(connection: sa.Connection, system: str, messages: int) -> None:
    more = {"messages": DROPPED.c.messages + messages}
    if not connection.execute(DROPPED.update().where(DROPPED.c.system == system).values(more)).rowcount:
        connection.execute(DROPPED.insert(), {"system": system, "messages": messages})


def _shorten(connection: sa.Connection, system: str) -> None:
    """Drop the oldest above `QUEUE`, and count them."""
    mine = MESSAGES.c.system == system
    waiting = connection.scalar(sa.select(sa.func.count()).select_from(MESSAGES).where(mine)) or 0
    over = waiting - QUEUE
    if over <= 0:
        return
    oldest = sa.select(MESSAGES.c.position).where(mine).order_by(MESSAGES.c.position).limit(over)
    connection.execute(MESSAGES.delete().where(MESSAGES.c.position.in_(oldest)))
    _count(connection, system, over)
    log.error("%d messages to %s were dropped: more than %d wait for it", over, system, QUEUE)


def _is(system: str, id_: str) -> Any:
    return (MESSAGES.c.system == system) & (MESSAGES.c.id == id_)


def _purpose(system: str, id_: str) -> str:
    """What a message is sealed for. The name of a system has no slash."""
    return msgspec.json.encode(("incident message", system, id_)).decode()

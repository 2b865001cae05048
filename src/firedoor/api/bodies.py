"""Bodies of the control API: JSON in, decoded strictly within a limit, and JSON out."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from firedoor.errors import ActRefused

BODY_LIMIT = 16 * 1024
"""Bytes of a request body: an act with a signature and a note of 500 characters is under 5 kB."""

_Body = TypeVar("_Body", bound=Struct)


async def read(request: Request, shape: type[_Body], limit: int = BODY_LIMIT) -> _Body:
    """The body, decoded strictly, within `limit` whatever its length header says. Raises `ActRefused`."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise ActRefused("body_too_large", f"The body is larger than {limit} bytes.")
    try:
        return msgspec.json.decode(bytes(data), type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise ActRefused(
            "bad_body", f"The body is not as it must be: {reason}.", remedy="See /control/v1/openapi.json."
        ) from None


def answer(value: Any, status: int = 200) -> Response:
    """`value` as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")

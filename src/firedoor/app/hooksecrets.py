"""The secrets that a region and its other systems sign with: read when used, so that a new one holds at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from firedoor.core.incident.webhook import parse_secrets
from firedoor.core.plan.response import OtherSystem
from firedoor.errors import KeyUnusable
from firedoor.keys.roots.common import read_secret


def secrets_of(systems: Mapping[str, OtherSystem], name: str, plan_folder: Path) -> tuple[bytes, ...]:
    """The secrets of system `name` of the plan; its file must be private. Blocks for the disk. Raises `KeyUnusable`."""
    file = systems[name].secret_file
    if file is None:
        raise KeyUnusable(f"System {name} has no secret.", remedy="Add its `secret_file` to the plan.")
    text = read_secret(plan_folder / file, f"secret file of system {name}")
    try:
        return parse_secrets(text)
    except ValueError as error:
        raise KeyUnusable(
            f"The secret file of system {name} cannot be used: {error}.",
            remedy="Write one line: whsec_ and the base64 of 32 random bytes.",
        ) from None


async def read_secrets(systems: Mapping[str, OtherSystem], name: str, plan_folder: Path) -> tuple[bytes, ...]:
    """The same, without keeping the event loop waiting."""
    return await asyncio.to_thread(secrets_of, systems, name, plan_folder)

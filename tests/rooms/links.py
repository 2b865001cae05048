"""Links between processes that tests cut, hang, slow down and heal: a TCP proxy, and a network namespace for root."""

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import threading

import pytest

NO_NAMESPACES = "network namespaces take root and `ip` (Debian: iproute2)"


class Link:
    """A TCP proxy to a port of 127.0.0.1, in a thread of its own; `port` is where to connect, and stays the same.

    `cut`: connections break, new ones are refused. `hang`: connections stay, new ones are taken, and nothing passes any
    more, as when packets vanish; what was sent meanwhile arrives after `heal`. `delay`: what passes takes that long.
    """

    def __init__(self, to_port, from_port=0):
        self.port = from_port
        self._to = to_port
        self._loop = asyncio.new_event_loop()
        self._server = None
        self._open = asyncio.Event()
        self._open.set()
        self._delay = 0.0
        self._streams = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def cut(self):
        self._do(self._cut())

    def hang(self):
        self._do(self._hang())

    def heal(self):
        self._do(self._listen())

    def delay(self, seconds):
        self._delay = seconds

    def close(self):
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _hang(self):
        self._open.clear()

    async def _cut(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for stream in self._streams:
            stream.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self._streams.add(writer)
        try:
            await self._open.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            self._streams.discard(writer)
            return
        self._streams.add(back)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer), return_exceptions=True)
        for stream in (writer, back):
            stream.transport.abort()
            self._streams.discard(stream)

    async def _pump(self, source, sink):
        """Until one side is closed; then the other is too."""
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


class Namespace:
    """A network of its own beside this one, joined by a cable. Start processes there with `prefix` before the command.

    `there` is the address of a process in it, `here` of one outside. While it is `dropped`, packets vanish: no end of
    a connection is told. Skips the test where this cannot be made.
    """

    _numbers = itertools.count()

    def __init__(self):
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip(NO_NAMESPACES)
        number = next(self._numbers)
        self._name = f"firedoor-{os.getpid()}-{number}"
        self._cable = f"fd{os.getpid() % 100_000}x{number}"
        block = (os.getpid() * 4 + number * 4) % 65_536
        low, high = block % 256 & ~3, block // 256
        self.here, self.there = f"10.203.{high}.{low + 1}", f"10.203.{high}.{low + 2}"
        self.prefix = ["ip", "netns", "exec", self._name]
        try:
            self._ip("netns", "add", self._name)
            self._ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._name)
            self._ip("address", "add", f"{self.here}/30", "dev", self._cable)
            self._ip("link", "set", self._cable, "up")
            self._ip("-n", self._name, "address", "add", f"{self.there}/30", "dev", "eth0")
            self._ip("-n", self._name, "link", "set", "eth0", "up")
            self._ip("-n", self._name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError:
            self.close()
            pytest.skip(NO_NAMESPACES)

    def drop(self):
        self._ip("-n", self._name, "link", "set", "eth0", "down")

    def heal(self):
        self._ip("-n", self._name, "link", "set", "eth0", "up")

    def close(self):
        for command in (("link", "delete", self._cable), ("netns", "delete", self._name)):
            with contextlib.suppress(subprocess.CalledProcessError):
                self._ip(*command)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)

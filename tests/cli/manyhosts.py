"""A region of several hosts: its real control with its API; what the hosts say is said by the test."""

import asyncio
import contextlib
import threading

from firedoor.api.app import build
from firedoor.api.server import serve
from firedoor.control.hosts import Hosts
from firedoor.control.service import serve_control
from firedoor.core.hosts import HostSaid, seal

from ..rooms.region import Region  # noqa: TID252  # tests are no installed package

KEY = bytes(range(32))


class Controlled:
    """A region with several hosts: its real control speaks on the bus only, and this machine has no page."""

    def __init__(self, root):
        self.region = Region(root)
        self.clock = 1000.0
        self.count = 0

    @contextlib.contextmanager
    def running(self):
        ready, over = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready, over)))
        thread.start()
        try:
            assert ready.wait(30)
            yield self
        finally:
            over.set()
            thread.join(30)

    async def _serve(self, ready, over):
        async with self.region.control(begin=False, own_host=False) as board:
            self.board, shown = board, asyncio.Event()
            self.hosts = Hosts("eu", KEY, board, lambda: self.clock, ask=lambda: None, beat=lambda: 0)
            tasks = [asyncio.create_task(serve_control(board, asyncio.Event(), shown.set, beat=0.25))]
            await shown.wait()
            socket = self.region.home.control_socket
            tasks.append(asyncio.create_task(serve(build(board, self.hosts), socket, ready.set)))
            self.loop = asyncio.get_running_loop()
            await asyncio.to_thread(over.wait)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def hear(self, name, **more):
        """A message of a host, as the bus would bring it."""
        self.count += 1
        values = {"version": self.board.table.version, "age_ms": 20, "workers": 4}
        said = HostSaid(region="eu", host=name, count=self.count, **{**values, **more})
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (self.hosts.take(seal(said, KEY)), done.set()))
        assert done.wait(10)

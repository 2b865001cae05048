"""Control of a region with cases in a thread, people with key files, and the command line."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import typer
from typer.testing import CliRunner

from firedoor.api.app import build
from firedoor.api.server import serve
from firedoor.cli import incident_cmds, switch_cmds, switches_show
from firedoor.config import Home
from firedoor.control.service import serve_control
from firedoor.errors import ActRefused
from firedoor.keys import people as keys

from ..rooms.caseregion import CaseRegion  # noqa: TID252  # tests are no installed package
from ..rooms.region import People  # noqa: TID252

PASSPHRASE = "correct horse battery staple"
ONE = "eu/alpen/support/m0"


class Now(CaseRegion):
    """A region on the real clock: the commands sign with it."""

    now = property(lambda self: time.time(), lambda self, value: None)


def commands():
    app = typer.Typer()
    app.add_typer(incident_cmds.app, name="incident")
    app.add_typer(switches_show.app, name="switches")
    app.command()(switch_cmds.shut)
    return app


class House:
    """Control of region eu in a thread, with its cases; people with key files; and the command line."""

    def __init__(self, folder):
        self.home = Home(folder)
        people = People()
        for who in ("ana", "ben", "cem"):
            people.keys[who] = keys.create(self.home.keys / f"{who}.key", PASSPHRASE)
        self.region = Now(self.home.region("eu").root, people)
        self.loop = self.stop = self.thread = None

    def start(self):
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self.thread.start()
        assert ready.wait(60)

    async def _serve(self, ready):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.region.cases(begin=False) as board:
            shown = asyncio.Event()
            tasks = [asyncio.create_task(serve_control(board, asyncio.Event(), shown.set, beat=0.25))]
            await shown.wait()
            app = build(board, cases=self.region.incidents)
            tasks.append(asyncio.create_task(serve(app, self.region.home.control_socket, ready.set)))
            await self.stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self):
        if self.thread is not None:
            self.loop.call_soon_threadsafe(self.stop.set)
            self.thread.join(60)
            self.thread = None

    def add(self, case, payload):
        """What the first minute writes."""
        return asyncio.run_coroutine_threadsafe(self.region.incidents.add(case, payload), self.loop).result(60)

    def invoke(self, *args, text=None):
        env = {"FIREDOOR_HOME": str(self.home.root), "FIREDOOR_PASSPHRASE": PASSPHRASE, "COLUMNS": "200"}
        return CliRunner().invoke(commands(), list(map(str, args)), input=text, env=env)

    def run(self, *args, code=0, text=None):
        result = self.invoke(*args, text=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def incident(self, *args, **more):
        return self.run("incident", *args, **more).stdout

    def json(self, *args, **more):
        return json.loads(self.run("incident", *args, "--json", **more).stdout)

    def refused(self, code, *args):
        """What was refused, and all that was said before."""
        result = self.invoke("incident", *args)
        assert isinstance(result.exception, ActRefused), result.output
        assert result.exception.code == code, result.exception
        return f"{result.output}\n{result.exception}"

    def open(self, title="A customer called", by="cem", *more):
        """The id of a case that nothing is shut for."""
        return self.json("open", title, "--scope", ONE, "--as", by, *more)["case"]


@contextlib.contextmanager
def running_house():
    """A house whose control runs."""
    folder = Path(tempfile.mkdtemp(prefix="fd"))  # a Unix socket's path is short
    made = House(folder)
    made.start()
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)

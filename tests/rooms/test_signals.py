"""SIGHUP asks for new processes, and ends `firedoor up` where its terminal is gone."""

import os
import pty
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from firedoor.app.signals import on_hangup

async def main():
    told = asyncio.Queue()
    on_hangup(lambda: told.put_nowait("renew"), lambda: told.put_nowait("stop"))
    print("ready", flush=True)
    print(await told.get())

asyncio.run(main())
"""


@pytest.mark.parametrize(("terminal", "told"), [("there", "renew"), ("gone", "stop"), ("none", "renew")])
def test_a_hangup(terminal, told):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.DEVNULL if terminal == "none" else slave, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        os.close(slave)
        assert process.stdout.readline() == "ready\n"
        if terminal == "gone":
            os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=60)[0] == f"{told}\n"
    finally:
        process.kill()
        process.wait()
        if terminal != "gone":
            os.close(master)

import asyncio
import socket

import pytest

from firedoor.bus.nudge import NudgeReceiver, NudgeSender
from firedoor.errors import SetupError


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_a_nudge_arrives_and_many_are_few(tmp_path):
    path = tmp_path / "n"

    async def life():
        nudged = asyncio.Event()
        calls = []
        receiver = NudgeReceiver(path, lambda: (calls.append(1), nudged.set()))
        receiver.start()
        assert path.stat().st_mode & 0o777 == 0o600
        sender = NudgeSender(path)
        for _ in range(5):
            sender.send()
        await nudged.wait()
        assert sender.failed == 0
        assert len(calls) == 1
        receiver.close()
        assert not path.exists()
        sender.close()

    run(life())


def test_nobody_there_is_counted_and_later_somebody_is(tmp_path):
    path = tmp_path / "n"

    async def life():
        sender = NudgeSender(path)
        sender.send()
        assert sender.failed == 1
        nudged = asyncio.Event()
        receiver = NudgeReceiver(path, nudged.set)
        receiver.start()
        sender.send()
        await nudged.wait()
        receiver.close()
        sender.send()
        assert sender.failed == 2
        sender.close()

    run(life())


def test_a_receiver_that_does_not_read_never_blocks_the_sender(tmp_path):
    path = tmp_path / "n"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    sender = NudgeSender(path)
    for _ in range(5000):
        sender.send()
    assert 0 < sender.failed < 5000
    sender.close()
    listener.close()


def test_a_socket_left_by_a_crash_is_replaced_but_no_other_file(tmp_path):
    path = tmp_path / "n"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(path))
    left.close()

    async def life():
        receiver = NudgeReceiver(path, lambda: None)
        receiver.start()
        receiver.close()
        path.write_text("mine")
        with pytest.raises(SetupError):
            NudgeReceiver(path, lambda: None).start()
        assert path.read_text() == "mine"
        with pytest.raises(SetupError, match="longer"):
            NudgeReceiver(tmp_path / ("x" * 120), lambda: None).start()

    run(life())

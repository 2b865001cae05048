import asyncio
import socket

import pytest

from firedoor.bus.nudge import SOCKETS, NudgeAll, NudgeReceiver, NudgeSender
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


def bound(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    return listener


def test_all_who_listen_are_nudged_and_nobody_stops_the_others(tmp_path):
    nudges = NudgeAll(tmp_path)
    nudges.send()
    live = [bound(tmp_path / f"worker-{n}.sock") for n in range(3)]
    bound(tmp_path / "worker-8.sock").close()  # of a worker that was killed
    (tmp_path / "worker-9.sock").write_text("no socket")
    other = bound(tmp_path / "other")
    for _ in range(5000):  # the one that does not read is passed over in the end
        nudges.send()
        assert [listener.recv(16) for listener in live[1:]] == [b"!", b"!"]
    assert nudges.listening() == 3
    with pytest.raises(BlockingIOError):
        other.recv(16)
    for listener in (*live, other):
        listener.close()
    assert nudges.listening() == 0
    assert len(list(tmp_path.iterdir())) == 6  # nothing is removed


def test_a_folder_that_is_not_there_or_too_full(tmp_path):
    nudges = NudgeAll(tmp_path / "nowhere")
    nudges.send()
    assert nudges.listening() == 0
    live = [bound(tmp_path / f"w{n}.sock") for n in range(SOCKETS + 5)]
    assert NudgeAll(tmp_path).listening() == SOCKETS
    for listener in live:
        listener.close()


def test_a_socket_that_another_process_put_there_is_not_removed(tmp_path):
    path = tmp_path / "n"

    async def life():
        first, second = NudgeReceiver(path, lambda: None), NudgeReceiver(path, lambda: None)
        first.start()
        second.start()
        first.close()
        assert path.exists()
        second.close()
        assert not path.exists()

    run(life())

"""What only the bus of one machine has: sockets in a folder, their owners, and what the kernel keeps for each."""

import asyncio
import fcntl
import os
import socket
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.test_bus import TABLE, listening, opened, run, until

from firedoor.bus import local
from firedoor.bus.local import MESSAGE_BYTES, PEERS, LocalBus
from firedoor.errors import SetupError


def dead_socket(path):
    """The socket of a process that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    program = "import os,socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(sys.argv[1]); os.abort()"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False, stderr=subprocess.DEVNULL)
    assert path.is_socket()


def deaf(path):
    """A socket that nobody reads."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    return listener


def test_folder_and_socket_are_this_users_only_and_go_with_it(tmp_path):
    folder = tmp_path / "bus"
    bus = LocalBus(folder, "one")

    async def life():
        await bus.open()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "one.sock").stat().st_mode & 0o777 == 0o600
        bus.close()
        bus.close()
        assert [*folder.iterdir()] == []

    run(life())


def test_the_socket_of_a_dead_process_is_taken_over(tmp_path):
    dead_socket(tmp_path / "two.sock")
    one, two = LocalBus(tmp_path, "one"), LocalBus(tmp_path, "two")
    got = listening(two)

    async def life():
        async with opened(one, two):
            one.publish(TABLE, b"m")
            await until(lambda: got)
            assert one.failed == 0

    run(life())


def test_the_name_of_a_living_process_is_not_taken(tmp_path):
    one, again = LocalBus(tmp_path, "one"), LocalBus(tmp_path, "one")
    got = listening(one)

    async def life():
        async with opened(one, LocalBus(tmp_path, "two")):
            with pytest.raises(SetupError, match="runs already"):
                await again.open()
            again.close()
            other = LocalBus(tmp_path, "three")
            async with opened(other):
                other.publish(TABLE, b"m")
                await until(lambda: got)  # it still listens

    run(life())


def test_one_that_stopped_and_came_again_is_told_at_once(tmp_path):
    one = LocalBus(tmp_path, "one")

    async def life():
        async with opened(one):
            for number in range(3):
                two = LocalBus(tmp_path, "two")
                got = listening(two)
                async with opened(two):
                    one.publish(TABLE, b"%d" % number)
                    await until(lambda got=got: got)
            assert one.failed == 0

    run(life())


def test_the_socket_of_a_killed_process_is_counted_and_removed(tmp_path):
    one = LocalBus(tmp_path, "one")

    async def life():
        async with opened(one):
            dead_socket(tmp_path / "gone.sock")
            one.publish(TABLE, b"m")
            assert one.failed == 1
            assert not (tmp_path / "gone.sock").exists()
            one.publish(TABLE, b"m")
            assert one.failed == 1

    run(life())


def test_nothing_is_removed_while_another_process_has_the_lock(tmp_path):
    one = LocalBus(tmp_path, "one")

    async def life():
        async with opened(one):
            dead_socket(tmp_path / "gone.sock")
            held = os.open(tmp_path, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
            one.publish(TABLE, b"m")
            assert one.failed == 1
            assert (tmp_path / "gone.sock").exists()
            os.close(held)

    run(life())


def test_a_folder_that_stays_locked_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_LOCK_SECONDS", 0.05)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(SetupError, match="locked"):
        run(LocalBus(tmp_path, "one").open())
    os.close(held)


@pytest.mark.parametrize("what", ["socket", "folder"])
def test_a_socket_that_somebody_removed_comes_back(tmp_path, what):
    folder = tmp_path / "bus"
    one, two = LocalBus(folder, "one"), LocalBus(folder, "two")
    got = listening(two)

    async def life():
        async with opened(one, two):
            for round_ in range(2):
                (folder / "two.sock").unlink()
                if what == "folder":
                    (folder / "one.sock").unlink()
                    folder.rmdir()
                two.publish(TABLE, b"a beat")
                one.publish(TABLE, b"%d" % round_)
                await until(lambda round_=round_: len(got) > round_)
            assert got == [b"0", b"1"]

    run(life())


def test_what_is_no_socket_is_left_alone(tmp_path):
    for name in ("a.sock", "two.sock"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "b.sock").mkdir()
    (tmp_path / "c.sock").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d.socket").write_text("not a name of the bus")
    one = LocalBus(tmp_path, "one")

    async def life():
        async with opened(one):
            one.publish(TABLE, b"m")
            assert one.failed == 4
            assert (tmp_path / "a.sock").read_text() == "mine"
        with pytest.raises(SetupError, match=r"two\.sock cannot be made"):
            await LocalBus(tmp_path, "two").open()
        assert (tmp_path / "two.sock").read_text() == "mine"

    run(life())


@pytest.mark.parametrize("over", [0, 1])
def test_the_path_of_a_socket_has_a_bound(tmp_path, over):
    name = "n" * (107 + over - len(os.fsencode(tmp_path)) - len("/.sock"))
    bus = LocalBus(tmp_path, name)

    async def life():
        if over:
            with pytest.raises(SetupError, match="longer than 107 bytes"):
                await bus.open()
        else:
            await bus.open()
            bus.close()

    run(life())


def test_who_does_not_read_costs_the_others_nothing(tmp_path):
    one, two = LocalBus(tmp_path, "one"), LocalBus(tmp_path, "two")
    got = listening(two)
    message = b"x" * MESSAGE_BYTES

    async def life():
        with deaf(tmp_path / "deaf.sock"):
            async with opened(one, two):
                for number in range(1, 41):
                    one.publish(TABLE, message)
                    await until(lambda number=number: len(got) == number)
                assert 0 < one.failed <= 40

    run(life())


def test_more_peers_than_it_tells_are_counted(tmp_path):
    one = LocalBus(tmp_path, "one")

    async def life():
        async with opened(one):
            listeners = [deaf(tmp_path / f"p{i}.sock") for i in range(PEERS + 1)]
            one.publish(TABLE, b"m")
            assert one.failed == 2
            for listener in listeners:
                listener.close()

    run(life())


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Has a bus take any datagram: `raw(datagram)` gives what it gave on, and how many it ignored."""
    folder = tmp_path_factory.mktemp("raw")

    def take(datagram):
        one = LocalBus(folder, "one")
        got = listening(one)

        async def life():
            async with opened(one):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                    for bytes_ in (datagram, f"{TABLE}\nend".encode()):
                        sender.sendto(bytes_, str(folder / "one.sock"))
                await until(lambda: b"end" in got)

        run(life())
        return got[:-1], one.ignored

    return take


@given(st.binary(max_size=400))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_datagram_is_ignored(raw, datagram):
    assert raw(datagram) == ([], 1)


@pytest.mark.parametrize(
    ("datagram", "given_on"),
    [
        (f"{TABLE}\n".encode(), [b""]),
        (f"{TABLE}\n\n".encode(), [b"\n"]),
        (TABLE.encode(), []),
        (f"{TABLE} \nm".encode(), []),
        (f"{TABLE}\0\nm".encode(), []),
        (TABLE.upper().encode() + b"\nm", []),
        (b"\n" + TABLE.encode() + b"\nm", []),
        (b"x" * 100_000, []),
        (f"{TABLE}\n".encode() + b"x" * MESSAGE_BYTES, [b"x" * MESSAGE_BYTES]),
        (f"{TABLE}\n".encode() + b"x" * (MESSAGE_BYTES + 1), []),
        (f"{TABLE}\n".encode() + b"x" * (MESSAGE_BYTES + 2000), []),
    ],
)
def test_only_a_whole_message_of_a_topic_is_given_on(raw, datagram, given_on):
    assert raw(datagram) == (given_on, 0 if given_on else 1)


def test_many_waiting_datagrams_do_not_hold_up_the_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "DRAIN", 2)
    one, two = LocalBus(tmp_path, "one"), LocalBus(tmp_path, "two")
    got, seen = listening(two), []

    async def life():
        async with opened(one, two):
            for _ in range(8):
                one.publish(TABLE, b"m")
            while len(got) < 8:
                await asyncio.sleep(0)
                seen.append(len(got))
            assert set(seen) >= {2, 4, 6, 8}

    run(life())

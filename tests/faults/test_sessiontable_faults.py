"""The session table when a worker is killed in the middle of writing, and when the disk is full."""

import errno
import os
import subprocess
import sys
import time

import pytest

from firedoor.core.sessions import OBSERVE, Key, Turn
from firedoor.errors import SetupError
from firedoor.store.sessiontable import SessionTable

SECRET = bytes(range(32))
BAD = Turn(weak=1.0, attack=True, asked=1)
MARKED = [Key("session", f"marked {number}") for number in range(20)]

WRITER = """
import sys, time
from pathlib import Path
from firedoor.core.sessions import Key, Turn
from firedoor.store.sessiontable import SessionTable

path, slot = Path(sys.argv[1]), int(sys.argv[2])
table = SessionTable.open(path, slot, bytes(range(32)))
bad = Turn(weak=1.0, attack=True, asked=1)
for _ in range(4):
    for number in range(20):
        table.note([Key("session", f"marked {number}")], bad, time.time())
print("marked", flush=True)
number = 0
while True:
    number += 1
    # Forty keys over and over, and new ones that displace others.
    keys = [Key("subject", f"busy {number % 40}"), Key("session", f"passing {slot} {number}")]
    table.note(keys, Turn(weak=-2.0, near=1, compared=(float(number % 90),), rows=(number,)), time.time())
"""


def seen(table, keys, now):
    """What holds for `keys` as they are: an empty turn adds nothing."""
    return table.note(keys, Turn(), now)


def test_sessions_outlive_workers_that_are_killed(tmp_path):
    path = tmp_path / "sessions.table"
    reader = SessionTable.open(path, 2, SECRET)
    for round_ in range(4):
        workers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(slot)], stdout=subprocess.PIPE)
            for slot in (0, 1)
        ]
        try:
            for worker in workers:
                assert worker.stdout.readline() == b"marked\n"
            end = time.monotonic() + 0.2 + 0.05 * round_
            while time.monotonic() < end:
                assert seen(reader, [Key("session", "innocent")], time.time()) == OBSERVE
                assert 0 <= seen(reader, [Key("subject", "busy 7")], time.time()).load <= 3.001 * 2
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                worker.stdout.close()
        again = SessionTable.open(path, 0, SECRET)
        assert again.counts["begun_anew"] == 0
        for key in MARKED:
            assert seen(again, [key], time.time()).rung == "refuse"
        assert seen(again, [Key("session", f"innocent {number}") for number in range(500)], time.time()) == OBSERVE
        again.close()
    reader.close()


def test_a_full_disk_is_told_when_it_opens_and_never_kills_later(tmp_path, monkeypatch):
    path = tmp_path / "sessions.table"
    first = SessionTable.open(path, 0, SECRET)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("os.posix_fallocate", full)
        with pytest.raises(SetupError, match="No space left"):
            SessionTable.open(path, 1, SECRET)
        with pytest.raises(SetupError, match="No space left"):
            SessionTable.open(tmp_path / "other.table", 0, SECRET)
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".lock") == ["sessions.table"]
    assert [first.note(MARKED[:1], BAD, time.time()).rung for _ in range(4)][-1] == "refuse"
    first.close()


def test_what_a_killed_maker_left_is_replaced(tmp_path):
    path = tmp_path / "sessions.table"
    (tmp_path / ".sessions.table.new").write_bytes(b"half")
    table = SessionTable.open(path, 0, SECRET)
    assert [table.note(MARKED, BAD, time.time()).rung for _ in range(4)][-1] == "refuse"
    assert not (tmp_path / ".sessions.table.new").exists()
    assert table.counts["begun_anew"] == 0
    table.close()

"""How far the journals were read: kept over a restart, and nothing that stands in the file keeps a host from starting."""

import pytest

from firedoor.store.cursorfile import LIMIT, CursorFile


def test_what_was_saved_is_there_again(tmp_path):
    file = CursorFile(tmp_path / "cursors")
    assert file.load() == {}
    file.save({"worker-0": 7, "control": 0})
    assert CursorFile(tmp_path / "cursors").load() == {"worker-0": 7, "control": 0}


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"worker-0": -1}', b'{"\xff": 1}', b'{"worker-0": "7"}', b"[" * 9999, b" " * (LIMIT + 1)]
)
def test_what_is_no_such_file_costs_only_time(tmp_path, data):
    path = tmp_path / "cursors"
    path.write_bytes(data)
    assert CursorFile(path).load() == {}

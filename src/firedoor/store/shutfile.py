"""The SHUT file of a region, and the note that a worker saw one."""

from __future__ import annotations

from pathlib import Path


class ShutFileWatch:
    """The SHUT file and the workers' note `run/latched`. See `firedoor.ports.switches.ShutFiles`."""

    def __init__(self, shut_file: Path, latch_file: Path) -> None:
        self._shut_file = shut_file
        self._latch_file = latch_file

    def shut(self) -> bool:
        """Whether the SHUT file is there."""
        return _there(self._shut_file)

    def noted(self) -> bool:
        """Whether a worker noted one."""
        return _there(self._latch_file)

    def note(self) -> None:
        """Leave the note. Raises OSError."""
        self._latch_file.touch(mode=0o600)

    def clear_note(self) -> None:
        """Remove the note. Raises OSError."""
        self._latch_file.unlink(missing_ok=True)


def _there(path: Path) -> bool:
    """Whether there is anything at `path`, a dangling link too. A path that cannot be looked at counts as there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True

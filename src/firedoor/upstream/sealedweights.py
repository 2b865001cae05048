"""Model weights in memory only: an anonymous file that nobody can change, handed to a model server as a descriptor.

The parent opens the sealed weights into it once and keeps it: a server that dies is started again without a key.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from firedoor.errors import SetupError

GGUF_MAGIC = b"GGUF"

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class MemoryWeights:
    """Weights in an anonymous file of this process (Linux memfd)."""

    def __init__(self, name: str, size: int, fill: Callable[[int], object]) -> None:
        """`fill` writes the `size` bytes to the descriptor that it is given; nothing writes to it afterwards.

        Raises `SetupError` if there is no room or they are no model weights, and whatever `fill` raises.
        """
        free = available_memory()
        if size > free:
            raise SetupError(
                f"Weights {name} have {size >> 20} MiB, and {free >> 20} MiB of memory are free.",
                remedy="Use smaller weights, or a machine with more memory: they are never opened onto a disk.",
            )
        self.descriptor = os.memfd_create(f"firedoor-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            fill(self.descriptor)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
            if os.pread(self.descriptor, 4, 0) != GGUF_MAGIC:
                raise SetupError(f"Sealed weights {name} are not a GGUF file.", remedy="Seal the model's GGUF file.")
        except OSError as error:
            self.close()
            raise SetupError(f"Weights {name} do not fit into memory: {error.strerror}.") from None
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """A path that names the file in this process and in a child that inherits the descriptor."""
        return f"/proc/self/fd/{self.descriptor}"

    def close(self) -> None:
        """Let go of the memory; a server that still holds it keeps it until it ends. May be called twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def available_memory() -> int:
    """Bytes that can be taken without swapping, by the kernel's estimate."""
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SetupError("The kernel does not say how much memory is free.", remedy="Use Linux 3.14 or newer.")

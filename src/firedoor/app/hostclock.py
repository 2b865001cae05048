"""What this host's clocks say, and what keeps them right: evidence is worth what its times are worth."""

from __future__ import annotations

import ctypes
import struct
import time
from typing import Any, Final

TIME_ERROR: Final = 5
"""What adjtimex(2) returns while nothing keeps the clock right."""
TIMEX_BYTES: Final = 256
"""More than `struct timex` has on any system."""
_NANO: Final = 0x2000
"""STA_NANO: the offset is in nanoseconds, not in microseconds."""
_TIMEX: Final = struct.Struct("@I4xllllI4x")
"""Modes, offset, frequency, greatest and estimated error (microseconds), status: how it begins where a long has 8
bytes."""


def unsynchronised() -> bool:
    """Whether nothing keeps the clock right, as the kernel says; a mode of 0 changes nothing."""
    return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) == TIME_ERROR)


def clock_state() -> dict[str, Any]:
    """The clocks at this moment, in nanoseconds, and what the kernel knows of the wall clock's error."""
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)
    state = ctypes.CDLL(None).adjtimex(buffer)
    wall, boot = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    told: dict[str, Any] = {
        "realtime_ns": wall,
        "boottime_ns": boot,
        "monotonic_ns": time.monotonic_ns(),
        "booted_at_ns": wall - boot,
        "synchronised": 0 <= state != TIME_ERROR,
    }
    if state >= 0 and ctypes.sizeof(ctypes.c_long) == 8:
        _, offset, _, greatest, estimated, status = _TIMEX.unpack_from(buffer)
        told["offset_ms"] = offset / (1e6 if status & _NANO else 1e3)
        told |= {"greatest_error_us": greatest, "estimated_error_us": estimated}
    return told

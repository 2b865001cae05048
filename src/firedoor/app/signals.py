"""Being told to stop, or to begin anew."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


def on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` in the running loop on SIGTERM, and on Ctrl-C unless this process leaves that to its parent."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stop)


def on_hangup(renew: Callable[[], None], stop: Callable[[], None]) -> None:
    """Call `renew` in the running loop on SIGHUP, but `stop` where it comes because the terminal is gone."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        return
    on_terminal = os.isatty(0)

    def hung_up() -> None:
        if on_terminal and not os.isatty(0):
            stop()
        else:
            renew()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)

"""Waiting in a plan for something that another thread brings about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bluesky.utils import Msg, MsgGenerator

__all__ = ["wait_until"]

_LOOK_S = 0.003


def wait_until(ready: Callable[[], bool], timeout: float) -> MsgGenerator[bool]:
    """Wait until something is so, or for so many seconds; whether it is so.

    The RunEngine stays free to pause and abort. One message, so that a rewind looks
    once more and does not wait again.

    Parameters
    ----------
    ready : callable
        Quick; called in the RunEngine's thread every few milliseconds.
    timeout : float
        Seconds.
    """
    until = time.monotonic() + timeout

    async def look() -> None:
        while not ready() and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)

    if not ready():
        yield Msg("wait_for", None, [look])
    return ready()

"""Waiting in a plan for something that another thread brings about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bluesky.utils import Msg, MsgGenerator

from ringwatch.plans.heard import Heard
from ringwatch.plans.verdicts import Verdicts

__all__ = ["await_verdict", "wait_until"]

_LOOK_S = 0.003


def wait_until(ready: Callable[[], bool], timeout: float) -> MsgGenerator[bool]:
    """Wait until something is so, or for so many seconds; whether it is so.

    The RunEngine stays free to pause and abort; after a pause the time begins anew.

    Parameters
    ----------
    ready : callable
        Quick; called in the RunEngine's thread every few milliseconds.
    timeout : float
        Seconds.
    """

    async def look() -> None:
        until = time.monotonic() + timeout
        while not ready() and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)

    if not ready():
        yield Msg("wait_for", None, [look])
    return ready()


def await_verdict(
    verdicts: Verdicts,
    run_uid: str,
    seq_num: int,
    patience_s: float,
    *,
    stream: str = "primary",
) -> MsgGenerator[Heard | None]:
    """Wait for what the agent says of a point.

    Parameters
    ----------
    verdicts : Verdicts
    run_uid : str
    seq_num : int
        Number of the point, from 1.
    patience_s : float
        None comes back after so many seconds, and at once where there is no agent.
    stream : str
    """

    def there() -> bool:
        return verdicts.of(run_uid, stream, seq_num) is not None

    yield from wait_until(lambda: there() or bool(verdicts.trouble), patience_s)
    return verdicts.of(run_uid, stream, seq_num)

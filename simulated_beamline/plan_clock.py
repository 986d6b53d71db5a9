"""Simulated time, as plans go by it."""

from __future__ import annotations

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from ringwatch.simulated_beamline.beam import Clock

__all__ = ["PlanClock"]


class PlanClock:
    """The clock of an experiment for plans that ask for one.

    Waiting advances simulated time and takes none of the wall's.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        """Simulated seconds since the experiment began."""
        return self._clock.now

    def sleep(self, seconds: float) -> MsgGenerator[None]:
        """Let simulated time pass."""
        self._clock.advance(seconds)
        yield from bps.null()

"""The time that a plan goes by: the wall's, or a simulated beamline's."""

from __future__ import annotations

import time
from typing import Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

__all__ = ["Clock", "WallClock"]


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def time(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float) -> MsgGenerator[None]:
        """Plan that waits."""


class WallClock:
    """Seconds since the epoch."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> MsgGenerator[None]:
        """Wait so many seconds."""
        yield from bps.sleep(seconds)

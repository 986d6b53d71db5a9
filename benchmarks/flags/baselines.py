"""What people use now: simple rules on counts and on the monitor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ringwatch.agent.nouns import Cake
from ringwatch.agent.quality import FrameFacts

__all__ = ["Baselines"]

_COUNTS = 0.2  # relative change of a frame's counts
_MONITOR = 0.8  # of the first frames' I0: below, Bluesky's SuspendFloor would pause
_CLIPPED = 2.0  # times the first frames' share of cells with a clipped pixel
_SIGMAS = 5.0
_FIRST = 3  # frames that set the levels


class Baselines:
    """A threshold on total counts, an I0 suspender, and a sigma-clip fraction.

    The last one counts cells whose largest pixel lies more than five standard
    deviations above the cell's mean, as a sigma clip would find them.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("total counts", "I0 suspender", "sigma clip")

    def __init__(self) -> None:
        self._first: list[tuple[float, float, float]] = []

    def judge(self, facts: FrameFacts, *, clip: bool = True) -> set[str]:
        """Which of them would have complained; the first frames set their levels.

        Without ``clip`` the last one is left out: it takes longer than all the flags.
        """
        cake = facts.cake
        total = float(cake.total.sum() - cake.dark.sum())
        i0 = facts.ref.readbacks.get("i0", 0.0)
        clipped = _clipped(cake) if clip else 0.0
        if len(self._first) < _FIRST:
            self._first.append((total, i0, clipped))
            return set()
        was_total, was_i0, was_clipped = np.mean(self._first, axis=0)
        told = {
            "total counts": abs(total - was_total) > _COUNTS * abs(was_total),
            "I0 suspender": i0 < _MONITOR * was_i0,
            "sigma clip": clipped > _CLIPPED * was_clipped + 1e-3,
        }
        return {name for name, complains in told.items() if complains}


def _clipped(cake: Cake) -> float:
    """Share of cells with a pixel five standard deviations above their mean."""
    n = np.maximum(cake.pixels, 1)
    mean = cake.total / n
    spread = np.sqrt(np.maximum(cake.total_sq / n - mean**2, mean))
    return float((cake.maximum > mean + _SIGMAS * np.maximum(spread, 1)).mean())

"""The source: a storage ring with top-up, and the simulated clock it runs on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Clock", "StorageRing", "ion_chamber_counts"]


class Clock:
    """Simulated time: exposures and furnace ramps advance it, no wall clock does.

    So a scenario gives the same frames on a slow machine as on a fast one.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises
        ------
        ValueError
            If it would run backwards.
        """
        if not seconds >= 0.0:
            msg = f"Time would advance by {seconds} s; expected 0 or more."
            raise ValueError(msg)
        self.now += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRing:
    """Stored current: it decays, and top-up restores it in regular steps.

    Attributes
    ----------
    current_ma : float
        Right after a top-up, milliampere.
    lifetime_s, top_up_s : float
        Decay time, and time between top-ups, seconds.
    """

    current_ma: float = 400.0
    lifetime_s: float = 36_000.0
    top_up_s: float = 120.0

    def current(self, time: float) -> float:
        """Stored current in milliampere at a time in seconds."""
        return self.current_ma * self.intensity(time)

    def intensity(self, time: float) -> float:
        """Intensity of the beam relative to that right after a top-up, 0..1."""
        return math.exp(-(time % self.top_up_s) / self.lifetime_s)


def ion_chamber_counts(
    intensity: float, exposure_time: float, rng: np.random.Generator
) -> float:
    """What the I0 monitor before the sample counts.

    Parameters
    ----------
    intensity : float
        Relative intensity of the beam, 1 for a full one.
    exposure_time : float
        Seconds.
    rng : numpy.random.Generator
        Its noise: Poisson, and 0.05 % of electronics.

    Returns
    -------
    float
        Counts: 2e7 per second in full beam, on an offset of 50 per second.
    """
    mean = (2e7 * intensity + 50.0) * exposure_time
    return float(rng.poisson(mean) * (1.0 + 5e-4 * rng.standard_normal()))

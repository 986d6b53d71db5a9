"""Processes that a plan may want to end in time: a growth, a transition.

Both go by simulated time, at a pace that the plan is not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.experiment import READOUT_S
from ringwatch.simulated_beamline.sample import Titania
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["FilmGrowth", "TransitionRamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmGrowth:
    """A glass film of CeO2 that crystallizes exponentially while a source is open.

    Attributes
    ----------
    start : float
        Crystalline share at the beginning.
    speed : float
        1/s.
    frame_rate : float
        Frames per second of simulated time.
    counts_per_s : float
    side : int
        Edge of the flat panel, pixels.
    seed : int
    """

    start: float = 0.12
    speed: float = 0.08
    frame_rate: float = 5.0
    counts_per_s: float = 2e7
    side: int = 256
    seed: int = 0

    @property
    def exposure_s(self) -> float:
        """Exposure time of a frame, seconds."""
        return 1.0 / self.frame_rate - READOUT_S

    def beamline(self, folder: Path) -> Beamline:
        """The beamline, its source open; ``beamline.source`` closes it."""
        return powder_beamline(
            folder,
            detector=self.side,
            exposure_time=self.exposure_s,
            pace=0.0,
            counts=self.counts_per_s * self.exposure_s,
            growth=(self.start, self.speed),
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRamp:
    """TiO2 heated without a stop through its transition from anatase to rutile.

    Attributes
    ----------
    start_k, stop_k : float
        Where the furnace is, and where it goes, kelvin.
    rate : float
        K/s.
    frame_rate : float
        Frames per second of simulated time.
    side : int
        Edge of the flat panel, pixels.
    seed : int
    """

    start_k: float = 935.0
    stop_k: float = 1000.0
    rate: float = 0.5
    frame_rate: float = 1.0
    side: int = 1024
    seed: int = 0

    def beamline(self, folder: Path) -> Beamline:
        """The beamline, its furnace at the start."""
        exposure = 1.0 / self.frame_rate - READOUT_S
        return powder_beamline(
            folder,
            Titania(),
            detector=self.side,
            exposure_time=exposure,
            pace=0.0,
            temperature=self.start_k,
            furnace_rate=self.rate,
            seed=self.seed,
        )

    def plan(self, beamline: Beamline, frames: int) -> MsgGenerator[str]:
        """Heating begins, then so many frames are taken while it goes on."""
        yield from bps.mv(beamline.setpoint, self.stop_k)
        return (yield from beamline.step_scan(frames))

    def hold(self, beamline: Beamline) -> MsgGenerator[None]:
        """Stay at the temperature of this moment."""
        yield from bps.mv(beamline.setpoint, beamline.furnace.position)

"""Stories to be told by a beamline: what happens in which frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bluesky.utils import MsgGenerator

from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.faults import (
    BeamLost,
    DetectorShift,
    Fault,
    Saturated,
)
from ringwatch.simulated_beamline.geometry import (
    DetectorModel,
    Geometry,
    flat_panel,
    pilatus_1m,
)
from ringwatch.simulated_beamline.sample import BariumTitanate, Mixture, Sample

__all__ = ["FurnaceRamp", "powder_beamline"]


def powder_beamline(
    folder: Path,
    sample: Sample | str = "CeO2",
    *,
    detector: DetectorModel | int = 512,
    style: str = "stream",
    faults: Sequence[Fault] = (),
    seed: int = 0,
    exposure_time: float = 0.02,
    pace: float = 1.0,
    tilt: tuple[float, float] = (0.0, 0.0),
    **experiment: Any,
) -> Beamline:
    """A beamline with one sample, small and quick by default.

    Parameters
    ----------
    folder : Path
        See ``Beamline``.
    sample : Sample or str
        A str is the name of a phase.
    detector : DetectorModel or int
        An int is the edge of a flat panel in pixels.
    style, exposure_time, pace
        See ``Beamline``.
    tilt : (rot1, rot2)
        Of the detector, rad.
    faults, seed, experiment
        See ``Experiment``.
    """
    model = flat_panel(detector) if isinstance(detector, int) else detector
    experiment = {"exposure_s": exposure_time, "beamstop": Beamstop(), **experiment}
    return Beamline(
        experiment=Experiment(
            Geometry.centered(model, tilt=tilt),
            Mixture.pure(sample) if isinstance(sample, str) else sample,
            faults=faults,
            seed=seed,
            **experiment,
        ),
        folder=folder,
        style=style,
        exposure_time=exposure_time,
        pace=pace,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FurnaceRamp:
    """BaTiO3 heated through its transition while things go wrong.

    The beam is lost for a tenth of the frames, one frame saturates, and later on the
    detector slips by a pixel and stays there.

    Attributes
    ----------
    frames : int
        20 or more.
    side : int
        Edge of the flat panel in pixels; 0 for a Pilatus 1M.
    style : str
        ``inline``, ``datum`` or ``stream``.
    exposure_time : float
        Seconds.
    darks : int
        Dark frames before, in the stream ``dark``.
    start_k, stop_k : float
        Furnace temperature at the first and the last frame, kelvin.
    slip_px : (dx, dy)
        How far the detector slips, pixels.
    seed : int
    """

    frames: int = 50
    side: int = 1024
    style: str = "stream"
    exposure_time: float = 0.05
    darks: int = 3
    start_k: float = 363.0
    stop_k: float = 423.0
    slip_px: tuple[float, float] = (1.0, 0.0)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 20:
            msg = f"A ramp of {self.frames} frames is too short; expected 20 or more."
            raise ValueError(msg)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong, and in which frames."""
        lost = self.frames // 4
        dx, dy = self.slip_px
        return (
            BeamLost(first=lost, last=lost + self.frames // 10 - 1),
            Saturated(first=self.frames * 45 // 100, last=self.frames * 45 // 100),
            DetectorShift(first=self.frames * 7 // 10, dx_px=dx, dy_px=dy),
        )

    def expected_flags(self) -> Mapping[int, str]:
        """Name of the flag of each disturbed frame, by index; others have none."""
        return {
            index: fault.flag
            for index in range(self.frames)
            for fault in self.faults
            if fault.in_force(index)
        }

    def beamline(self, folder: Path) -> Beamline:
        """The beamline for this story, with its files in ``folder``."""
        return powder_beamline(
            folder,
            BariumTitanate(),
            detector=self.side or pilatus_1m(),
            style=self.style,
            faults=self.faults,
            seed=self.seed,
            exposure_time=self.exposure_time,
            temperature=self.start_k,
        )

    def plan(self, beamline: Beamline) -> MsgGenerator[str]:
        """The run: a step scan over the furnace's temperature."""
        temperatures = np.linspace(self.start_k, self.stop_k, self.frames)
        steps = [{beamline.furnace: float(kelvin)} for kelvin in temperatures]
        return beamline.step_scan(
            steps, darks=self.darks, md={"plan_name": "furnace_ramp"}
        )

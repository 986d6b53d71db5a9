"""The beamline in one hand: experiment, devices, and the files a user has of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from bluesky.utils import MsgGenerator

from ringwatch.simulated_beamline import scans
from ringwatch.simulated_beamline.area_detector import (
    AreaDetector,
    DatumDetector,
    InlineDetector,
)
from ringwatch.simulated_beamline.experiment import Experiment, FrameTruth
from ringwatch.simulated_beamline.readings import (
    FurnaceController,
    FurnaceSetpoint,
    Monitor,
    Stage,
    TruthRecorder,
)
from ringwatch.simulated_beamline.stream_detector import StreamDetector

__all__ = ["STYLES", "Beamline"]

STYLES: Mapping[str, type[AreaDetector]] = MappingProxyType(
    {"inline": InlineDetector, "datum": DatumDetector, "stream": StreamDetector}
)
"""Detector of each style of announcing a frame."""


@dataclass(kw_only=True)
class Beamline:
    """An experiment behind ophyd devices.

    Parameters
    ----------
    experiment : Experiment
    folder : Path
        Frames go to ``folder/frames``, geometry and mask beside it.
    style : str
        ``inline``, ``datum`` or ``stream``.
    detector_name : str
        The frames' data key is ``<detector_name>_image``.
    exposure_time : float
        Seconds, on the wall too.
    pace : float
        See ``AreaDetector``.

    Attributes
    ----------
    detector : AreaDetector
    i0, furnace, sample_y, detector_x, shutter, source : devices
        Keys ``i0``, ``furnace_temperature`` (K), ``sample_y``, ``detector_x`` (mm),
        ``shutter`` and, where a film grows, ``source`` (1 open).
    setpoint : positioner
        Of the furnace (K), which ``furnace`` waits for and this does not.
    truth : TruthRecorder
    poni_path, mask_path : Path
        Geometry as calibrated, for pyFAI; mask as .npy, True where masked.

    Raises
    ------
    ValueError
        If the style is unknown.
    """

    experiment: Experiment
    folder: Path
    style: str = "stream"
    detector_name: str = "detector"
    exposure_time: float = 0.05
    pace: float = 1.0
    detector: AreaDetector = field(init=False)
    poni_path: Path = field(init=False)
    mask_path: Path = field(init=False)

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            msg = f"No style {self.style!r}; expected one of {', '.join(STYLES)}."
            raise ValueError(msg)
        experiment, folder = self.experiment, self.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.poni_path = experiment.geometry.save(folder / "detector.poni")
        self.mask_path = folder / "mask.npy"
        np.save(self.mask_path, experiment.mask())
        self.detector = STYLES[self.style](
            name=self.detector_name,
            source=experiment,
            folder=folder / "frames",
            exposure_time=self.exposure_time,
            pace=self.pace,
        )
        self.i0 = Monitor(name="i0", experiment=experiment)
        self.furnace = FurnaceController(
            name="furnace_temperature", experiment=experiment
        )
        self.setpoint = FurnaceSetpoint(name="furnace_setpoint", experiment=experiment)
        self.sample_y, self.detector_x, self.shutter, self.source = (
            Stage(name=name, experiment=experiment, attribute=attribute, egu=egu)
            for name, attribute, egu in (
                ("sample_y", "sample_y", "mm"),
                ("detector_x", "detector_x", "mm"),
                ("shutter", "shutter_open", ""),
                ("source", "source_open", ""),
            )
        )
        self.truth = TruthRecorder(experiment=experiment)

    @property
    def readables(self) -> list[Any]:
        """What is read with each frame."""
        return [self.i0, self.furnace, self.sample_y, self.detector_x]

    @property
    def truths(self) -> list[FrameTruth]:
        """Truth of all light frames so far, those of abandoned steps too."""
        return [truth for truth in self.experiment.truths if truth.light]

    def step_scan(self, steps: scans.Steps, **options: Any) -> MsgGenerator[str]:
        """``scans.step_scan`` with this beamline's devices and the truth stream."""
        options = {"truth": self.truth, "shutter": self.shutter, **options}
        return scans.step_scan(self.detector, steps, self.readables, **options)

    def dark_run(self, num_frames: int = 3) -> MsgGenerator[str]:
        """``scans.dark_run`` with this beamline's devices; returns the run's uid."""
        return scans.dark_run(self.detector, self.shutter, num_frames)

    def fly(self, num_frames: int, **options: Any) -> MsgGenerator[str]:
        """``scans.fly`` with this beamline's devices and the truth stream.

        Raises
        ------
        ValueError
            If the style is not ``stream``.
        """
        if not isinstance(self.detector, StreamDetector):
            msg = f"A {self.style!r} detector cannot fly; build it as 'stream'."
            raise ValueError(msg)
        options = {"truth": self.truth, "shutter": self.shutter, **options}
        return scans.fly(self.detector, num_frames, **options)

"""One example of each flag: a short run in which it is raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Cake, Flag, Quality
from ringwatch.agent.quality import QualitySettings
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.simulated_beamline import faults, light_faults, readout_faults
from ringwatch.simulated_beamline.conditions import Fault
from ringwatch.simulated_beamline.microstructure import (
    Grains,
    Microstructure,
    Spots,
    Strain,
    Texture,
)

__all__ = ["EXAMPLES", "Example", "Shown", "run_example"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A fault that raises a flag.

    Attributes
    ----------
    fault : Fault or None
        In force after the sound frames.
    sample : Microstructure or None
        What the sample becomes then.
    scene : Scene
    first, frames : int
        Sound frames before; and faulty ones, at most, until the flag comes.
    from_start : bool
        Whether the first frames have the fault as well.
    readbacks : callable or None
        From the frame's index to further readbacks.
    settings : mapping
        Of ``QualitySettings``.
    stage : mapping
        Of the stage.
    heat : float
        Kelvin that the sample warms up by from frame to frame.
    """

    fault: Fault | None = None
    sample: Microstructure | None = None
    scene: Scene = field(default_factory=lambda: Scene(geometry="cheap", counts=2e7))
    first: int = 4
    frames: int = 1
    from_start: bool = False
    readbacks: Callable[[int], dict[str, float]] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)
    heat: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an example has shown.

    Attributes
    ----------
    quality : Quality
        Of the frame that raised the flag, or of the last one.
    frame : (y, x) array
    cake, before : Cake
        Of that frame, and of the first one.
    light, i0, numbers : (n,) float64
        Net counts of each frame, its monitor, and the number that the detector gave it.
    """

    quality: Quality
    frame: NDArray[Any]
    cake: Cake
    before: Cake
    light: NDArray[np.float64]
    i0: NDArray[np.float64]
    numbers: NDArray[np.float64]


_DARKS = 10


def _dim(counts: float, sample: str = "cubic") -> Scene:
    return Scene(geometry="cheap", sample=sample, counts=counts)


def _cold(_: int) -> dict[str, float]:
    return {"temperature": 100.0}


EXAMPLES: Mapping[Flag, Example] = MappingProxyType(
    {
        Flag.INVALID_VALUES: Example(
            fault=readout_faults.NotANumber(first=0, count=200)
        ),
        Flag.MISREAD: Example(
            fault=light_faults.MissingModule(
                first=0, corner_px=(600, 200), size_px=(256, 256)
            )
        ),
        Flag.DUPLICATE: Example(fault=readout_faults.Duplicate(first=0)),
        Flag.SEQUENCE: Example(fault=faults.Dropped(first=4, count=2)),
        Flag.NO_BEAM: Example(fault=faults.BeamLost(first=0, fraction=0.01)),
        Flag.BEAM_DROP: Example(fault=faults.ShutterClipped(first=0, fraction=0.9)),
        Flag.I0_SUSPECT: Example(fault=faults.I0Glitch(first=0, factor=0.7)),
        Flag.NO_SAMPLE: Example(fault=faults.SampleLost(first=0, fraction=0.02)),
        Flag.SATURATED: Example(
            fault=faults.Saturated(first=0, factor=2000.0), scene=_dim(3e7)
        ),
        Flag.COUNT_RATE_LOSS: Example(
            fault=light_faults.CountRateLoss(first=0, dead_time_s=1e-4),
            settings={"dead_time_s": 1e-4},
            scene=_dim(1e8),
        ),
        Flag.MASK_MISMATCH: Example(
            fault=faults.MaskShifted(first=0, dx_px=2, dy_px=0),
            stage={"margin_px": 0},
            from_start=True,
        ),
        Flag.HOT_PIXELS: Example(
            fault=readout_faults.HotPixels(first=0, count=200, value=4000), frames=6
        ),
        Flag.ZINGERS: Example(
            fault=readout_faults.Zingers(first=0, count=200, value=4000)
        ),
        Flag.STALE_CALIBRATION: Example(
            fault=faults.WrongDark(first=0, factor=2.0),
            stage={"dark_rate": 400.0},
            from_start=True,
            scene=_dim(1e6),
        ),
        Flag.SHADOW: Example(
            fault=light_faults.Shadow(first=0, width_deg=40.0, transmission=0.6)
        ),
        Flag.BEAMSTOP_LEAK: Example(
            fault=light_faults.BeamstopLeak(
                first=0, share=0.05, fwhm_px=20, side_px=24, side_deg=30
            )
        ),
        Flag.BEAM_CENTER: Example(
            fault=faults.DetectorShift(first=0, dx_px=0.6, dy_px=0.3)
        ),
        Flag.TILT: Example(fault=faults.DetectorTilt(first=0, rot1_deg=0.3)),
        Flag.RADIAL_SCALE: Example(fault=faults.DistanceChange(first=0, ppm=1000.0)),
        Flag.SAMPLE_DISPLACED: Example(
            fault=faults.PlateRaised(first=0, height_um=300.0),
            settings={"flat_plate": True},
            scene=Scene(geometry="total_scattering", counts=2e7),
        ),
        Flag.STRAIN: Example(sample=Microstructure(strain=Strain(amplitude=2e-3))),
        Flag.GRAINY: Example(
            sample=Microstructure(grains=Grains(per_patch=0.1)), from_start=True
        ),
        Flag.SPOTS: Example(sample=Microstructure(spots=Spots()), from_start=True),
        Flag.TEXTURE: Example(sample=Microstructure(texture=Texture(march=0.6))),
        Flag.ICE: Example(
            fault=faults.Ice(first=0, share=0.2), readbacks=_cold, from_start=True
        ),
        Flag.AMORPHOUS_ONLY: Example(scene=_dim(2e7, "amorphous"), from_start=True),
        Flag.LOW_COUNTS: Example(scene=_dim(2e4), from_start=True),
        Flag.DRIFT: Example(frames=60, heat=8.0),
        Flag.CHANGE_POINT: Example(
            fault=faults.Amorphous(first=0, share=0.6), first=12
        ),
    }
)
"""Those of ``novel``, ``unsure`` and ``pipeline`` are in ``other_examples``."""


def run_example(flag: Flag, seed: int = 20261121) -> Shown:
    """Run an example until its flag is raised, or its frames are over."""
    example = EXAMPLES[flag]
    stage = Stage(example.scene, seed, **example.stage)
    experiment = stage.experiment
    full = float(experiment.geometry.detector.saturation_value)
    fold = stage.fold(QualitySettings(saturation=full, **example.settings))
    dark = None
    if "dark_rate" in example.stage:
        experiment.shutter_open = False
        closed = experiment.expected(experiment.conditions())
        experiment.shutter_open = True
        taken = [stage.frame(closed).astype(np.float64) for _ in range(_DARKS)]
        mean = stage.reduction.prepare_dark([np.mean(taken, axis=0)])
        dark = replace(mean, frames=_DARKS)
    rng = np.random.default_rng(seed)
    before: NDArray[Any] | None = None
    cakes: list[Cake] = []
    told: list[tuple[float, float, float]] = []
    for index in range(example.first + example.frames):
        wrong = index >= example.first or example.from_start
        faulty = (example.fault,) if example.fault is not None and wrong else ()
        if wrong and example.sample is not None:
            experiment.microstructure = example.sample
        if wrong and example.heat:
            experiment.furnace.ramp_to(
                298.0 + example.heat * (index - example.first + 1)
            )
            experiment.clock.advance(60.0)
        conditions = experiment.conditions(faulty)
        frame = stage.frame(experiment.expected(conditions))
        number = index + conditions.frames_lost
        for fault in faulty:
            if isinstance(fault, readout_faults.NotANumber):
                frame = frame.astype(np.float32)
            frame = fault.corrupt(frame, before, rng)
        before = frame
        cake = stage.reduction.cake(frame, dark)
        readbacks = {
            "i0": 1e6 * conditions.beam * conditions.i0_gain,
            "detector_frame_number": float(number),
            "detector_exposure_time": experiment.exposure_s,
            **(example.readbacks(index) if example.readbacks else {}),
        }
        facts = stage.facts(cake, index, readbacks, dark_frames=_DARKS if dark else 0)
        distance = experiment.geometry.dist
        facts = replace(facts, dtype=frame.dtype, distance_m=distance)
        quality = fold.judge(facts)
        cakes.append(cake)
        light = float((cake.total - cake.dark).sum())
        told.append((light, readbacks["i0"], float(number)))
        if wrong and flag in quality.raised and index >= example.first:
            break
    light_of, i0, numbers = np.array(told).T
    return Shown(
        quality=quality,
        frame=frame,
        cake=cake,
        before=cakes[0],
        light=light_of,
        i0=i0,
        numbers=numbers,
    )

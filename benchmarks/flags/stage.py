"""A simulated experiment set up for the flags: its cakes, its frames, what judges them.

The counts of a cake are drawn cell by cell from the same expected image of which the
simulated detector draws frames pixel by pixel (``simulated_beamline.cell_counts``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.dark import Dark
from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS, Cake, FrameRef, LostLocator
from ringwatch.agent.pixel_values import usable_counts
from ringwatch.agent.quality import (
    FrameFacts,
    QualityFold,
    QualitySettings,
    turn_image,
)
from ringwatch.agent.quality.readout.turned import Turned
from ringwatch.agent.reduction import Reduction
from ringwatch.simulated_beamline.bench_geometries import (
    BENCH_GEOMETRIES,
    bench_experiment,
)
from ringwatch.simulated_beamline.cell_counts import CellRates, draw_moments
from ringwatch.simulated_beamline.conditions import Conditions
from ringwatch.simulated_beamline.counting import expose_expected, frame_key
from ringwatch.simulated_beamline.experiment import Experiment

__all__ = ["Light", "Scene", "Stage", "StageOf", "binning_of"]

Light = CellRates | NDArray[np.float32]
"""What a frame expects: its cells for a cake, or an image (y, x) for a frame."""

_KEV_M = 12.398419843e-10  # CODATA 2018: h c
_FIFTH, _LEAST_PIXELS = 5, 4  # cells and their pixels that a count rate is taken from
_NO_PIXELS = LostLocator(reason="a benchmark keeps cakes only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What stands in the beam.

    Attributes
    ----------
    geometry, sample : str
        Keys of ``BENCH_GEOMETRIES`` and ``BENCH_SAMPLES``.
    counts : float
        Expected counts of a frame.
    """

    geometry: str = "reference"
    sample: str = "cubic"
    counts: float = 1e6

    def __str__(self) -> str:
        """Name for tables."""
        return f"{self.geometry}, {self.sample}, {self.counts:.0e} counts"


@lru_cache(maxsize=16)
def binning_of(geometry: str, margin_px: int = 3) -> Binning:
    """Cells of a bench geometry under the mask of a careful user, made once.

    Parameters
    ----------
    geometry : str
    margin_px : int
        How far the mask reaches beyond shadow and gaps; 0 is a tight one.
    """
    place = BENCH_GEOMETRIES[geometry]
    experiment = bench_experiment(geometry)
    return Binning.from_geometry(
        place.geometry.integrator(),
        place.detector.shape,
        mask=experiment.mask(margin_px),
        polarization=experiment.instrument.polarization,
    )


class Stage:
    """One scene, ready to be exposed.

    Parameters
    ----------
    scene : Scene
    seed : int
        Of all noise.
    margin_px : int
        Of the mask.
    pixels : bool
        Whether whole frames are drawn, pixel by pixel; else cakes, cell by cell.
    **more
        Of ``bench_experiment``.
    """

    def __init__(
        self,
        scene: Scene,
        seed: int,
        *,
        margin_px: int = 3,
        pixels: bool = False,
        **more: Any,
    ) -> None:
        self.scene, self.seed, self.pixels = scene, seed, pixels
        self.experiment: Experiment = bench_experiment(
            scene.geometry, scene.sample, counts=scene.counts, seed=seed, **more
        )
        self.binning = binning_of(scene.geometry, margin_px)
        self.reduction = Reduction(
            self.binning,
            saturation=self.experiment.geometry.detector.saturation_value,
        )
        self._shots = 0

    @property
    def energy_kev(self) -> float:
        """Of the photons, keV."""
        return _KEV_M / self.experiment.geometry.wavelength

    def fold(self, settings: QualitySettings | None = None) -> QualityFold:
        """What judges a run of this stage."""
        if settings is None:
            full = float(self.experiment.geometry.detector.saturation_value)
            settings = QualitySettings(saturation=full)
        return QualityFold(settings, self.binning)

    def rates(self, conditions: Conditions | None = None) -> CellRates:
        """Expected counts of each cell; by default of the experiment as it stands."""
        image = self.experiment.expected(conditions or self.experiment.conditions())
        return CellRates.from_image(
            image, self.binning.cell, self.binning.q.size * SECTORS
        )

    def brightest_rate(self) -> float:
        """Counts per pixel and second in the fifth brightest cell, as a flag asks."""
        rates = self.rates()
        cells = np.sort(rates.mean[rates.pixels >= _LEAST_PIXELS])
        return float(cells[-_FIFTH]) / self.experiment.exposure_s

    def light(self, conditions: Conditions | None = None) -> Light:
        """What a frame expects, as this stage draws it; by default as it stands."""
        if not self.pixels:
            return self.rates(conditions)
        return self.experiment.expected(conditions or self.experiment.conditions())

    def take_dark(self, frames: int) -> Dark:
        """So many frames with the shutter closed, averaged; noise of their own.

        A stage of cakes draws their sum cell by cell, and has no pixels to match.
        """
        self.experiment.shutter_open = False
        closed = self.experiment.conditions()
        self.experiment.shutter_open = True
        # A sum of Poisson numbers is one: that of all frames is drawn at once.
        if self.pixels:
            image = self.experiment.expected(closed)
            counts = usable_counts(self.frame(image, scale=float(frames)))
            return replace(
                self.reduction.prepare_dark([counts / frames]), frames=frames
            )
        rates = self.rates(closed)
        rng = np.random.default_rng(self._next_key())
        total = rng.poisson(frames * rates.mean * rates.pixels) / frames
        return Dark(pixels=np.empty(0), total=total.reshape(-1, SECTORS), frames=frames)

    def take(
        self, light: Light, *, scale: float = 1.0, dark: Dark | None = None
    ) -> tuple[Cake, NDArray[Any] | None]:
        """The next exposure: its cake, and the frame (y, x) where pixels are drawn."""
        if isinstance(light, CellRates):
            return self.cake(light, scale=scale, dark=dark), None
        frame = self.frame(light, scale=scale)
        return self.reduction.cake(frame, dark), frame

    def cake(
        self, rates: CellRates, *, scale: float = 1.0, dark: Dark | None = None
    ) -> Cake:
        """A cake of the next exposure, with noise of its own."""
        key = self._next_key()
        moments = draw_moments(rates, scale=scale, key=key)
        shape = (-1, SECTORS)
        none = np.zeros((self.binning.q.size, SECTORS))
        return Cake(
            pixels=moments.pixels.reshape(shape),
            total=moments.total.reshape(shape),
            total_sq=moments.total_sq.reshape(shape),
            maximum=moments.maximum.reshape(shape),
            zeros=moments.zeros.reshape(shape),
            saturated=none.astype(np.int64),
            norm=self.binning.norm,
            dark=none if dark is None else dark.total,
            negative=0,
            non_finite=0,
            marked=0,
            masked=self.binning.masked,
            masked_total=0.0,
            shape=self.binning.shape,
            checksum=key & 0xFFFFFFFF,
        )

    def frame(
        self, expected: NDArray[np.float32], *, scale: float = 1.0
    ) -> NDArray[Any]:
        """A frame of the next exposure, (y, x), pixel by pixel."""
        detector = self.experiment.geometry.detector
        return expose_expected(
            expected if scale == 1.0 else expected * np.float32(scale),
            key=self._next_key(),
            full=detector.saturation_value,
            invalid=detector.invalid_value,
            dtype=np.dtype(detector.dtype),
        )

    def facts(
        self,
        cake: Cake,
        index: int,
        readbacks: dict[str, float],
        *,
        dark: Dark | None = None,
        frame: NDArray[Any] | None = None,
        **more: Any,
    ) -> FrameFacts:
        """What the checks get of a cake, as the live agent tells them.

        Parameters
        ----------
        cake : Cake
        index : int
        readbacks : dict of str to float
        dark : Dark or None
            That was subtracted.
        frame : (y, x) array or None
            Of which the cake is: it can be turned back.
        **more
            Of ``FrameFacts``.
        """
        ref = FrameRef.without_pixels("bench", index, readbacks, time=0.1 * index)
        dtype = np.dtype(self.experiment.geometry.detector.dtype)
        if frame is not None:
            dtype = frame.dtype
        if "pattern" not in more:
            more["pattern"] = self.reduction.pattern(cake, dark)
        more.setdefault("distance_m", self.experiment.geometry.dist)
        more.setdefault("energy_kev", self.energy_kev)
        if dark is not None:
            more.setdefault("dark_frames", dark.frames)
        if frame is not None:
            more.setdefault("turned", self._turner(frame))
        return FrameFacts(ref=ref, cake=cake, dtype=dtype, **more)

    def _turner(self, frame: NDArray[Any]) -> Turned:
        return lambda turn: self.reduction.cake(
            turn_image(frame, turn), look_again=False
        )

    def _next_key(self) -> int:
        self._shots += 1
        return frame_key(self.seed, self._shots)


StageOf = Callable[..., Stage]
"""From a scene, a seed and further settings to a stage, as ``Stage`` itself is."""

"""A simulated experiment set up for the flags: its cakes, its frames, what judges them.

The counts of a cake are drawn cell by cell from the same expected image of which the
simulated detector draws frames pixel by pixel (``simulated_beamline.cell_counts``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS, Cake, FrameRef, LostLocator
from ringwatch.agent.quality import FrameFacts, QualityFold, QualitySettings
from ringwatch.agent.reduction import Reduction
from ringwatch.simulated_beamline.bench_geometries import (
    BENCH_GEOMETRIES,
    bench_experiment,
)
from ringwatch.simulated_beamline.cell_counts import CellRates, draw_moments
from ringwatch.simulated_beamline.conditions import Conditions
from ringwatch.simulated_beamline.counting import expose_expected, frame_key
from ringwatch.simulated_beamline.experiment import Experiment

__all__ = ["Scene", "Stage", "binning_of"]

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
    **more
        Of ``bench_experiment``.
    """

    def __init__(
        self, scene: Scene, seed: int, *, margin_px: int = 3, **more: Any
    ) -> None:
        self.scene, self.seed = scene, seed
        self.experiment: Experiment = bench_experiment(
            scene.geometry, scene.sample, counts=scene.counts, seed=seed, **more
        )
        self.binning = binning_of(scene.geometry, margin_px)
        self.reduction = Reduction(
            self.binning,
            saturation=self.experiment.geometry.detector.saturation_value,
        )
        self._shots = 0

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

    def cake(self, rates: CellRates, *, scale: float = 1.0) -> Cake:
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
            dark=none,
            negative=0,
            non_finite=0,
            marked=0,
            masked=self.binning.masked,
            masked_total=0.0,
            shape=self.binning.shape,
            checksum=key & 0xFFFFFFFF,
        )

    def frame(self, expected: NDArray[np.float32]) -> NDArray[Any]:
        """A frame of the next exposure, (y, x), pixel by pixel."""
        detector = self.experiment.geometry.detector
        return expose_expected(
            expected,
            key=self._next_key(),
            full=detector.saturation_value,
            invalid=detector.invalid_value,
            dtype=np.dtype(detector.dtype),
        )

    def facts(
        self, cake: Cake, index: int, readbacks: dict[str, float], **more: Any
    ) -> FrameFacts:
        """What the checks get of a cake."""
        ref = FrameRef.without_pixels("bench", index, readbacks, time=0.1 * index)
        dtype = np.dtype(self.experiment.geometry.detector.dtype)
        more.setdefault("pattern", self.reduction.pattern(cake))
        return FrameFacts(ref=ref, cake=cake, dtype=dtype, **more)

    def _next_key(self) -> int:
        self._shots += 1
        return frame_key(self.seed, self._shots)

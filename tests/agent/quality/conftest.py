"""LaB6-like rings on a flat detector, drawn from their analytic radii."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import FrameRef, LostLocator, Quality
from ringwatch.agent.quality import FrameFacts, QualityFold, QualitySettings
from ringwatch.agent.reduction import Reduction

SIDE = 512
PIXEL_M, DISTANCE_M, WAVELENGTH_M = 2e-4, 0.2, 2e-11
A_LAB6 = 4.157
FWHM = 3.0
RNG_SEED = 20261121


@dataclass(frozen=True)
class Rings:
    """Draws frames, and judges them."""

    beam: tuple[float, float] = (SIDE / 2, SIDE / 2)  # x, y

    def geometry(self) -> AzimuthalIntegrator:
        return AzimuthalIntegrator(
            dist=DISTANCE_M,
            poni1=self.beam[1] * PIXEL_M,
            poni2=self.beam[0] * PIXEL_M,
            wavelength=WAVELENGTH_M,
            detector=Detector(PIXEL_M, PIXEL_M, max_shape=(SIDE, SIDE)),
        )

    def binning(self) -> Binning:
        return Binning.from_geometry(self.geometry(), (SIDE, SIDE), polarization=None)

    def mean(
        self,
        *,
        counts: float = 1e7,
        dx: float = 0.0,
        dy: float = 0.0,
        expansion: float = 0.0,
        strain: float = 0.0,
        texture: float = 0.0,
        background: float = 10.0,
        lines: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16),
    ) -> NDArray[np.float64]:
        """Expected counts, (y, x); (dx, dy) moves the beam away from the geometry."""
        y, x = np.indices((SIDE, SIDE)) + 0.5
        x, y = x - self.beam[0] - dx, y - self.beam[1] - dy
        r, chi = np.hypot(x, y), np.arctan2(y, x)
        image = background * (1.0 + np.exp(-r / 100))
        distance = DISTANCE_M / PIXEL_M
        for n in lines:
            sine = WAVELENGTH_M * 1e10 * np.sqrt(n) / (2 * A_LAB6 * (1 + expansion))
            ring = distance * np.tan(2 * np.arcsin(sine))
            away = r - ring * (1 + strain * np.cos(2 * chi))
            height = 100 / (1 + 0.1 * n) * (1 + texture * np.cos(2 * chi))
            image += height * np.exp(-0.5 * (away * 2.3548 / FWHM) ** 2)
        return image * (counts / image.sum())


Judge = Callable[..., Quality]


@pytest.fixture(scope="session")
def rings() -> Rings:
    """Rings about the middle of the detector."""
    return Rings()


@pytest.fixture(scope="session")
def binning(rings: Rings) -> Binning:
    """Geometry of ``rings``."""
    return rings.binning()


def make_facts(
    frame: NDArray[Any],
    binning: Binning,
    *,
    index: int = 0,
    seq_num: int | None = None,
    dark: list[NDArray[Any]] | None = None,
    saturation: float | None = None,
    **readbacks: float,
) -> FrameFacts:
    """Reduce a frame to what the checks get."""
    reduction = Reduction(binning, saturation=saturation)
    prepared = reduction.prepare_dark(dark) if dark else None
    cake = reduction.cake(frame, prepared)
    pattern = reduction.pattern(cake, prepared) if binning.has_geometry else None
    return FrameFacts(
        ref=FrameRef(
            run_uid="run",
            stream="primary",
            data_key="detector_image",
            index=index,
            seq_num=index + 1 if seq_num is None else seq_num,
            time=0.0,
            locator=LostLocator(reason="a test holds its pixels"),
            readbacks=readbacks,
        ),
        cake=cake,
        pattern=pattern,
        dtype=frame.dtype,
        dark_frames=len(dark) if dark else 0,
    )


@pytest.fixture(scope="session")
def facts() -> Callable[..., FrameFacts]:
    """``make_facts``."""
    return make_facts


@pytest.fixture
def judge(binning: Binning) -> Judge:
    """Judge one frame by itself."""

    def judged(
        frame: NDArray[Any], settings: QualitySettings | None = None, **more: Any
    ) -> Quality:
        where = more.pop("binning", binning)
        fold = QualityFold(settings or QualitySettings(), where)
        return fold.judge(make_facts(frame, where, **more))

    return judged


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded noise."""
    return np.random.default_rng(RNG_SEED)

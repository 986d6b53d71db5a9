"""LaB6-like rings on a flat detector, drawn from their analytic radii."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import FrameRef, LostLocator, Quality
from ringwatch.agent.quality import FrameFacts, QualityFold, QualitySettings
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.reduction import Reduction

from .light_frames import Bench, split_light

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
        beam = self.beam[0] + dx, self.beam[1] + dy
        image = _image(beam, expansion, strain, texture, background, lines)
        return image * (counts / image.sum())


@lru_cache(maxsize=32)  # most tests ask for the same few; each costs a quarter second
def _image(
    beam: tuple[float, float],
    expansion: float,
    strain: float,
    texture: float,
    background: float,
    lines: tuple[int, ...],
) -> NDArray[np.float64]:
    """Light of any unit, (y, x); not to be changed."""
    y, x = np.indices((SIDE, SIDE)) + 0.5
    x, y = x - beam[0], y - beam[1]
    r, wave = np.hypot(x, y), np.cos(2 * np.arctan2(y, x))
    image = background * (1.0 + np.exp(-r / 100))
    distance = DISTANCE_M / PIXEL_M
    for n in lines:
        sine = WAVELENGTH_M * 1e10 * np.sqrt(n) / (2 * A_LAB6 * (1 + expansion))
        ring = distance * np.tan(2 * np.arcsin(sine))
        away = r - ring * (1 + strain * wave)
        height = 100 / (1 + 0.1 * n) * (1 + texture * wave)
        image += height * np.exp(-0.5 * (away * 2.3548 / FWHM) ** 2)
    image.flags.writeable = False
    return image


Judge = Callable[..., Quality]
Looked = tuple[FrameFacts, Seen, Reference | None]


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
def compared(binning: Binning) -> Callable[..., Looked]:
    """Look at a frame and at those before it: facts, seen, reference."""

    def look(
        frame: NDArray[Any],
        before: Sequence[NDArray[Any]] = (),
        where: Binning | None = None,
    ) -> Looked:
        where = where or binning
        earlier = [make_facts(each, where) for each in before]
        first = [(each, look_at(each, where)) for each in earlier]
        reference = None
        if first:
            reference = Reference.from_frames(first, QualitySettings())
        made = make_facts(frame, where)
        return made, look_at(made, where, reference), reference

    return look


@pytest.fixture(scope="session")
def parts(rings: Rings) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rings of a million counts with what is between them, each alone."""
    return split_light(rings, 1e6)


@pytest.fixture
def bench(binning: Binning, rng: np.random.Generator) -> Bench:
    """Draws frames of the parts."""
    return Bench(binning, make_facts, rng)


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

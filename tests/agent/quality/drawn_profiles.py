"""Mean profiles of a powder, drawn in 1D with the counting noise of whole rings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Cake, FrameRef, LostLocator, Pattern
from ringwatch.agent.quality import FrameFacts
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.geometry.rings import find_rings, profiles_of

__all__ = ["Drawn"]

Floats = NDArray[np.float64]
_CELLS = np.zeros((1, 32))
_NO_CAKE = Cake(
    pixels=_CELLS.astype(np.int64),
    total=_CELLS,
    total_sq=_CELLS,
    maximum=_CELLS,
    zeros=_CELLS.astype(np.int64),
    saturated=_CELLS.astype(np.int64),
    norm=_CELLS,
    dark=_CELLS,
    negative=0,
    non_finite=0,
    marked=0,
    masked=0,
    masked_total=0.0,
    shape=(1, 1),
    checksum=0,
)


@dataclass(frozen=True)
class Drawn:
    """Draws frames of a detector with bins of one pixel, its centre in the middle."""

    bins: int = 724
    q_max: float = 6.0  # 1/Angstrom
    fwhm: float = 4.0  # bins
    q: Floats = field(init=False)
    radius: Floats = field(init=False)
    pixels: Floats = field(init=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "radius", 5.0 + np.arange(self.bins))
        set_(self, "q", self.q_max * self.radius / self.radius[-1])
        set_(self, "pixels", 2 * np.pi * self.radius)

    def halo(self) -> Floats:
        """Glass: broad maxima on what falls off; holds one count in all."""
        shape = np.exp(-0.5 * ((self.q - 1.6) / 0.18) ** 2) + 0.1
        shape += 0.4 * np.exp(-0.5 * ((self.q - 3.0) / 0.4) ** 2)
        shape += 0.3 * np.exp(-self.q / 2)
        return shape / (shape * self.pixels).sum()

    def rings(self, q: Any, counts: Any, fwhm: float | None = None) -> Floats:
        """Gaussian rings (fwhm in bins) at q with relative counts; one count in all."""
        sigma = (fwhm or self.fwhm) * (self.q[1] - self.q[0]) / 2.3548
        drawn = np.zeros(self.bins)
        for at, each in zip(q, counts, strict=True):
            drawn += each / at * np.exp(-0.5 * ((self.q - at) / sigma) ** 2)
        return drawn / (drawn * self.pixels).sum()

    def seen(self, mean: Floats, rng: np.random.Generator) -> Seen:
        """Expected counts per pixel as a frame with noise."""
        counts = rng.poisson(np.maximum(mean * self.pixels, 0)).astype(float)[:, None]
        norm = self.pixels[:, None]
        profiles = profiles_of(counts, counts, norm, self.radius, 1e3)
        return Seen(profiles=profiles, rings=find_rings(profiles))

    def facts(self, index: int = 0, **readbacks: float) -> FrameFacts:
        """What the checks of a profile need beside it."""
        ones = np.ones(self.bins)
        return FrameFacts(
            ref=FrameRef(
                run_uid="run",
                stream="primary",
                data_key="detector_image",
                index=index,
                seq_num=index + 1,
                time=0.0,
                locator=LostLocator(reason="a test drew its profile"),
                readbacks=readbacks,
            ),
            cake=_NO_CAKE,
            pattern=Pattern(q=self.q, intensity=ones, sigma=ones, coverage=ones),
            dtype=np.dtype("uint32"),
            distance_m=0.2,
        )

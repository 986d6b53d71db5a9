"""What a check may know of a frame, and of the run's own first sound frames."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Cake, FrameRef, Pattern
from ringwatch.agent.quality.geometry.ring_center import CenterFit, mean_center
from ringwatch.agent.quality.geometry.rings import Profiles, Rings
from ringwatch.agent.quality.geometry.scale_fit import ScaleFit
from ringwatch.agent.quality.readout.totals import Totals
from ringwatch.agent.quality.readout.turned import Turned
from ringwatch.agent.quality.settings import QualitySettings

if TYPE_CHECKING:  # it compares with the reference
    from ringwatch.agent.quality.light.comparison import Comparison

__all__ = ["FrameFacts", "Reference", "Seen", "find_readback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFacts:
    """One reduced frame, as the checks get it.

    Attributes
    ----------
    ref : FrameRef
    cake : Cake
    pattern : Pattern or None
        None without a geometry.
    dtype : numpy.dtype
        Type of the raw pixels.
    dark_frames : int
        Frames averaged into the dark; 0 where none was subtracted.
    dark_age_s, dark_exposure_s : float
        Time between the dark and the frame, and exposure of the dark, seconds; NaN
        where nobody told.
    distance_m, energy_kev : float
        What the geometry says, NaN without one.
    scanned : tuple of str
        Readbacks that the plan of this run moves on purpose.
    turned : callable or None
        Gives the cake of the same frame turned back; None where the pixels are gone.
    totals : Totals
        Sums over the cake.
    """

    ref: FrameRef
    cake: Cake
    pattern: Pattern | None
    dtype: np.dtype[Any]
    dark_frames: int = 0
    dark_age_s: float = math.nan
    dark_exposure_s: float = math.nan
    distance_m: float = math.nan
    energy_kev: float = math.nan
    scanned: tuple[str, ...] = ()
    turned: Turned | None = None
    totals: Totals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "totals", Totals.of_cake(self.cake))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was measured on the way, for the reference.

    Attributes
    ----------
    profiles : Profiles or None
        None without a geometry.
    rings : Rings or None
    center : CenterFit or None
    scale : ScaleFit or None
        Where the rings of the run's reference are; None before there is one.
    light : Comparison or None
        With the light of the run's reference; None before there is one.
    """

    profiles: Profiles | None
    rings: Rings | None
    center: CenterFit | None = None
    scale: ScaleFit | None = None
    light: Comparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """Mean of the run's first sound frames; frozen once made.

    Attributes
    ----------
    frames : int
        How many.
    counts : (n_q, 32) float64
        Raw counts per pixel of one frame.
    empty : (n_q, 32) float64
        Share of the pixels that are 0.
    sector : (n_q, 32) float64
        Dark-subtracted counts of one frame per pixel at normal incidence.
    norm : (n_q, 32) float64
        Solid angle times polarization, summed over the usable pixels of all frames.
    marked : float
        Pixels marked invalid in one frame.
    brightness : float
        Dark-subtracted counts of one frame; the median, as one cosmic ray can hold more
        than all rings of a dim frame.
    mean, variance : (n_q,) float64
        Profile in counts per pixel, and the variance of it.
    rings : Rings
    center : CenterFit or None
    readbacks : dict of str to float
        Mean of each readback over the frames in which it is a number; NaN in none.
    """

    frames: int
    counts: NDArray[np.float64]
    empty: NDArray[np.float64]
    sector: NDArray[np.float64]
    norm: NDArray[np.float64]
    marked: float
    brightness: float
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    rings: Rings
    center: CenterFit | None
    readbacks: Mapping[str, float]

    @classmethod
    def from_frames(
        cls,
        frames: Iterable[tuple[FrameFacts, Seen]],
        settings: QualitySettings,
    ) -> Reference:
        """Average frames that all have a geometry, at least one."""
        every = list(frames)
        n = len(every)
        cakes = [facts.cake for facts, _ in every]
        pixels = np.maximum(sum(c.pixels for c in cakes), 1)
        profiles = [seen.profiles for _, seen in every if seen.profiles is not None]
        norm = np.asarray(sum(c.norm for c in cakes))
        net = np.asarray(sum(c.total - c.dark for c in cakes))
        spread = [p.variance / np.maximum(p.norm.sum(axis=1), 1e-9) for p in profiles]
        last = every[-1][1]
        return cls(
            frames=n,
            counts=np.asarray(sum(c.total for c in cakes) / pixels),
            empty=np.asarray(sum(c.zeros for c in cakes) / pixels),
            sector=np.divide(net, norm, out=np.zeros_like(net), where=norm > 0),
            norm=norm,
            marked=sum(c.marked for c in cakes) / n,
            brightness=median(float((c.total - c.dark).sum()) for c in cakes),
            mean=np.asarray(sum(p.mean for p in profiles) / n),
            variance=np.asarray(sum(spread) / n**2),
            rings=last.rings if last.rings is not None else _NO_RINGS,
            center=mean_center([s.center for _, s in every if s.center is not None]),
            readbacks=_mean_readbacks([facts.ref.readbacks for facts, _ in every]),
        )


_NO_RINGS = Rings(bins=np.empty(0, np.int64), fwhm=np.empty(0), width=math.nan)


def exposure(readbacks: Mapping[str, float], settings: QualitySettings) -> float | None:
    """Exposure of the frame in seconds, None where nobody tells a finite one."""
    key = find_readback(
        readbacks, settings.exposure_key, suffixes=("exposure_time", "acquire_time")
    )
    value = readbacks[key] if key else 0.0
    return value if 0 < value < math.inf else None


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_SAMPLE = re.compile(
    r"detector|camera|sensor|chiller|cabinet|ambient|monochromator|mirror|undulator"
    r"|(?<![a-z])(det|cam|room|hutch|water|mono|dcm)(?![a-z])"
)


def find_readback(
    readbacks: Mapping[str, float],
    key: str | None,
    *,
    suffixes: tuple[str, ...] = (),
    parts: tuple[str, ...] = (),
) -> str | None:
    """Find the readback that settings name, or else the first that looks like it.

    A suffix is a whole word: ``i0`` and ``ring_i0`` end in ``i0``, ``roi0`` and
    ``phi0`` do not. A part, of what samples have, may stand anywhere in a name, but not
    beside a word of what is no sample: a detector, camera, sensor, monochromator,
    mirror or undulator, a chiller and its water, a cabinet, room or hutch, what is
    ambient. A name that says ``sample`` is taken all the same, before others. What
    settings name is believed.
    """
    if key is not None:
        return key if key in readbacks else None
    return _find_name(tuple(readbacks), suffixes, parts)


@lru_cache(maxsize=256)
def _find_name(
    names: tuple[str, ...], suffixes: tuple[str, ...], parts: tuple[str, ...]
) -> str | None:
    """The frames of a run have the same readbacks: looked for once."""
    for name in sorted(names):
        if any(_ends_in(name.lower(), suffix) for suffix in suffixes):
            return name
    for name in sorted(names, key=lambda name: ("sample" not in name.lower(), name)):
        if any(part in name.lower() for part in parts) and not _is_elsewhere(name):
            return name
    return None


def _is_elsewhere(name: str) -> bool:
    """Whether a name tells of something that has a temperature and is no sample."""
    words = _CAMEL.sub("_", name).lower()
    return "sample" not in words and _NO_SAMPLE.search(words) is not None


def _ends_in(name: str, word: str) -> bool:
    before = name.removesuffix(word)
    return before != name and not before[-1:].isalnum()


def _mean_readbacks(every: list[dict[str, float]]) -> dict[str, float]:
    shared = set.intersection(*(set(r) for r in every))
    means = {}
    for key in sorted(shared):
        known = [r[key] for r in every if math.isfinite(r[key])]
        means[key] = sum(known) / len(known) if known else math.nan
    return means

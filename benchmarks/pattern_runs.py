"""Frames of simulated experiments drawn as patterns: what a bin sums is Poisson's.

Benchmarks of what is taught need hours of frames. A pattern drawn from the expected
counts of its bins costs microseconds where a frame costs milliseconds, and shows all
that a pattern can show: rings, background, counting noise. What pixels and sectors show
(shadows, spots, gaps) it leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS
from ringwatch.simulated_beamline.conditions import Conditions
from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel
from ringwatch.simulated_beamline.phases import PHASES, Phase, Site
from ringwatch.simulated_beamline.sample import Sample

__all__ = [
    "Blend",
    "Drawn",
    "draw",
    "expected_pattern",
    "invented_phase",
    "material",
    "pixels_of_bins",
]

Floats = NDArray[np.float64]

_EDGE = 1024
_KINDS = (
    ("P m -3 m", 221, "cubic"),
    ("F m -3 m", 225, "cubic"),
    ("P 63/m m c", 194, "hexagonal"),
    ("P -3 m 1", 164, "hexagonal"),
    ("I 4/m m m", 139, "tetragonal"),
    ("P 42/m n m", 136, "tetragonal"),
    ("P n m a", 62, "orthorhombic"),
    ("C m c m", 63, "orthorhombic"),
    ("I m m a", 74, "orthorhombic"),
)
_ELEMENTS = ("O", "F", "Mg", "Al", "Si", "S", "Ca", "Ti", "Fe", "Zn", "Sr", "Zr", "Ba")


@dataclass(frozen=True, slots=True)
class Blend:
    """Phases, known or invented, in fixed volume parts.

    Parameters
    ----------
    parts : tuple of (Phase, float)
        Volume parts above 0; they need not add up to 1.
    """

    parts: tuple[tuple[Phase, float], ...]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All of them."""
        return tuple(phase for phase, _ in self.parts)

    def fractions(self, temperature: float) -> tuple[float, ...]:
        """Volume fraction of each, whatever the ``temperature``."""
        whole = sum(part for _, part in self.parts)
        return tuple(part / whole for _, part in self.parts)


def invented_phase(seed: int) -> Phase:
    """A crystal that nobody has: a drawn cell with two to four sites in it.

    Atoms may come nearer to each other than real ones would; the lines do not mind.
    """
    rng = np.random.default_rng([77, seed])
    setting, number, system = _KINDS[int(rng.integers(len(_KINDS)))]
    a, b, c = np.exp(rng.uniform(np.log(3.6), np.log(9.0), 3))
    a, b, c = {"cubic": (a, a, a), "orthorhombic": (a, b, c)}.get(system, (a, a, c))
    sites = tuple(
        Site(
            element=str(rng.choice(_ELEMENTS)),
            position=_place(rng, system),
            b_iso=float(rng.uniform(0.3, 1.2)),
        )
        for _ in range(int(rng.integers(2, 5)))
    )
    return Phase(
        name=f"invented {seed}",
        space_group=number,
        setting=setting,
        lengths=(float(a), float(b), float(c)),
        gamma=120.0 if system == "hexagonal" else 90.0,
        sites=sites,
        expansion=(1e-5, 1e-5, 1e-5),
        source=f"drawn with seed {seed}",
    )


def _place(rng: np.random.Generator, system: str) -> tuple[float, float, float]:
    """A position; on mirrors and axes for the most part, as in most structures."""
    free = rng.uniform(0.05, 0.45, 3)
    fixed = rng.choice([0.0, 0.25, 0.5], 3)
    few = 0.15 if system == "cubic" else 0.5
    x, y, z = np.where(rng.random(3) < few, free, fixed)
    return float(x), float(y), float(z)


def material(number: int, without: tuple[str, ...] = ()) -> Phase:
    """The known phases, less those named, and then invented ones, without end."""
    known = [phase for name, phase in PHASES.items() if name not in without]
    return known[number] if number < len(known) else invented_phase(number)


@lru_cache(maxsize=1)
def _binning() -> tuple[Geometry, Binning]:
    geometry = Geometry.centered(flat_panel(_EDGE))
    mask = _experiment(Blend(((PHASES["CeO2"], 1.0),))).mask()
    shape = geometry.detector.shape
    return geometry, Binning.from_geometry(geometry.integrator(), shape, mask=mask)


def _experiment(sample: Sample, **more: Any) -> Experiment:
    geometry = Geometry.centered(flat_panel(_EDGE))
    return Experiment(geometry, sample, beamstop=Beamstop(), **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Patterns of one run.

    Attributes
    ----------
    q : (n,) float64
        1/Angstrom.
    intensity, sigma : (B, n) float64
        Counts per pixel.
    """

    q: Floats
    intensity: Floats
    sigma: Floats


def expected_pattern(
    sample: Sample, *, faults: tuple[Any, ...] = (), **more: Any
) -> Floats:
    """Expected counts (n,) of each bin, the dark subtracted.

    Parameters
    ----------
    sample : Sample
    faults : sequence of Fault
        In force.
    **more
        Of ``Experiment``: ``counts``, ``background``, ``temperature``, ...
    """
    _, binning = _binning()
    experiment = _experiment(sample, **more)
    conditions: Conditions = replace(experiment.conditions(faults), dark=0.0, beam=1.0)
    image = experiment.expected(conditions).ravel()
    n = binning.q.size
    used = binning.cell < n * SECTORS
    rows = binning.cell[used].astype(np.int64) // SECTORS
    counts = np.maximum(image[used], 0.0).astype(np.float64)
    return np.asarray(np.bincount(rows, counts, minlength=n), np.float64)


def pixels_of_bins() -> tuple[Floats, Floats]:
    """Centre of each bin (n,), 1/Angstrom, and the weight of its pixels (n,)."""
    _, binning = _binning()
    return binning.q, binning.norm.sum(axis=1)


def draw(expected: Floats, number: int, rng: np.random.Generator) -> Drawn:
    """Draw so many frames; ``expected`` (n,) or, of each frame its own, (number, n)."""
    q, norm = pixels_of_bins()
    mean = np.broadcast_to(expected, (number, q.size))
    counts = rng.poisson(mean).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(norm > 0, 1.0 / norm, np.nan)
    return Drawn(
        q=q,
        intensity=counts * scale,
        sigma=np.sqrt(np.maximum(counts, 1.0)) * scale,
    )

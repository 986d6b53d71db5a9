"""How a real structure is drawn for evaluation: clean, or as a beamline sees it.

Backgrounds are drawn here by code of their own, not by the code that training draws
them with: a network must not be scored on the very shapes that it was taught. Texture
and the resolution of an area detector are computed, where training draws them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.diffraction import Grid, line_areas, render
from ringwatch.models.disturbances.instruments import area_detector_fwhm
from ringwatch.models.disturbances.texture import orbit_factors
from ringwatch.models.evaluation.datasets import Facts, LabelledPattern, RealStructure

__all__ = ["BEAMLINE", "CLEAN", "View", "draw"]

Floats = NDArray[np.float64]
Range = tuple[float, float]

_K_ALPHA_SPLIT = ((-0.00083, 1.0), (0.00166, 0.5))
"""Relative shift in q of the K-alpha lines from their mean, and their strengths
(Hoelzer et al., Phys. Rev. A 56 (1997) 4554)."""
_TEXTURE_AXES = (
    *((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)),
    (1, 1, 1),
)
_DETECTOR = {"pixel": 172e-6, "beam": 3e-4, "thickness": 1e-3, "bandwidth": 1e-3}
"""Of `area_detector_fwhm`: lengths in metre."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How a structure is drawn; a pair is drawn from, log-uniformly, per structure.

    Attributes
    ----------
    q_min, q_max, step : float
        Range and sampling, 1/Angstrom.
    wavelength : float
        Angstrom.
    polarization : float
        1 for a tube, 0 for a beamline's corrected reduction.
    fwhm : pair
        1/Angstrom at all q, half Gaussian and half Lorentzian.
    background : pair
        Height at its highest point of a smooth background - air scatter that falls
        with q, an amorphous halo, a constant, in random shares - relative to the
        highest line. (0, 0): none.
    pedestal : float
        A constant, relative to the highest line.
    counts : pair
        Counts per point at the highest line; (0, 0): no noise.
    impurities, impurity_height : int, float
        Foreign lines at random places from 0.6 to 4.6 1/Angstrom, and the greatest
        height of each relative to the highest line.
    texture : float
        Standard deviation of the logarithm of a random factor per line.
    zero_shift : float
        Standard deviation of an offset of q, 1/Angstrom.
    doublet : bool
        Whether both K-alpha lines are drawn.
    march_dollase : float
        Texture: March-Dollase parameter, below 1 for plates, above 1 for needles, 1 for
        none, about one of seven axes of low indices, drawn per structure. The mean over
        each line's orbit is exact; where orbits coincide, it is that of one.
    distance : float
        Metre from the sample to a flat area detector, whose resolution adds to the
        width in squares: pixels of 172 micrometre, a beam of 0.3 mm on a sample of
        1 mm, a bandwidth of 1e-3. 0: none.
    """

    q_min: float
    q_max: float
    step: float
    wavelength: float
    polarization: float
    fwhm: Range
    background: Range = (0.0, 0.0)
    pedestal: float = 0.0
    counts: Range = (0.0, 0.0)
    impurities: int = 0
    impurity_height: float = 0.05
    texture: float = 0.0
    zero_shift: float = 0.0
    doublet: bool = False
    march_dollase: float = 1.0
    distance: float = 0.0

    @property
    def q(self) -> Floats:
        """Points, (n,), 1/Angstrom."""
        return self.grid.q

    @property
    def grid(self) -> Grid:
        """Even grid of q."""
        n = round((self.q_max - self.q_min) / self.step) + 1
        return Grid(n_bins=n, q_min=self.q_min, q_max=self.q_max, logarithmic=False)


CLEAN = View(
    q_min=0.356,
    q_max=5.76,
    step=0.002,
    wavelength=1.5418,
    polarization=1.0,
    fwhm=(0.008, 0.008),
)
"""Cu K-alpha, 5 to 90 degrees, no disturbance."""

BEAMLINE = View(
    q_min=0.7,
    q_max=5.6,
    step=0.004,
    wavelength=0.3,
    polarization=0.0,
    fwhm=(0.012, 0.03),
    background=(0.02, 0.5),
    pedestal=0.02,
    counts=(1e3, 1e5),
)
"""An area detector at high energy: broader lines, background, counting noise."""


def draw(structure: RealStructure, view: View, *, seed: int = 0) -> LabelledPattern:
    """Draw the pattern of a structure.

    Parameters
    ----------
    structure : RealStructure
        Its row and ``seed`` fix all that is random, whatever else is drawn.
    view : View
        How.
    seed : int
        For another draw of everything.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, structure.row]))
    y = _lines(structure, view, rng)
    grid = view.grid
    y /= max(float(y.max()), 1e-300)
    y += _foreign_lines(grid.q, view, rng) + view.pedestal
    y += _between(rng, view.background) * _background(grid.q, rng)
    counts = _between(rng, view.counts)
    if counts:
        y = rng.poisson(y * counts).astype(np.float64)
    return LabelledPattern(
        space_group=structure.space_group,
        q=grid.q,
        intensity=y,
        facts=Facts(
            cluster=structure.cluster,
            part=structure.part,
            volume=structure.volume,
            q_min=view.q_min,
            q_max=view.q_max,
        ),
    )


def _between(rng: np.random.Generator, bounds: Range) -> float:
    """Log-uniform between the bounds; 0 where the lower one is."""
    share = rng.random()
    low, high = bounds
    return low * math.exp(share * math.log(high / low)) if low else 0.0


def _lines(structure: RealStructure, view: View, rng: np.random.Generator) -> Floats:
    """Lines alone, (n,), any unit."""
    lines = structure.lines
    fwhm = _between(rng, view.fwhm)
    shift = view.zero_shift * rng.standard_normal()
    area = line_areas(lines, view.wavelength, view.polarization)
    if view.texture:
        area = area * np.exp(view.texture * rng.standard_normal(len(area)))
    if view.march_dollase != 1.0:
        area = area * _texture_factors(structure, view.march_dollase, rng)
    width = _widths(lines.q, fwhm, view)
    q = lines.q + shift
    if view.doublet:
        q = np.concatenate([q * (1 + by) for by, _ in _K_ALPHA_SPLIT])
        area = np.concatenate([area * strength for _, strength in _K_ALPHA_SPLIT])
        width = np.concatenate([width for _ in _K_ALPHA_SPLIT])
    drawn = render(
        view.grid,
        np.array([0, len(area)]),
        q.astype(np.float32),
        (area / area.max()).astype(np.float32),
        width.astype(np.float32),
        np.array([0.5], np.float32),
    )
    return np.asarray(drawn[0], np.float64)


def _texture_factors(
    structure: RealStructure, r: float, rng: np.random.Generator
) -> Floats:
    """March-Dollase factors of the lines, (M,)."""
    return orbit_factors(
        structure.lines.hkl,
        cell=structure.cell,
        space_group=structure.space_group,
        axis=_TEXTURE_AXES[rng.integers(len(_TEXTURE_AXES))],
        r=r,
    )


def _widths(q: Floats, fwhm: float, view: View) -> Floats:
    """FWHM of lines, (M,), 1/Angstrom."""
    width = np.full(len(q), fwhm)
    if not view.distance:
        return width
    detector = area_detector_fwhm(
        q, wavelength=view.wavelength, distance=view.distance, **_DETECTOR
    )
    return np.asarray(np.hypot(width, detector))


def _foreign_lines(q: Floats, view: View, rng: np.random.Generator) -> Floats:
    """Gaussian lines of no crystal, (n,), relative to the highest line."""
    y = np.zeros(len(q))
    for _ in range(view.impurities):
        centre, height = rng.uniform(0.6, 4.6), view.impurity_height * rng.random()
        z = (q - centre) / view.fwhm[1]
        y += height * np.exp(-4 * math.log(2) * z * z)
    return y


def _background(q: Floats, rng: np.random.Generator) -> Floats:
    """A smooth curve, (n,), not negative, highest point 1."""
    fall = np.exp(-(q - q[0]) / rng.uniform(0.3, 1.5))
    centre, width = rng.uniform(1.3, 3.0), rng.uniform(0.3, 0.8)
    halo = np.exp(-0.5 * ((q - centre) / width) ** 2)
    share = rng.dirichlet([1.0, 1.0, 1.0])
    y = share[0] * fall + share[1] * halo + share[2]
    return np.asarray(y / y.max())

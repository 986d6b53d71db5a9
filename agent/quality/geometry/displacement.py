"""How far the rings of each sector lie from the frame's own mean rings.

Every (ring, sector) window is fitted by ``background + amplitude * mean - move *
slope`` (linear least squares), so texture and absorption end in ``amplitude``, not in
``move``. The moves then follow, to first order in the angle,

    move(r, chi) = ring + dx cos(chi) + dy sin(chi)                beam centre
                 + (r^2 / D) (tx cos(chi) + ty sin(chi))           detector tilt
                 + r (ex cos(2 chi) + ey sin(2 chi))               deviatoric strain

A tilt moves the rings' centres in proportion to r^2; the second harmonic is what a
stressed sample does (He, "Two-dimensional X-ray Diffraction", 2009, ch. 9), so neither
may end in the beam centre. The errors are cluster-robust ("sandwich": Huber 1967, White
1980; HC3 of MacKinnon and White 1985): with few grains in the beam the scatter of the
moves exceeds counting statistics by far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.geometry.harmonic_kernels import robust_harmonics
from ringwatch.agent.quality.geometry.move_kernels import measure_windows
from ringwatch.agent.quality.geometry.rings import Profiles, Rings
from ringwatch.agent.quality.settings import QualitySettings

__all__ = [
    "Covariance",
    "Harmonics",
    "Moves",
    "Pair",
    "fit_harmonics",
    "measure_moves",
]

Covariance = tuple[tuple[float, float], tuple[float, float]]
"""Of two components: ((xx, xy), (xy, yy))."""

_TAIL = 1.3
"""By so much more must the pairs be significant: their errors are estimates themselves,
of cells that are not all equally sure. Among 100,000 frames without a fault one of a
sample in change stood out by 6 sigma."""

_SEPARABLE = 12.0  # variance inflation beyond which tilt is not told from centre
_CHI = -math.pi + (np.arange(SECTORS) + 0.5) * 2 * math.pi / SECTORS
_WAVES = np.stack([np.cos(_CHI), np.sin(_CHI), np.cos(2 * _CHI), np.sin(2 * _CHI)])
_WAVE_OF = np.array([0, 1, 2, 3, 0, 1])  # of centre, strain and tilt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """Radial displacement of each (ring, sector), all (n_rings, 32).

    Attributes
    ----------
    move : float64
        ``amplitude`` times the displacement, pixels.
    sigma : float64
        Standard deviation of ``move`` from counting statistics; infinite where the
        window cannot be fitted.
    amplitude : float64
        Ring intensity of the sector over that of the mean, shrunk towards the mean as
        far as counting statistics demands.
    height, height_variance : float64
        The same as measured, and its variance by counting statistics, infinite where
        the window cannot be fitted.
    radius : (n_rings,) float64
        Pixels, rising.
    participation : float
        Share of the azimuth that takes part in the rings, 0..1 (median ring):
        ``(sum a)^2 / (n sum a^2)``, 1 for an even ring, 1/n for a single spot.
    """

    move: NDArray[np.float64]
    sigma: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    height: NDArray[np.float64]
    height_variance: NDArray[np.float64]
    radius: NDArray[np.float64]
    participation: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two components of one harmonic, with their errors; any unit.

    Attributes
    ----------
    x, y : float
    covariance : ((xx, xy), (xy, yy)) of float
        Unit squared. No array: a frame has a dozen pairs, and few numbers are quicker.
    freedom : float
        Degrees of freedom of the covariance.
    """

    x: float
    y: float
    covariance: Covariance
    freedom: float

    @property
    def length(self) -> float:
        """Amplitude."""
        return math.hypot(self.x, self.y)

    @property
    def z(self) -> float:
        """Mahalanobis length."""
        (a, b), (_, d) = self.covariance
        square = d * self.x**2 - 2 * b * self.x * self.y + a * self.y**2
        return math.sqrt(max(square / (a * d - b * b), 0.0))

    @property
    def sigma(self) -> float:
        """Standard deviation along the direction of the pair itself."""
        (a, b), (_, d) = self.covariance
        length = self.length
        if length == 0.0:
            return math.sqrt((a + d) / 2)
        x, y = self.x / length, self.y / length
        return math.sqrt(max(a * x * x + 2 * b * x * y + d * y * y, 0.0))

    def minus(self, other: Pair) -> Pair:
        """Difference to an independent measurement."""
        ((a, b), (c, d)), ((e, f), (g, h)) = self.covariance, other.covariance
        return Pair(
            x=self.x - other.x,
            y=self.y - other.y,
            covariance=((a + e, b + f), (c + g, d + h)),
            freedom=self.freedom,
        )

    def times(self, factor: float) -> Pair:
        """The same in another unit."""
        return Pair(
            x=self.x * factor,
            y=self.y * factor,
            covariance=self.less_sure(factor**2).covariance,
            freedom=self.freedom,
        )

    def less_sure(self, times: float, more: float = 0.0) -> Pair:
        """The same with so many times the covariance, and more variance of both."""
        (a, b), (c, d) = self.covariance
        return Pair(
            x=self.x,
            y=self.y,
            covariance=((a * times + more, b * times), (c * times, d * times + more)),
            freedom=self.freedom,
        )

    def beyond(self, limit: float, settings: QualitySettings) -> bool:
        """Whether it is significant (Hotelling) as well as longer than the limit."""
        if not self.length > limit:
            return False
        return self.z > _TAIL * settings.threshold_for(self.freedom, dimensions=2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Harmonics:
    """Fitted harmonics of the displacements and their covariance.

    Attributes
    ----------
    center : Pair
        Where the rings' centre lies from that of the geometry, pixels.
    strain : Pair
        Deviatoric strain, 1: amplitudes of cos 2 chi and sin 2 chi.
    tilt : Pair or None
        Displacement of the outermost ring by the tilt, pixels; None where it could not
        be told from the centre.
    scale : float
        Radius of the outermost ring, pixels.
    spread : float
        Scatter of the displacements beyond counting noise, pixels.
    """

    center: Pair
    strain: Pair
    tilt: Pair | None
    scale: float
    spread: float


def measure_moves(profiles: Profiles, rings: Rings) -> Moves:
    """Fit every (ring, sector) window by linear least squares."""
    half = int(min(max(math.ceil(1.3 * rings.width / profiles.pitch), 3), 20))
    results = np.empty((5, rings.bins.size, profiles.sector.shape[1]))
    radius = np.empty(rings.bins.size)
    participation = measure_windows(
        profiles.sector,
        profiles.norm,
        profiles.mean,
        profiles.whole,
        profiles.step,
        profiles.variance,
        profiles.radius,
        rings.bins,
        half,
        profiles.moved,
        results,
        radius,
    )
    move, sigma, height, variance, amplitude = results
    return Moves(
        move=move,
        sigma=sigma,
        amplitude=amplitude,
        height=height,
        height_variance=variance,
        radius=radius,
        participation=participation,
    )


def fit_harmonics(moves: Moves) -> Harmonics | None:
    """Fit centre, tilt where separable, and strain; None with too little azimuth."""
    scale = max(float(moves.radius[-1]), 1.0)
    r = moves.radius / scale
    powers = np.empty((6, r.size))
    powers[:2], powers[2:4], powers[4:] = 1.0, r, r * r
    for terms in (6, 4):
        beta, freedom, covariance = np.empty(terms), np.empty(3), np.empty((6, 6))
        fitted, inflation, spread = robust_harmonics(
            moves.move,
            moves.sigma,
            moves.amplitude,
            powers[:terms],
            _WAVES,
            _WAVE_OF,
            beta,
            covariance,
            freedom,
        )
        if fitted and not (terms == 6 and inflation > _SEPARABLE):
            found, free, error = beta.tolist(), freedom.tolist(), covariance.tolist()
            center, strain, *tilt = (
                Pair(
                    x=found[k],
                    y=found[k + 1],
                    covariance=(
                        (error[k][k], error[k][k + 1]),
                        (error[k + 1][k], error[k + 1][k + 1]),
                    ),
                    freedom=free[k // 2],
                )
                for k in range(0, terms, 2)
            )
            return Harmonics(
                center=center,
                strain=strain.times(1.0 / scale),
                tilt=tilt[0] if tilt else None,
                scale=scale,
                spread=spread,
            )
    return None

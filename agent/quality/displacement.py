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
from ringwatch.agent.quality.rings import Profiles, Rings

__all__ = ["Harmonics", "Moves", "fit_harmonics", "measure_moves"]

_HUBER = 1.5
_SEPARABLE = 12.0  # variance inflation beyond which tilt is not told from centre


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
    radius : (n_rings,) float64
        Pixels.
    """

    move: NDArray[np.float64]
    sigma: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    radius: NDArray[np.float64]

    @property
    def participation(self) -> float:
        """Share of the azimuth that takes part in the rings, 0..1 (median ring).

        ``(sum a)^2 / (n sum a^2)``: 1 for an even ring, 1/n for a single spot.
        """
        seen = np.isfinite(self.sigma)
        shares = []
        for amplitude, used in zip(self.amplitude, seen, strict=True):
            a = np.maximum(amplitude[used], 0.0)
            if a.size and (a > 0).any():
                shares.append(float(a.sum() ** 2 / (a.size * (a * a).sum())))
        return float(np.median(shares)) if shares else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Harmonics:
    """Fitted first harmonic and its covariance.

    Attributes
    ----------
    dx, dy : float
        Where the rings' centre lies from that of the geometry, pixels along columns
        and rows.
    covariance : (2, 2) float64
        Of (dx, dy), pixels squared, cluster-robust.
    freedom : float
        Effective degrees of freedom of that covariance.
    with_tilt : bool
        Whether tilt could be told from centre and was fitted beside it.
    spread : float
        Scatter of the displacements beyond counting noise, pixels.
    """

    dx: float
    dy: float
    covariance: NDArray[np.float64]
    freedom: float
    with_tilt: bool
    spread: float

    @property
    def length(self) -> float:
        """Displacement in pixels."""
        return math.hypot(self.dx, self.dy)


def measure_moves(profiles: Profiles, rings: Rings) -> Moves:
    """Fit every (ring, sector) window by linear least squares."""
    half = int(np.clip(math.ceil(1.3 * rings.width / np.median(profiles.step)), 3, 20))
    window = rings.bins[:, None] + np.arange(-half, half + 1)  # (R, W)
    inside = (window >= 0) & (window < profiles.radius.size)
    window = np.clip(window, 0, profiles.radius.size - 1)
    shape = profiles.mean[window]
    slope = (_slope(profiles.mean) / profiles.step)[window]
    # (R, W, 3); the mean is centred and scaled so that the systems are well conditioned
    top = np.maximum(np.ptp(shape, axis=1, keepdims=True), 1e-12)
    low = shape.min(axis=1, keepdims=True)
    columns = np.stack([np.ones_like(shape), (shape - low) / top, -slope / top], axis=2)
    weight = np.where(inside, 1.0 / profiles.variance[window], 0.0)
    norm = profiles.norm[window]  # (R, W, S)
    products = columns[..., :, None] * columns[..., None, :] * weight[..., None, None]
    normal = np.einsum("rwjk,rws->rsjk", products, norm)
    data = norm * profiles.sector[window] / top[..., None]
    right = np.einsum("rwj,rws->rsj", columns * weight[..., None], data)
    enough = (norm > 0).sum(axis=1) >= max(4, half)  # (R, S)
    enough &= np.linalg.det(normal) > 1e-9 * np.prod(
        np.diagonal(normal, axis1=2, axis2=3), axis=2
    )
    inverse = np.linalg.inv(np.where(enough[..., None, None], normal, np.eye(3)))
    solution = np.einsum("rsjk,rsk->rsj", inverse, right)
    variance = np.where(enough, inverse[..., 2, 2], np.inf) / top**2
    amplitude_variance = np.where(enough, inverse[..., 1, 1], np.inf) / top**2
    amplitude = _shrink(solution[..., 1], amplitude_variance)
    return Moves(
        move=np.where(enough, solution[..., 2], 0.0),
        sigma=np.sqrt(variance),
        amplitude=np.where(enough, amplitude, 0.0),
        radius=profiles.radius[rings.bins],
    )


def fit_harmonics(moves: Moves) -> Harmonics | None:
    """Fit centre, tilt where separable, and strain; None with too little azimuth."""
    chi = -math.pi + (np.arange(SECTORS) + 0.5) * 2 * math.pi / SECTORS
    r = moves.radius[:, None]
    one = np.ones((moves.radius.size, SECTORS))
    centre = [one * np.cos(chi), one * np.sin(chi)]
    scale = max(float(moves.radius.max()), 1.0)
    strain = [r / scale * np.cos(2 * chi), r / scale * np.sin(2 * chi)]
    tilt = [(r / scale) ** 2 * np.cos(chi), (r / scale) ** 2 * np.sin(chi)]
    for further, with_tilt in ((strain + tilt, True), (strain, False)):
        design = np.stack(centre + further, axis=2)  # (R, S, p)
        fit = _robust(moves, design)
        if fit is None:
            continue
        beta, covariance, freedom, inflation, spread = fit
        if with_tilt and inflation > _SEPARABLE:
            continue
        return Harmonics(
            dx=float(beta[0]),
            dy=float(beta[1]),
            covariance=covariance[:2, :2],
            freedom=freedom,
            with_tilt=with_tilt,
            spread=spread,
        )
    return None


def _robust(
    moves: Moves, design: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float, float] | None:
    """Weighted Huber regression with a free offset per ring and HC3 errors.

    Returns coefficients (p,), covariance (p, p), degrees of freedom, how much the
    columns beside it inflate the variance of the centre, and the scatter beyond
    counting noise.
    """
    a, y = moves.amplitude, moves.move
    usable = np.isfinite(moves.sigma) & (a > 0.02)
    usable &= usable.sum(axis=1, keepdims=True) >= 6
    if usable.sum() < design.shape[2] + 6:
        return None
    excess = 0.0
    huber = np.ones_like(y)
    for _ in range(5):
        spread = moves.sigma**2 + (a * a + 0.05) * excess
        weight = np.where(usable, huber / spread, 0.0)
        X = _within(a[..., None] * design, a, weight)  # (R, S, p)
        target = _within(y[..., None], a, weight)[..., 0]
        normal = np.einsum("rsj,rsk,rs->jk", X, X, weight)
        scale = np.sqrt(np.diagonal(normal))
        if not scale.all() or np.linalg.cond(normal / np.outer(scale, scale)) > 1e6:
            return None
        inverse = np.linalg.inv(normal)
        beta = inverse @ np.einsum("rsj,rs->j", X, weight * target)
        residual = target - X @ beta
        excess = _excess(residual, moves.sigma, a, usable)
        size = np.abs(residual) / np.sqrt(moves.sigma**2 + (a * a + 0.05) * excess)
        huber = np.minimum(1.0, _HUBER / np.maximum(size, _HUBER))
    influence = np.einsum("rsj,jk->rsk", X, inverse) * weight[..., None]
    leverage = np.einsum("rsj,rsj->rs", influence, X)
    leverage += _own_share(a, weight)
    score = residual / np.maximum(1.0 - leverage, 0.1)
    pulled = influence * score[..., None]
    covariance = np.einsum("rsj,rsk->jk", pulled, pulled)
    # Satterthwaite: how many (ring, sector) cells carry the error, in effect
    parts = np.einsum("rsj,rsj->rs", influence[..., :2], influence[..., :2])
    parts *= np.where(usable, spread, 0.0)
    freedom = parts.sum() ** 2 / max((parts**2).sum(), 1e-300)
    alone = np.linalg.inv(normal[:2, :2])
    inflation = float(np.trace(inverse[:2, :2]) / np.trace(alone))
    freedom = max(float(freedom) - design.shape[2], 2.0)
    return beta, covariance, freedom, inflation, math.sqrt(excess)


def _within(
    values: NDArray[np.float64], a: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Take the free offset of each ring out of (R, S, p) values (Frisch and Waugh)."""
    mass = (weight * a * a).sum(axis=1)
    offset = np.einsum("rs,rsp->rp", weight * a, values)
    offset /= np.where(mass > 0, mass, 1.0)[:, None]
    return values - a[..., None] * offset[:, None, :]


def _own_share(
    a: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    mass = (weight * a * a).sum(axis=1, keepdims=True)
    return weight * a * a / np.where(mass > 0, mass, 1.0)


def _excess(
    residual: NDArray[np.float64],
    sigma: NDArray[np.float64],
    a: NDArray[np.float64],
    usable: NDArray[np.bool_],
) -> float:
    """Variance of the displacement beyond counting noise, pixels squared."""
    strong = usable & (a > 0.2)
    if strong.sum() < 8:
        strong = usable
    moved = residual[strong] / a[strong]
    noise = sigma[strong] / a[strong]
    quiet = noise <= np.median(noise)
    spread = 1.4826 * float(np.median(np.abs(moved[quiet])))
    return max(spread**2 - float(np.median(noise[quiet] ** 2)), 1e-8)


def _shrink(
    amplitude: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pull noisy amplitudes towards 1: their noise would bias the moves to zero."""
    finite = np.isfinite(variance)
    noise = np.where(finite, variance, 0.0).sum(axis=1) / np.maximum(
        finite.sum(axis=1), 1
    )
    off = np.where(finite, (amplitude - 1.0) ** 2, 0.0).sum(axis=1)
    real = np.maximum(off / np.maximum(finite.sum(axis=1), 1) - noise, 0.0)[:, None]
    trust = real / (real + np.where(finite, variance, 1.0) + 1e-30)
    return np.maximum(1.0 + trust * (amplitude - 1.0), 0.0)


def _slope(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourth-order central difference: the second-order one is 10 % low on a ring."""
    p = np.pad(profile, 2, mode="edge")
    return (8 * (p[3:-1] - p[1:-3]) - (p[4:] - p[:-4])) / 12

"""``sample_displaced``: is a flat plate off the axis of the goniometer?

A plate that stands ``s`` too high moves each ring by ``-2 s cos(theta) / R`` in 2theta
(Klug and Alexander, X-ray Diffraction Procedures, 1974, ch. 5). A zero error moves all
alike, and a wavelength or a lattice in proportion to tan(theta): all three are fitted.
Where an area detector sees the rings all around, nothing can move its zero: a moved
centre does not change the mean over the azimuth. Then the zero is left out, without
which heights are known ten times better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, Flag
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.scale_kernels import follow_rings
from ringwatch.agent.quality.settings import QualitySettings

__all__ = [
    "DisplacementFit",
    "RingShifts",
    "fit_displacement",
    "judge_sample_displaced",
]

Floats = NDArray[np.float64]

_LEAST_RINGS = 6  # three coefficients, and three degrees of freedom for their errors
_HUBER = 1.5
_BLIND = 20.0  # tolerances; an error bar so large leaves nothing to see
_APART = 0.25  # widths; rings that are farther off have been taken for others
_SCALES = 0.02  # widths; rings closer to a common scale are where that has them
_MISFIT = 20.0  # the same, where only some of them have
_ALL_AROUND = 0.1  # length of the mean direction of the pixels: 0 of whole rings
_DIRECTIONS = np.exp(2j * math.pi * (np.arange(SECTORS) + 0.5) / SECTORS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RingShifts:
    """How far each ring lies from where the run's reference has it; all (n,) float64.

    Attributes
    ----------
    two_theta : float64
        Scattering angle of the ring, rad.
    shift : float64
        Change of it, rad.
    sigma : float64
        Standard deviation of ``shift``, rad; not finite where it was not measured.
    zero_known : bool
        Whether nothing can have moved the zero of the angles.
    width : float
        Of a typical ring, rad.
    """

    two_theta: Floats
    shift: Floats
    sigma: Floats
    zero_known: bool = False
    width: float = math.inf

    @classmethod
    def from_moves(
        cls,
        radius: Floats,
        move: Floats,
        sigma: Floats,
        distance: float,
        *,
        zero_known: bool = False,
        width: float = math.inf,
    ) -> RingShifts:
        """Shifts from moves on an untilted detector, all in pixels.

        ``r = D tan(2 theta)``, so ``d(2 theta) = D dr / (D^2 + r^2)``.
        """
        per_px = distance / (distance**2 + radius**2)
        return cls(
            two_theta=np.arctan(radius / distance),
            shift=move * per_px,
            sigma=sigma * per_px,
            zero_known=zero_known,
            width=width / distance,
        )

    @classmethod
    def from_seen(cls, seen: Seen, reference: Reference | None) -> RingShifts | None:
        """Shifts of a frame's rings; None where none is in common with the reference.

        Each ring is followed on its own: a plate moves the inner ones by more than any
        common scale does.
        """
        profiles, scale = seen.profiles, seen.scale
        if profiles is None or scale is None or reference is None:
            return None
        moved = scale.moved.copy()
        if scale.apart > _SCALES and moved.size:  # a plate moves all about alike
            moved[1] = np.median(moved[1])
        reach = math.ceil(1.3 * reference.rings.width / profiles.pitch)
        follow_rings(
            profiles.mean,
            profiles.variance,
            profiles.whole,
            profiles.radius,
            profiles.step,
            reference.mean,
            reference.variance,
            scale.brightness,
            min(max(reach, 3), 20),
            moved,
        )
        radius, move, sigma = moved
        lit = profiles.norm.sum(axis=0)
        to_one_side = abs((lit * _DIRECTIONS).sum()) > _ALL_AROUND * lit.sum()
        return cls.from_moves(
            radius,
            move,
            sigma,
            profiles.distance,
            zero_known=not to_one_side,
            width=reference.rings.width,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplacementFit:
    """Height of the plate.

    Attributes
    ----------
    height, sigma : float
        Metres, towards the source; cluster-free errors inflated by the misfit.
    freedom : float
        Degrees of freedom of ``sigma``.
    apart : float
        Typical distance of a ring from where the fit has it, rad.
    misfit : float
        Scatter of the rings about the fit in standard deviations, at least 1.
    """

    height: float
    sigma: float
    freedom: float
    apart: float
    misfit: float


def judge_sample_displaced(
    facts: FrameFacts, shifts: RingShifts | None, settings: QualitySettings
) -> Finding:
    """Raise where the plate moved along its normal since the run's first frames."""
    flag = Flag.SAMPLE_DISPLACED
    if not settings.flat_plate:
        return not_evaluated(flag, "transmission geometry: no height of a plate")
    if shifts is None or not math.isfinite(facts.distance_m):
        return not_evaluated(flag, "no geometry, or no rings in common with the first")
    fit = fit_displacement(shifts, facts.distance_m)
    if fit is None or fit.apart > _APART * shifts.width or fit.misfit > _MISFIT:
        why = f"too few rings: {_LEAST_RINGS} tell height, zero and scale apart"
        if fit is not None:
            why = "the rings moved apart: another sample, or too far to follow each"
        return not_evaluated(flag, why)
    tolerance = settings.displacement_tolerance_um
    um, sigma_um = fit.height * 1e6, fit.sigma * 1e6
    further = {"displacement_sigma_um": sigma_um}
    limit = settings.threshold_for(fit.freedom)
    if limit * sigma_um > _BLIND * tolerance:
        return not_evaluated(
            flag,
            f"the height is known to {sigma_um:.0f} um only: the rings span too small "
            "a range of angles",
            further=further,
        )
    z = fit.height / fit.sigma
    if abs(z) < limit or abs(um) < tolerance:
        return clear(flag, um, z=z, further=further)
    way = "towards" if um > 0 else "away from"
    return raised(
        flag,
        um,
        f"the sample moved {abs(um):.0f} um {way} the beam along its normal since the "
        f"run's first frames ({abs(z):.0f} sigma): align its height again",
        z=z,
        further=further,
    )


def fit_displacement(shifts: RingShifts, distance_m: float) -> DisplacementFit | None:
    """Fit ``shift = -2 s cos(theta) / R + scale tan(theta)``, and a zero if unknown.

    Huber's weights; errors inflated by the misfit. None with fewer than six rings, or
    where the columns can't be told apart.

    Parameters
    ----------
    shifts : RingShifts
    distance_m : float
        From sample to detector, the radius ``R``, metres.
    """
    used = np.isfinite(shifts.sigma) & np.isfinite(shifts.shift) & (shifts.sigma > 0)
    n = int(used.sum())
    if n < _LEAST_RINGS:
        return None
    theta = shifts.two_theta[used] / 2
    columns = [-2.0 * np.cos(theta) / distance_m, np.tan(theta)]
    if not shifts.zero_known:
        columns.append(np.ones(n))
    design = np.stack(columns, axis=1)
    free = n - len(columns)
    y, sigma = shifts.shift[used], shifts.sigma[used]
    weight = 1.0 / sigma
    spread = 1.0
    for _ in range(6):
        rows = design * weight[:, None]
        size = np.sqrt((rows * rows).sum(axis=0))
        normal = (rows / size).T @ (rows / size)
        if np.linalg.cond(normal) > 1e12:
            return None
        inverse = np.linalg.inv(normal)
        beta = (inverse @ ((rows / size).T @ (y * weight))) / size
        away = np.abs(y - design @ beta) / sigma
        chi2 = float(((weight * sigma * away) ** 2).sum())
        spread = max(math.sqrt(chi2 / free), 1.0)
        weight = np.sqrt(np.minimum(1.0, _HUBER * spread / np.maximum(away, 1e-9)))
        weight = weight / sigma
    error = math.sqrt(float(inverse[0, 0])) / float(size[0]) * spread
    return DisplacementFit(
        height=float(beta[0]),
        sigma=error,
        freedom=float(free),
        misfit=spread,
        apart=1.4826 * float(np.median(away * sigma)),
    )

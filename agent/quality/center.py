"""``beam_center``: do the rings of all sectors share the centre of the geometry?

It needs no reference; a run's own first frames serve for a second, relative question.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.ring_center import CenterFit, CenterSearch
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_center"]

_BLIND = 1.5  # FWHM; an error bar so large leaves nothing to see


def judge_center(
    found: CenterSearch, reference: CenterFit | None, settings: QualitySettings
) -> Finding:
    """Raise the flag where the centre is off, absolutely or against the reference.

    Both conditions must hold: significance at the budget of false alarms, and an effect
    that matters, ``center_tolerance`` of the FWHM (a displacement ``d`` broadens the
    averaged ring by ``sqrt(1 + 2.77 d^2 / FWHM^2) - 1``). A quarter of a pixel is left
    to calibrations (a good one of a Pilatus left 0.10 px), not to a move within a run.
    """
    flag = Flag.BEAM_CENTER
    if found.apart is not None:
        return raised(
            flag,
            math.nan,
            "rings of different sectors do not coincide: their correlation is "
            f"{found.apart.correlation:.2f} over {found.apart.sectors} sectors; the "
            "geometry is not that of this frame, or the sample is a single crystal",
            z=math.nan,
            further=_further(math.nan, math.nan),
        )
    fit = found.fit
    if fit is None:
        return not_evaluated(flag, found.why_not)
    sigma = _sigma_along(fit.dx, fit.dy, fit.covariance)
    further = _further(fit.dy, sigma)
    if sigma * settings.threshold > _BLIND * fit.fwhm:
        return not_evaluated(
            flag,
            f"the centre is known to {sigma:.2f} px only, the rings are {fit.fwhm:.1f} "
            "px wide: too few counts, grains or rings",
            further=further,
        )
    limit = settings.center_tolerance * fit.fwhm
    off = math.hypot(fit.dx, fit.dy)
    z = _z(fit.dx, fit.dy, fit.covariance)
    absolute = max(limit, settings.center_floor)
    if _beyond(fit.dx, fit.dy, fit.covariance, fit.freedom, absolute, settings):
        sentence = (
            f"rings are centred {off:.2f} px from the beam centre of the geometry"
        )
        if reference is not None:
            moved = math.hypot(fit.dx - reference.dx, fit.dy - reference.dy)
            sentence = (
                f"beam centre moved {moved:.2f} px since the run's first frames and is "
                f"{off:.2f} px off the geometry"
            )
        return raised(
            flag,
            fit.dx,
            f"{sentence} ({z:.0f} sigma): {_broader(fit.dx, fit.dy, fit.fwhm)}",
            z=z,
            further=further,
        )
    if reference is not None:
        dx, dy = fit.dx - reference.dx, fit.dy - reference.dy
        covariance = fit.covariance + reference.covariance
        if _beyond(dx, dy, covariance, fit.freedom, limit, settings):
            z = _z(dx, dy, covariance)
            return raised(
                flag,
                fit.dx,
                f"beam centre moved {math.hypot(dx, dy):.2f} px since the run's first "
                f"frames ({z:.0f} sigma): {_broader(dx, dy, fit.fwhm)}",
                z=z,
                further=further,
            )
    return clear(flag, fit.dx, z=z, further=further)


def _beyond(
    dx: float,
    dy: float,
    covariance: NDArray[np.float64],
    freedom: float,
    limit: float,
    settings: QualitySettings,
) -> bool:
    significant = _z(dx, dy, covariance) > settings.threshold_for(freedom, dimensions=2)
    return significant and math.hypot(dx, dy) > limit


def _z(dx: float, dy: float, covariance: NDArray[np.float64]) -> float:
    """Mahalanobis length of a displacement."""
    d = np.array([dx, dy])
    return math.sqrt(max(float(d @ np.linalg.solve(covariance, d)), 0.0))


def _sigma_along(dx: float, dy: float, covariance: NDArray[np.float64]) -> float:
    length = math.hypot(dx, dy)
    if length == 0.0:
        return math.sqrt(float(np.trace(covariance)) / 2)
    u = np.array([dx, dy]) / length
    return math.sqrt(max(float(u @ covariance @ u), 0.0))


def _further(dy: float, sigma: float) -> dict[str, float]:
    return {"beam_center_dy_px": dy, "beam_center_sigma_px": sigma}


def _broader(dx: float, dy: float, fwhm: float) -> str:
    times = math.sqrt(1 + 2.77 * (dx * dx + dy * dy) / fwhm**2)
    if times < 2:
        return f"rings are {times - 1:.1%} broader than they should be"
    return f"rings are {times:.1f} times as broad as they should be"

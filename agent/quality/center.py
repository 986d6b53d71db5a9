"""``beam_center``: do the rings of all sectors share the centre of the geometry?

It needs no reference: the rings of one frame are concentric, so the sectors of the cake
must show them at the same radii. A run's own first frames serve for a second, relative
question. Texture, strain and grains are told apart in ``displacement``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.displacement import (
    Harmonics,
    fit_harmonics,
    measure_moves,
)
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.rings import Profiles, Rings, find_rings, recentre
from ringwatch.agent.quality.search import (
    Coincidence,
    measure_coincidence,
    search_center,
)
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["CenterFit", "judge_center", "locate_center"]

_LINEAR = 0.2  # FWHM; a larger move is fitted again after the sectors were moved back
_EVEN = 0.7  # share of the azimuth that rings of a true powder fill at least
_TIGHT = 0.15  # FWHM; arcs of wrong rings scatter more about their best centre
_SYMMETRIC = 0.1  # correlation of mirrored lines, and its standard deviations
_CERTAIN = 10.0
_UNRELATED = 0.08  # correlation of sectors that do not share rings
_LEAST_AZIMUTH = 10  # sectors


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterFit:
    """Centre of a frame's rings relative to that of the geometry.

    Attributes
    ----------
    dx, dy : float
        Along columns and rows, pixels.
    covariance : (2, 2) float64
        Pixels squared.
    freedom : float
        Degrees of freedom of the covariance.
    fwhm : float
        Width of the rings about their own centre, pixels.
    """

    dx: float
    dy: float
    covariance: NDArray[np.float64]
    freedom: float
    fwhm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterSearch:
    """Outcome of ``locate_center``: a fit, or why there is none.

    Attributes
    ----------
    fit : CenterFit or None
    why_not : str
        Empty where there is a fit.
    apart : Coincidence or None
        Given where the rings of different sectors do not coincide at all, so that the
        geometry is wrong by more than can be measured.
    """

    fit: CenterFit | None
    why_not: str = ""
    apart: Coincidence | None = None


def locate_center(profiles: Profiles, rings: Rings) -> CenterSearch:
    """Measure the centre of a frame's rings.

    Parameters
    ----------
    profiles : Profiles
    rings : Rings
        Of these profiles.
    """
    azimuth = int((profiles.norm > 0).any(axis=0).sum())
    if azimuth < _LEAST_AZIMUTH:
        return CenterSearch(
            fit=None,
            why_not=f"too little azimuth: {azimuth} of 32 sectors hold pixels, "
            f"{_LEAST_AZIMUTH} are needed",
        )
    fit, even = _fit(profiles, rings)
    if fit is not None and even and fit.length <= _LINEAR * rings.width:
        return CenterSearch(fit=_named(fit, rings.width))
    starts = []
    if fit is not None and even and fit.length <= rings.width:
        starts.append((fit.dx, fit.dy))
    found = search_center(profiles)
    if found is not None and found.score > _SYMMETRIC and found.z > _CERTAIN:
        starts.append((found.dx, found.dy))
    refined = _best(profiles, starts)
    if refined is not None:
        return CenterSearch(fit=refined)
    together = measure_coincidence(profiles)
    if together.sectors >= 8 and together.correlation < _UNRELATED and together.z < 10:
        return CenterSearch(fit=None, apart=together)
    if fit is not None and fit.length <= rings.width:
        return CenterSearch(fit=_named(fit, rings.width))
    if found is None and fit is not None:
        refined = _refine(profiles, fit.dx, fit.dy)
        better = 1.2 * together.correlation + 0.05
        if refined is not None and _agreement(profiles, refined) > better:
            return CenterSearch(fit=refined)
    if not rings.bins.size:
        return CenterSearch(fit=None, why_not="no ring stands out of the noise")
    return CenterSearch(
        fit=None, why_not="the rings fill too little of the azimuth, or are too spotty"
    )


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
    further = _further(fit.dy, _sigma_along(fit.dx, fit.dy, fit.covariance))
    limit = settings.center_tolerance * fit.fwhm
    z = _z(fit.dx, fit.dy, fit.covariance)
    absolute = max(limit, settings.center_floor)
    if _beyond(fit.dx, fit.dy, fit.covariance, fit.freedom, absolute, settings):
        sentence = (
            f"rings are centred {math.hypot(fit.dx, fit.dy):.2f} px from the beam "
            f"centre of the geometry ({z:.0f} sigma)"
        )
        if reference is not None:
            moved = math.hypot(fit.dx - reference.dx, fit.dy - reference.dy)
            sentence = (
                f"beam centre moved {moved:.2f} px since the run's first frames and is "
                f"{math.hypot(fit.dx, fit.dy):.2f} px off the geometry ({z:.0f} sigma)"
            )
        return raised(
            flag,
            fit.dx,
            f"{sentence}: {_broader(fit.dx, fit.dy, fit.fwhm)}",
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


def _fit(profiles: Profiles, rings: Rings) -> tuple[Harmonics | None, bool]:
    """First harmonic about the current centre, and whether rings fill the azimuth."""
    if not rings.bins.size:
        return None, False
    moves = measure_moves(profiles, rings)
    fit = fit_harmonics(moves)
    if fit is None:
        return None, False
    tight = fit.spread <= _TIGHT * rings.width
    return fit, moves.participation >= _EVEN and tight


def _refine(profiles: Profiles, dx: float, dy: float) -> CenterFit | None:
    """Move the sectors back and fit what is left, until nothing is."""
    for _ in range(4):
        moved = recentre(profiles, dx, dy)
        rings = find_rings(moved)
        fit, _ = _fit(moved, rings)
        if fit is None or fit.length > 3 * rings.width:
            return None
        dx, dy = dx + fit.dx, dy + fit.dy
        if fit.length < 0.05 * rings.width:
            break
    return CenterFit(
        dx=dx,
        dy=dy,
        covariance=fit.covariance,
        freedom=fit.freedom,
        fwhm=rings.width,
    )


def _best(profiles: Profiles, starts: list[tuple[float, float]]) -> CenterFit | None:
    """Refine from each start; of several outcomes the one about which sectors agree."""
    fits = [_refine(profiles, dx, dy) for dx, dy in starts]
    kept = [fit for fit in fits if fit is not None]
    if (
        len(kept) == 2
        and math.hypot(kept[0].dx - kept[1].dx, kept[0].dy - kept[1].dy) > 0.5
    ):
        kept.sort(key=lambda fit: _agreement(profiles, fit), reverse=True)
    return kept[0] if kept else None


def _agreement(profiles: Profiles, fit: CenterFit) -> float:
    return measure_coincidence(recentre(profiles, fit.dx, fit.dy)).correlation


def _named(fit: Harmonics, fwhm: float) -> CenterFit:
    return CenterFit(
        dx=fit.dx,
        dy=fit.dy,
        covariance=fit.covariance,
        freedom=fit.freedom,
        fwhm=fwhm,
    )


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
    return float(math.sqrt(max(d @ np.linalg.solve(covariance, d), 0.0)))


def _sigma_along(dx: float, dy: float, covariance: NDArray[np.float64]) -> float:
    length = math.hypot(dx, dy)
    if length == 0.0:
        return float(math.sqrt(np.trace(covariance) / 2))
    u = np.array([dx, dy]) / length
    return float(math.sqrt(max(u @ covariance @ u, 0.0)))


def _further(dy: float, sigma: float) -> dict[str, float]:
    return {"beam_center_dy_px": dy, "beam_center_sigma_px": sigma}


def _broader(dx: float, dy: float, fwhm: float) -> str:
    share = math.sqrt(1 + 2.77 * (dx * dx + dy * dy) / fwhm**2) - 1
    return f"rings are {share:.1%} broader than they should be"

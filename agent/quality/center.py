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

from ringwatch.agent.nouns import SECTORS, Flag
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
_SYMMETRIC = 0.1  # correlation of mirrored lines
_CERTAIN = 10.0  # standard deviations of a correlation
_SURE = 0.5  # correlation of sectors about the right centre
_UNRELATED = 0.08  # correlation of sectors that do not share rings
_LEAST_AZIMUTH = 10  # sectors
_LEAST_SHARP = 8  # sectors
_BLIND = 1.5  # FWHM; an error bar so large leaves nothing to see


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

    One linear fit does for a sound frame, a second one about the moved centre for a
    slip of less than a ring's width. Where the rings are uneven or far off, several
    starts are refined, and the centre wins about which the sectors agree best.

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
            why_not=f"too little azimuth: {azimuth} of {SECTORS} sectors hold pixels, "
            f"{_LEAST_AZIMUTH} are needed",
        )
    fit, even = _fit(profiles, rings)
    if fit is not None and even and fit.length <= _LINEAR * rings.width:
        return CenterSearch(fit=_named(fit, rings.width))
    if fit is not None and even and fit.length <= rings.width:
        slipped = _refine(profiles, fit.dx, fit.dy)
        if slipped is not None and _agreement(profiles, slipped) > _SURE:
            return CenterSearch(fit=slipped)
    here = measure_coincidence(profiles)
    best = _best(profiles, _starts(profiles, fit, rings.width), here.correlation)
    if best is None and fit is not None and fit.length <= rings.width:
        best = _named(fit, rings.width)
    unrelated = here.correlation < _UNRELATED and here.z < _CERTAIN
    if unrelated and here.sectors >= _LEAST_SHARP and not _agrees(profiles, best):
        return CenterSearch(fit=None, apart=here)
    if best is not None:
        return CenterSearch(fit=best)
    why = "the rings fill too little of the azimuth, or are too spotty"
    return CenterSearch(
        fit=None, why_not=why if rings.bins.size else "no ring stands out of the noise"
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
    refined = None
    for _ in range(4):
        moved = recentre(profiles, dx, dy)
        rings = find_rings(moved)
        fit, _ = _fit(moved, rings)
        if fit is None or fit.length > 3 * rings.width:
            return None
        dx, dy = dx + fit.dx, dy + fit.dy
        refined = CenterFit(
            dx=dx,
            dy=dy,
            covariance=fit.covariance,
            freedom=fit.freedom,
            fwhm=rings.width,
        )
        if fit.length < 0.05 * rings.width:
            break
    return refined


def _starts(
    profiles: Profiles, fit: Harmonics | None, width: float
) -> list[tuple[float, float]]:
    starts = []
    if fit is not None and fit.length <= 3 * width:
        starts.append((fit.dx, fit.dy))
    found = search_center(profiles)
    if found is not None and found.score > _SYMMETRIC and found.z > _CERTAIN:
        starts.append((found.dx, found.dy))
    return starts


def _best(
    profiles: Profiles, starts: list[tuple[float, float]], here: float
) -> CenterFit | None:
    """Refine from each start; keep what beats the correlation of the sectors as is."""
    best, most = None, here
    for dx, dy in starts:
        fit = _refine(profiles, dx, dy)
        if fit is None:
            continue
        # A second start as a rule ends where the first did: nothing to weigh then.
        if best is not None and math.hypot(fit.dx - best.dx, fit.dy - best.dy) < 0.5:
            continue
        agreement = _agreement(profiles, fit)
        if not agreement < most:
            best, most = fit, agreement
    return best


def _agreement(profiles: Profiles, fit: CenterFit) -> float:
    return measure_coincidence(recentre(profiles, fit.dx, fit.dy)).correlation


def _agrees(profiles: Profiles, fit: CenterFit | None) -> bool:
    return fit is not None and _agreement(profiles, fit) >= _UNRELATED


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
    share = math.sqrt(1 + 2.77 * (dx * dx + dy * dy) / fwhm**2) - 1
    return f"rings are {share:.1%} broader than they should be"

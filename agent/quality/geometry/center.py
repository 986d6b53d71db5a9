"""``beam_center``: do the rings of all sectors share the centre of the geometry?

It needs no reference; a run's own first frames serve for a second, relative question.
"""

from __future__ import annotations

import math

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.ring_center import CenterFit, CenterSearch
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["BLIND_FWHM", "broader", "judge_center"]

BLIND_FWHM = 1.5
"""An error bar of a displacement so large leaves nothing to see, FWHM."""


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
            "geometry is not that of this frame (calibrate again, or load its own), or "
            "the sample is a single crystal",
            z=math.nan,
            further=_further(math.nan, math.nan),
        )
    fit = found.fit
    if fit is None:
        return not_evaluated(flag, found.why_not)
    center = fit.center
    sigma = center.sigma
    further = _further(fit.dy, sigma)
    if sigma * settings.threshold > BLIND_FWHM * fit.fwhm:
        return not_evaluated(
            flag,
            f"the centre is known to {sigma:.2f} px only, the rings are {fit.fwhm:.1f} "
            "px wide: too few counts, grains or rings",
            further=further,
        )
    limit = settings.center_tolerance * fit.fwhm
    moved = None if reference is None else center.minus(reference.center)
    if center.beyond(max(limit, settings.center_floor), settings):
        sentence = (
            f"rings are centred {center.length:.2f} px from the beam centre of the "
            "geometry"
        )
        remedy = "calibrate again"
        if moved is not None:
            sentence = (
                f"beam centre moved {moved.length:.2f} px since the run's first frames "
                f"and is {center.length:.2f} px off the geometry"
            )
            remedy = "find out what moved, or calibrate again"
        shown = center
    elif moved is not None and moved.beyond(limit, settings):
        sentence = (
            f"beam centre moved {moved.length:.2f} px since the run's first frames"
        )
        shown = moved
        remedy = "find out what moved, or calibrate again"
    else:
        return clear(flag, fit.dx, z=center.z, further=further)
    return raised(
        flag,
        fit.dx,
        f"{sentence} ({shown.z:.0f} sigma): {broader(shown.length, fit.fwhm)}"
        + ("" if fit.tilt is not None else "; a tilted detector would look the same")
        + f"; {remedy}",
        z=shown.z,
        further=further,
    )


def broader(displacement: float, fwhm: float) -> str:
    """What a displacement does to the width of the averaged ring, both in pixels."""
    times = math.sqrt(1 + 2.77 * (displacement / fwhm) ** 2)
    if times < 2:
        return f"rings are {times - 1:.1%} broader than they should be"
    return f"rings are {times:.1f} times as broad as they should be"


def _further(dy: float, sigma: float) -> dict[str, float]:
    return {"beam_center_dy_px": dy, "beam_center_sigma_px": sigma}

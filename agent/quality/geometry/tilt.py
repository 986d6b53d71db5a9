"""``tilt``: does the detector stand as the geometry says?

To first order in the angle a tilt does not make rings elliptical: it moves their
centres apart in proportion to r^2 (see ``displacement``), about the beam's own spot.
"""

from __future__ import annotations

import math

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.center import BLIND_FWHM, broader
from ringwatch.agent.quality.geometry.displacement import Pair
from ringwatch.agent.quality.geometry.ring_center import CenterFit, CenterSearch
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_tilt", "significant_tilt", "why_not_even"]


def judge_tilt(
    found: CenterSearch, reference: CenterFit | None, settings: QualitySettings
) -> Finding:
    """Raise the flag where the detector is tilted, absolutely or since the reference.

    The effect that matters is ``center_tolerance`` of the FWHM, in the displacement
    ``r^2 / distance * tilt`` of the outermost ring; ``tilt_floor_px`` is left to
    calibrations. Positive ``tilt_x_deg`` moves rings to larger columns, ``tilt_y_deg``
    to larger rows: in pyFAI's words ``rot1`` of the geometry is too large by the one,
    ``rot2`` too small by the other.
    """
    flag = Flag.TILT
    fit = found.fit
    if fit is None or fit.tilt is None:
        return not_evaluated(flag, why_not_even(found) or _why_not_told(found))
    sigma = fit.tilt.sigma
    further = {
        "tilt_y_deg": math.degrees(fit.tilt.y),
        "tilt_sigma_deg": math.degrees(sigma),
    }
    outermost = sigma * settings.threshold * fit.radius**2 / fit.distance
    if outermost > BLIND_FWHM * fit.fwhm:
        return not_evaluated(
            flag,
            f"the tilt is known to {math.degrees(sigma):.2f} degrees only: too few "
            "counts, grains or rings",
            further=further,
        )
    value = math.degrees(fit.tilt.x)
    shown = significant_tilt(fit, reference, settings)
    if shown is None:
        return clear(flag, value, z=fit.tilt.z, further=further)
    since = "since the run's first frames"
    if shown is fit.tilt:
        since = "against the geometry"
    push = shown.length * fit.radius**2 / fit.distance
    return raised(
        flag,
        value,
        f"detector tilted by {math.degrees(shown.length):.3f} degrees {since} "
        f"({shown.z:.0f} sigma), which moves its outermost ring by {push:.2f} px: "
        f"{broader(push, fit.fwhm)} there; turn it back or calibrate again",
        z=shown.z,
        further=further,
    )


def significant_tilt(
    fit: CenterFit, reference: CenterFit | None, settings: QualitySettings
) -> Pair | None:
    """The tilt (rad) if it must be told: against the geometry, or the reference."""
    if fit.tilt is None:
        return None
    per_px = fit.distance / fit.radius**2
    limit = settings.center_tolerance * fit.fwhm * per_px
    if fit.tilt.beyond(max(limit, settings.tilt_floor_px * per_px), settings):
        return fit.tilt
    if reference is not None and reference.tilt is not None:
        moved = fit.tilt.minus(reference.tilt)
        if moved.beyond(limit, settings):
            return moved
    return None


def why_not_even(found: CenterSearch) -> str:
    """Why nothing but the centre can be read from the rings; empty where it can."""
    if found.apart is not None:
        return "the rings of different sectors do not coincide"
    if found.fit is None:
        return found.why_not
    if not found.fit.even:
        return "the rings are spotty, or fill too little of the azimuth"
    return ""


def _why_not_told(found: CenterSearch) -> str:
    if found.fit is None or not math.isfinite(found.fit.distance):
        return "no distance to the detector"
    return (
        "a tilt cannot be told from a move of the beam centre: the rings span too "
        "little radius or azimuth"
    )

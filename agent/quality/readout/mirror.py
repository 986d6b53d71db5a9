"""An image that was turned or mirrored, by where its rings are centred."""

from __future__ import annotations

import math

import numpy as np

from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.findings import Finding, raised
from ringwatch.agent.quality.geometry.ring_center import CenterFit

__all__ = ["beam_pixel", "mirror_of"]

_NEAR_MIRROR, _FAR_MIRROR = 0.5, 3.0  # px; nearer, a flip cannot be told from a move
_EXACT = 0.15  # px; the geometry's own beam is known so well
_SIGMAS = 3.0


def mirror_of(
    fit: CenterFit | None,
    shape: tuple[int, int],
    beam: tuple[float, float],
    before: CenterFit | None = None,
) -> tuple[str, Finding | None]:
    """Tell a flipped image from a moved detector by where its rings are centred.

    A flip that is far enough off accuses the readout. A near one is only a hint, given
    where the centre is that of the flip (0.15 px, or three standard deviations), and
    not where the run's reference shows that the image was not turned before.

    Parameters
    ----------
    fit : CenterFit or None
    shape : tuple of int
        (y, x) of the frame.
    beam : tuple of float
        (y, x) of the beam in pixel indices, from ``beam_pixel``.
    before : CenterFit, optional
        Centre of the run's reference.

    Returns
    -------
    hint : str
        What to add to the sentence of a moved centre that a flip may explain; empty
        where none does.
    finding : Finding or None
        ``misread`` where the centre is that of a flip, far away and to the point.
    """
    if fit is None:
        return "", None
    up = shape[0] - 1 - 2 * beam[0]
    left = shape[1] - 1 - 2 * beam[1]
    hint = ""
    for dy, dx, how in (
        (up, 0.0, "upside down"),
        (0.0, left, "left to right"),
        (up, left, "by 180 degrees"),
    ):
        jump = math.hypot(dx, dy)
        apart = math.hypot(fit.dx - dx, fit.dy - dy)
        # A tilted detector keeps its tilt when the image is flipped: hence the slack.
        if jump > _FAR_MIRROR and apart < min(1.5, jump / 4):
            return "", raised(
                Flag.MISREAD,
                1.0,
                f"the image is turned {how}: its rings are centred at the mirror image "
                f"of the beam, {jump:.1f} px away",
            )
        if jump > _NEAR_MIRROR and _is_there(fit, dx, dy, jump):
            if before is not None and not _is_there(before, dx, dy, jump):
                continue  # nobody turns a detector's images within a run
            hint = (
                f"; an image turned {how} would look much the same "
                f"(centred {jump:.1f} px away)"
            )
    return hint, None


def _is_there(fit: CenterFit, dx: float, dy: float, jump: float) -> bool:
    """Whether a centre is at (dx, dy), and not as well at none."""
    apart = math.hypot(fit.dx - dx, fit.dy - dy)
    (a, _), (_, d) = fit.center.covariance
    sigma = math.sqrt((a + d) / 2)
    return apart < min(max(_SIGMAS * sigma, _EXACT), jump / 3)


def beam_pixel(binning: Binning) -> tuple[float, float]:
    """Where the beam hits the detector, (y, x) in pixel indices.

    Least squares of ``r^2 = (x - cx)^2 + (y - cy)^2`` (Kasa 1976) over the inner fifth
    of the pixels: there a tilt of the detector, which goes with r^2, hardly counts.
    """
    place = np.flatnonzero(binning.cell != MASKED_CELL)[::17]
    if not place.size:  # reduced elsewhere: nobody knows
        return math.nan, math.nan
    r = binning.radius[binning.cell[place] // binning.chi.size]
    inner = r <= np.quantile(r, 0.2)
    place, r = place[inner], r[inner]
    y, x = np.divmod(place.astype(np.float64), binning.shape[1])
    design = np.stack([2 * x, 2 * y, np.ones_like(x)], axis=1)
    solution = np.linalg.lstsq(design, x * x + y * y - r * r, rcond=None)[0]
    return float(solution[1]), float(solution[0])

"""``count_rate_loss``: counts that a photon counter misses where it is too bright."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, exposure
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_count_rate_loss", "paralyzable_loss"]

Floats = NDArray[np.float64]

_LEAST_PIXELS = 4  # of a cell; one hot pixel is left out, the rest must have a mean
_FIFTH = 5  # brightest cell that counts: a blob of hot pixels fills fewer
_HIGHEST = math.exp(-1.0)  # recorded rate times dead time, at its maximum


def judge_count_rate_loss(facts: FrameFacts, settings: QualitySettings) -> Finding:
    """Raise where dead time costs the brightest pixels more than the tolerance.

    The rate is that of the fifth brightest cell without its brightest pixel. Counts
    are taken as recorded, not corrected: leave out the dead time where the detector
    corrects for it. A frame that is a sum of several exposures reads too high.
    """
    flag, dead = Flag.COUNT_RATE_LOSS, settings.dead_time_s
    if dead is None:
        return not_evaluated(flag, "no dead time of a pixel: give dead_time_s")
    took = exposure(facts.ref.readbacks, settings)
    if took is None:
        return not_evaluated(flag, "the exposure is not known: name it in exposure_key")
    cake = facts.cake
    counts = float(_fifth_brightest(cake.total, cake.maximum, cake.pixels))
    if not math.isfinite(counts):
        return not_evaluated(flag, "no cell holds enough usable pixels")
    loss = paralyzable_loss(counts * dead / took)
    tolerance = settings.count_rate_tolerance
    allowed = -math.log1p(-tolerance) * (1.0 - tolerance) * took / dead
    sigma = math.sqrt(max(counts, 1.0) / (_LEAST_PIXELS - 1))
    z = (counts - allowed) / sigma
    if loss <= tolerance or z < settings.threshold:
        return clear(flag, loss, z=z)
    more = "or more " if counts * dead / took >= _HIGHEST else ""
    return raised(
        flag,
        loss,
        f"the brightest rings lose {loss:.1%} {more}of their counts to dead time, at "
        f"{counts / took:.3g} counts a pixel and second: attenuate the beam, or "
        "correct the count rate",
        z=z,
    )


def paralyzable_loss(recorded: float) -> float:
    """Share of the photons that a paralyzable counter misses, 0..1.

    Inverts ``m tau = n tau exp(-n tau)`` (recorded rate m, true rate n) on its rising
    branch. A counter that is not paralyzable loses ``m tau``, the same to first order
    and less in the second.

    Parameters
    ----------
    recorded : float
        Recorded rate times dead time, 1; from 1/e on the loss is at least 63 %.
    """
    if recorded >= _HIGHEST:
        return 1.0 - _HIGHEST
    return -math.expm1(float(np.real(lambertw(-recorded))))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fifth_brightest(
    total: Floats, maximum: Floats, pixels: NDArray[np.int64]
) -> float:
    """Mean of a cell (n_q, 32) without its brightest pixel, in the fifth brightest."""
    best = np.full(_FIFTH, -np.inf)
    bins, sectors = total.shape
    for i in range(bins):
        for s in range(sectors):
            # No mean lies above the maximum: most cells end here.
            if maximum[i, s] <= best[0] or pixels[i, s] < _LEAST_PIXELS:
                continue
            rest = (total[i, s] - maximum[i, s]) / (pixels[i, s] - 1)
            if rest <= best[0]:
                continue
            k = 0
            while k + 1 < _FIFTH and best[k + 1] < rest:
                best[k] = best[k + 1]
                k += 1
            best[k] = rest
    return float(best[0])

"""``amorphous_only``: how much of the light can be in rings at all?

An upper limit on sharp structure, never a yes or no. Sharp is what is narrower than
0.075 1/Angstrom (or than five bins): rings of crystals above some 8 nm, by
Scherrer's equation. Smaller crystals, glasses and liquids have no such structure.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["SharpStructure", "judge_amorphous_only", "measure_sharp_structure"]

Floats = NDArray[np.float64]

_SHARP_Q = 0.075  # 1/Angstrom: FWHM of a ring of crystals of 8 nm (Scherrer, K = 0.9)
_SHARP_BINS = 5  # a ring of a pixel detector is three to five bins wide
_VISIBLE = 3.0  # standard deviations; what is below counts as hidden
_HIDDEN_RINGS = 10.0  # what is hidden may be spread over so many rings of equal height
_KEPT = 0.23  # energy of a Gaussian of the limiting width that the smooth curve leaves
_INSIDE = 0.9733  # variance of a unit normal cut at 3 standard deviations
_ONE_SIDED_95 = 1.645
_LEAST_BINS = 32


class SharpStructure(NamedTuple):
    """Rings in the mean profile of a frame, above its smooth part.

    Attributes
    ----------
    width : float
        FWHM up to which structure is sharp, 1/Angstrom.
    visible : float
        Share of the net counts that stands more than three standard deviations above
        the smooth part, 0..1.
    visible_sigma : float
        Standard deviation of it by counting statistics.
    energy : float
        Sum of squares of what does not stand out, over its variance, less what noise
        would have: no structure gives ``0 +- energy_sigma``.
    energy_sigma : float
    per_energy : float
        Share of the counts in ten equal rings of the limiting width whose energy is 1;
        goes with its square root.
    counts : float
        Net counts that were looked at.
    """

    width: float
    visible: float
    visible_sigma: float
    energy: float
    energy_sigma: float
    per_energy: float
    counts: float

    def limit(self, sigmas: float) -> float:
        """Upper limit of the sharp share, so many standard deviations up, 0..1.

        What is visible, and rings that hide in the noise: ten of equal height, of the
        limiting width. Fewer or narrower rings would show at a smaller share.
        """
        hidden = max(self.energy, 0.0) + sigmas * self.energy_sigma
        share = self.per_energy * math.sqrt(hidden)
        return min(self.visible + sigmas * self.visible_sigma + share, 1.0)


def judge_amorphous_only(
    facts: FrameFacts, seen: Seen, settings: QualitySettings
) -> Finding:
    """Raise where rings hold less than the tolerance, and so little could be seen.

    The value is the one-sided limit at 95 %; the flag asks that the limit at the budget
    of false alarms is below the tolerance as well. A ring found makes it clear.
    """
    flag = Flag.AMORPHOUS_ONLY
    if seen.profiles is None or seen.rings is None or facts.pattern is None:
        return not_evaluated(flag, "no geometry")
    found = measure_sharp_structure(seen.profiles, facts.pattern.q)
    if found is None:
        return not_evaluated(
            flag, "no counts above the dark in enough bins to look for rings"
        )
    value = found.limit(_ONE_SIDED_95)
    further = {"crystalline_fraction": found.visible, "sharp_width_q": found.width}
    tolerance = settings.crystalline_tolerance
    sharp_px = _sharp_bins(facts.pattern.q) * seen.profiles.pitch
    if found.visible > tolerance or (seen.rings.fwhm < sharp_px).any():
        return clear(flag, value, further=further)
    if found.limit(settings.threshold) < tolerance:
        nm = 0.1 * 2 * math.pi * 0.9 / found.width
        return raised(
            flag,
            value,
            f"no rings: less than {value:.2%} of the light (95 % limit) is in rings "
            f"below {found.width:.2g} 1/Angstrom wide, as crystals above {nm:.0f} nm "
            "have: the sample is amorphous, liquid or finer, or not in the beam",
            further=further,
        )
    blind = found.per_energy * math.sqrt(settings.threshold * found.energy_sigma)
    if blind > tolerance:
        return not_evaluated(
            flag,
            f"too few counts: a share of {blind:.1%} in rings could hide in the noise, "
            f"{tolerance:.1%} should be seen",
            further=further,
        )
    return clear(flag, value, further=further)


def measure_sharp_structure(profiles: Profiles, q: Floats) -> SharpStructure | None:
    """Split the mean profile into a smooth part and rings.

    The smooth part is a running quadratic (Savitzky and Golay, Anal. Chem. 36, 1627
    (1964), as sliding moments) through the profile clipped two standard deviations
    above the smooth part, iterated.

    Parameters
    ----------
    profiles : Profiles
    q : (n_q,) float64
        Bin centres, evenly spaced, 1/Angstrom.

    Returns
    -------
    SharpStructure or None
        None where nothing is above the dark.
    """
    bins = _sharp_bins(q)
    known, *parts = _split(profiles.mean, profiles.variance, profiles.whole, bins)
    if not known:
        return None
    width = bins * float(q[1] - q[0])
    return SharpStructure._make((width, *parts))


def _sharp_bins(q: Floats) -> int:
    """Limiting width in bins, at most a twelfth of the pattern."""
    wanted = round(_SHARP_Q / float(q[1] - q[0]))
    return int(max(min(wanted, q.size // 12), _SHARP_BINS))


@numba.njit(nogil=True, cache=True)
def _split(
    mean: Floats, variance: Floats, whole: Floats, bins: int
) -> tuple[bool, float, float, float, float, float, float]:
    """Whether there is light to look at, and ``SharpStructure`` from ``visible`` on.

    Bins near the ends of the measured range, and those with little of a ring on the
    detector, only help the smooth part.
    """
    half = 2 * bins
    n = mean.size
    first, last, covered = n, -1, 0.0
    for i in range(n):
        if whole[i] > 0.0:
            first = min(first, i)
            last = i
            covered += whole[i]
    if last - first < 4 * half:
        return False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    size = last - first + 1
    enough = 0.1 * covered / size
    y, sigma = np.empty(size), np.empty(size)
    _bridge(mean, variance, whole, first, y, sigma)
    smooth = _smooth_part(y, sigma, half)
    used = 0
    visible = visible_var = energy = counts = noise = 0.0
    inside = whole[first : last + 1]
    for i in range(half, size - half):
        weight = inside[i] if inside[i] >= enough else 0.0
        away = y[i] - smooth[i]
        var = (sigma[i] * weight) ** 2
        z = away / sigma[i]
        # Chosen, not branched to: noise is the worst that a processor can guess at.
        shown = 1.0 if z > _VISIBLE else 0.0
        hidden = 1.0 - shown if weight > 0.0 else 0.0
        visible += shown * away * weight
        visible_var += shown * var
        energy += hidden * z * z
        counts += y[i] * weight
        noise += var
        used += weight > 0.0
    if used < _LEAST_BINS or counts <= 5.0 * math.sqrt(noise):
        return False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    own = 3.0 * (3 * half * half + 3 * half - 1)
    own /= (2 * half - 1) * (2 * half + 1) * (2 * half + 3)
    expected = used * (1.0 - own) * _INSIDE
    typical = math.sqrt(noise / used)  # counts
    # Gaussians of height h and FWHM w: area 1.0645 h w, energy 0.7527 w (h / sigma)^2.
    one = 1.0645 * bins / math.sqrt(0.7527 * bins * _KEPT) * typical
    return (
        True,
        visible / counts,
        math.sqrt(visible_var) / counts,
        energy - expected,
        math.sqrt(2.0 * used),
        one * math.sqrt(_HIDDEN_RINGS) / counts,
        counts,
    )


@numba.njit(nogil=True, cache=True)
def _bridge(
    mean: Floats, variance: Floats, whole: Floats, first: int, y: Floats, sigma: Floats
) -> None:
    """Profile and its standard deviation from ``first`` on, bridging masked bins."""
    before = first
    for i in range(y.size):
        k = first + i
        if whole[k] > 0.0:
            y[i], sigma[i] = mean[k], np.sqrt(variance[k] / whole[k])
            for j in range(before + 1, k):
                part = (j - before) / (k - before)
                y[j - first] = mean[before] + part * (mean[k] - mean[before])
                sigma[j - first] = sigma[i]
            before = k


@numba.njit(nogil=True, cache=True)
def _smooth_part(y: Floats, sigma: Floats, half: int) -> Floats:
    """Running parabola through the profile, what rises above it clipped off."""
    smooth, clipped = np.empty(y.size), y.copy()
    for _ in range(8):
        _run_quadratic(clipped, half, smooth)
        moving = 0
        for i in range(y.size):
            top = min(y[i], smooth[i] + 2.0 * sigma[i])
            moving += abs(top - clipped[i]) > 0.3 * sigma[i]
            clipped[i] = top
        if not moving:
            break
    return smooth


@numba.njit(nogil=True, cache=True)
def _run_quadratic(y: Floats, half: int, out: Floats) -> None:
    """Value at the middle of the parabola through each window of ``2 half + 1``.

    Near the ends: the parabola of the last whole window.
    """
    m = half
    w0 = 2.0 * m + 1.0
    w2 = m * (m + 1.0) * w0 / 3.0
    w4 = w2 * (3.0 * m * m + 3.0 * m - 1.0) / 5.0
    det = w0 * w4 - w2 * w2
    a, b, c = w4 / det, w2 / det, w0 / det
    s0 = s1 = s2 = 0.0
    for k in range(-m, m + 1):
        v = y[m + k]
        s0 += v
        s1 += k * v
        s2 += k * k * v
    level, slope, bend = a * s0 - b * s2, s1 / w2, c * s2 - b * s0
    for k in range(m + 1):
        out[m - k] = level - slope * k + bend * k * k
    far, near, last = (m + 1.0) ** 2, 1.0 * m * m, 1.0 * m
    leaving, entering = y[: y.size - 2 * m - 1], y[2 * m + 1 :]
    middle = out[m + 1 :]
    for i in range(leaving.size):
        old, new = leaving[i], entering[i]
        s2 += (s0 - 2.0 * s1) + (new * near - old * far)
        s1 += (old * (last + 1.0) + new * last) - s0
        s0 += new - old
        middle[i] = a * s0 - b * s2
    level, slope, bend = a * s0 - b * s2, s1 / w2, c * s2 - b * s0
    for k in range(m + 1):
        out[out.size - 1 - m + k] = level + slope * k + bend * k * k

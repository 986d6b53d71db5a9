"""``amorphous_only``: how much of the light can be in rings at all?

An upper limit on sharp structure, never a yes or no. Sharp is what is narrower than
0.075 1/Angstrom (or than five bins): rings of crystals above some 8 nm, by
Scherrer's equation. Smaller crystals, glasses and liquids have no such structure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.rings import Profiles
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpStructure:
    """Rings in the mean profile of a frame, above its smooth part.

    Attributes
    ----------
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
    width : float
        FWHM up to which structure is sharp, 1/Angstrom.
    counts : float
        Net counts that were looked at.
    """

    visible: float
    visible_sigma: float
    energy: float
    energy_sigma: float
    per_energy: float
    width: float
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
    pitch_q = found.width / _sharp_bins(facts.pattern.q)
    sharp_px = found.width / pitch_q * seen.profiles.pitch
    ringed = bool((seen.rings.fwhm < sharp_px).any())
    tolerance = settings.crystalline_tolerance
    if ringed or found.visible > tolerance:
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
    half = 2 * bins
    sums = np.zeros(5)
    used = _split(profiles.mean, profiles.variance, profiles.whole, half, sums)
    visible, visible_var, energy, counts, variance = sums.tolist()
    if used < _LEAST_BINS or counts <= 5.0 * math.sqrt(variance):
        return None
    own = 3.0 * (3 * half * half + 3 * half - 1)
    own /= (2 * half - 1) * (2 * half + 1) * (2 * half + 3)
    expected = used * (1.0 - own) * _INSIDE
    typical = math.sqrt(variance / used)  # counts
    # Gaussians of height h and FWHM w: area 1.0645 h w, energy 0.7527 w (h / sigma)^2.
    one = 1.0645 * bins / math.sqrt(0.7527 * bins * _KEPT) * typical
    return SharpStructure(
        visible=visible / counts,
        visible_sigma=math.sqrt(visible_var) / counts,
        energy=energy - expected,
        energy_sigma=math.sqrt(2.0 * used),
        per_energy=one * math.sqrt(_HIDDEN_RINGS) / counts,
        width=bins * float(q[1] - q[0]),
        counts=counts,
    )


def _sharp_bins(q: Floats) -> int:
    """Limiting width in bins, at most a twelfth of the pattern."""
    wanted = round(_SHARP_Q / float(q[1] - q[0]))
    return int(max(min(wanted, q.size // 12), _SHARP_BINS))


@numba.njit(nogil=True, cache=True)
def _split(
    mean: Floats, variance: Floats, whole: Floats, half: int, sums: Floats
) -> int:
    """Fill ``sums``: visible counts, their variance, energy, counts, variance.

    Bins near the ends of the measured range, and those with little of a ring on the
    detector, only help the smooth part. Gives the number of the others.
    """
    n = mean.size
    first, last, covered = n, -1, 0.0
    for i in range(n):
        if whole[i] > 0.0:
            first = min(first, i)
            last = i
            covered += whole[i]
    if last - first < 4 * half:
        return 0
    size = last - first + 1
    enough = 0.1 * covered / size
    y, sigma = np.empty(size), np.empty(size)
    _bridge(mean, variance, whole, first, y, sigma)
    smooth = _smooth_part(y, sigma, half)
    used = 0
    sums[:] = 0.0
    for i in range(half, size - half):
        weight = whole[first + i]
        if weight < enough:
            continue
        used += 1
        away = y[i] - smooth[i]
        z = away / sigma[i]
        noise = (sigma[i] * weight) ** 2
        if z > _VISIBLE:
            sums[0] += away * weight
            sums[1] += noise
        else:
            sums[2] += z * z
        sums[3] += y[i] * weight
        sums[4] += noise
    return used


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
        settled = True
        for i in range(y.size):
            top = min(y[i], smooth[i] + 2.0 * sigma[i])
            if abs(top - clipped[i]) > 0.3 * sigma[i]:
                settled = False
            clipped[i] = top
        if settled:
            break
    return smooth


@numba.njit(nogil=True, cache=True)
def _run_quadratic(y: Floats, half: int, out: Floats) -> None:
    """Value at the middle of the parabola through each window of ``2 half + 1``.

    Near the ends: the parabola of the last whole window.
    """
    n, m = y.size, half
    w0 = 2.0 * m + 1.0
    w2 = m * (m + 1.0) * w0 / 3.0
    w4 = w2 * (3.0 * m * m + 3.0 * m - 1.0) / 5.0
    det = w0 * w4 - w2 * w2
    s0 = s1 = s2 = 0.0
    for k in range(-m, m + 1):
        v = y[m + k]
        s0 += v
        s1 += k * v
        s2 += k * k * v
    for i in range(m, n - m):
        level = (w4 * s0 - w2 * s2) / det
        out[i] = level
        if i == m or i == n - m - 1:
            slope, bend = s1 / w2, (w0 * s2 - w2 * s0) / det
            for k in range(1, m + 1):
                if i == m:
                    out[i - k] = level - slope * k + bend * k * k
                if i == n - m - 1:
                    out[i + k] = level + slope * k + bend * k * k
        if i < n - m - 1:
            old, new = y[i - m], y[i + m + 1]
            s2 += -2.0 * s1 + s0 - old * (m + 1.0) ** 2 + new * m * m
            s1 += -s0 + old * (m + 1.0) + new * m
            s0 += new - old

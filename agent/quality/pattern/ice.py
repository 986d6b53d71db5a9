"""``ice``: do the rings of frozen water stand beside those of the sample?

A joint matched filter of hexagonal ice. Each line is fitted by itself (a Gaussian of
the frame's own ring width on a parabola); then the lines must agree: the three strong
ones at 3.9, 3.7 and 3.4 Angstrom all there, and every further one that this much ice
should show. Rings of the sample may coincide with some lines, hardly with all.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen, find_readback
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.pattern.crystallinity import measure_sharp_structure
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["fit_ice", "ice_lines", "judge_ice"]

Floats = NDArray[np.float64]

_MELTS_K = 273.15
_COLD_CELL = (4.4969, 7.3211)  # a, c at 10 K, Angstrom
_WARM_CELL = (4.5181, 7.3560)  # at 250 K
_WARM_K = 250.0
_HKL = (
    (1, 0, 0),
    (0, 0, 2),
    (1, 0, 1),
    (1, 0, 2),
    (1, 1, 0),
    (1, 0, 3),
    (2, 0, 0),
    (1, 1, 2),
    (2, 0, 1),
    (2, 0, 2),
    (2, 0, 3),
)
_SHARE = np.array([100.0, 59.8, 67.1, 42.2, 98.3, 92.3, 12.0, 52.4, 14.1, 6.1, 31.9])
_SHARE /= _SHARE.sum()
_STRONG = 3  # the lines that must all be there
_LEAST_Z = 3.0  # of each of them; the budget holds for all together
_FURTHER = (3, 4, 5, 7, 10)  # nearly as strong: three of them must be there as well
_FURTHER_THERE = 3
_FURTHER_Z = 2.5
_ALIKE = 2.5  # texture and few grains change a line's share by less than this factor
_DUE = 6.0  # standard deviations of a line that must not be missing
_OFF_PLACE = 0.3  # of the ring's FWHM
_SCALE = 0.004  # cell and calibration may be wrong by so much; 250 K expand it by 0.5 %
_FWHM_BINS = 4.0  # of a ring, where none was found
_RESOLVED = 0.45  # FWHM over the distance of the first two lines


def ice_lines(temperature: float) -> Floats:
    """Spacings of eleven lines of hexagonal ice, (11,) Angstrom.

    Cell of Roettger et al., Acta Cryst. B50, 644 (1994) at 10 and 250 K, between them
    quadratic in the temperature. The shares of a ring's counts are ``m |F|^2 d`` of the
    structure of Goto, Hondoh and Mae, J. Chem. Phys. 93, 1412 (1990).

    Parameters
    ----------
    temperature : float
        Kelvin.
    """
    part = (min(max(temperature, 0.0), _MELTS_K) / _WARM_K) ** 2
    a, c = (
        cold + part * (warm - cold)
        for cold, warm in zip(_COLD_CELL, _WARM_CELL, strict=True)
    )
    return np.array(
        [
            1.0 / math.sqrt(4 / 3 * (h * h + h * k + k * k) / a**2 + (m / c) ** 2)
            for h, k, m in _HKL
        ]
    )


def judge_ice(facts: FrameFacts, seen: Seen, settings: QualitySettings) -> Finding:
    """Raise where ice holds more of the rings' counts than the tolerance.

    The value is that share. Evaluated only where the sample is below the melting point.
    """
    flag = Flag.ICE
    if seen.profiles is None or seen.rings is None or facts.pattern is None:
        return not_evaluated(flag, "no geometry")
    kelvin, why_not = _temperature(facts, settings)
    if why_not:
        return not_evaluated(flag, why_not)
    q, rings = facts.pattern.q, seen.rings
    first, second = ice_lines(kelvin)[:2]
    apart = 2 * math.pi * (1 / second - 1 / first)
    step, most = float(q[1] - q[0]), _RESOLVED * apart
    widths = (rings.fwhm / seen.profiles.pitch).tolist()
    # A halo is no measure of the resolution.
    narrow = sorted(width for width in widths if width * step < most)
    width = narrow[len(narrow) // 2] if narrow else _FWHM_BINS
    if width * step > most:
        return not_evaluated(flag, "rings are too broad to tell the lines of ice apart")
    lines, fitted = _fit(seen.profiles, q, width, kelvin)
    if not (fitted[:_STRONG, 1] > 0).all():
        return not_evaluated(flag, "the lines of ice lie outside the pattern")
    amount, _, z = fit_ice(fitted, lines)
    amount *= float(lines.sum())  # counts on the detector
    every = measure_sharp_structure(seen.profiles, q)
    sharp = every.visible * every.counts if every is not None else 0.0
    share = amount / max(sharp, amount, 1e-30)
    if z < settings.threshold or share < settings.ice_tolerance:
        return clear(flag, share, z=z)
    return raised(
        flag,
        share,
        f"ice: {share:.1%} of the rings' counts are at the lines of hexagonal ice "
        f"({z:.0f} sigma) at {kelvin:.0f} K: warm the sample up, or dry the cold gas",
        z=z,
    )


def _temperature(facts: FrameFacts, settings: QualitySettings) -> tuple[float, str]:
    """Kelvin of the sample, and why it tells of no cold sample; "" where it does."""
    readbacks = facts.ref.readbacks
    key = find_readback(readbacks, settings.temperature_key, parts=("temperature",))
    value = readbacks[key] if key is not None else math.nan
    if math.isnan(value):
        return value, "no temperature readback: nobody says that it is cold"
    celsius = value < 0 or settings.temperature_unit == "degC"
    kelvin = value + celsius * _MELTS_K
    why = "too warm for ice" if kelvin > 0 else "nothing is so cold"
    cold = 0 < kelvin < _MELTS_K
    return kelvin, "" if cold else f"{key} is {kelvin:.0f} K: {why}"


@numba.njit(nogil=True, cache=True)
def fit_ice(fitted: Floats, lines: Floats) -> tuple[float, float, float]:
    """Amount of ice from its lines, with sigma, and the joint significance.

    Non-negative least squares of one amount, lines that also hold a ring of the sample
    (more than ``_ALIKE`` times the rest) left out. There is no ice, and amount and z
    are 0, where a strong line is missing or off its place, or two that are due.

    Parameters
    ----------
    fitted : (11, 4) float64
        Counts of each line, sigma (0 where it was not measured); how far it is off its
        place, in FWHM, and sigma of that.
    lines : (11,) float64
        Share of the counts of the ice that each line should hold where it was measured.
    """
    ratio, error = np.zeros(lines.size), np.full(lines.size, np.inf)
    at_place = np.zeros(lines.size, np.bool_)
    for i in range(lines.size):
        if fitted[i, 1] > 0.0 and lines[i] > 0.0:
            ratio[i], error[i] = fitted[i, 0] / lines[i], fitted[i, 1] / lines[i]
            at_place[i] = abs(fitted[i, 2]) - 2.0 * fitted[i, 3] < _OFF_PLACE
    for i in range(_STRONG):
        if ratio[i] < _LEAST_Z * error[i] or not at_place[i]:
            return 0.0, np.inf, 0.0
    low = np.median(ratio[:_STRONG])
    mass = precise = amount = pull = 0.0
    own = ratio < _ALIKE * low
    for i in range(lines.size):
        if own[i]:
            w = 1.0 / (error[i] ** 2 + (0.3 * low) ** 2)
            mass += w
            amount += w * ratio[i]
            precise += 1.0 / error[i] ** 2
            pull += ratio[i] / error[i] ** 2
    if not (amount > 0.0 and precise > 0.0):
        return 0.0, np.inf, 0.0
    amount /= mass
    strong = further = missing = 0
    for i in range(lines.size):
        weak = ratio[i] < amount / _ALIKE
        alike = not weak and ratio[i] < amount * _ALIKE
        if alike and at_place[i] and ratio[i] > _FURTHER_Z * error[i]:
            strong += i < _STRONG
            further += i in _FURTHER
        if amount > _DUE * error[i] and (weak or (own[i] and not at_place[i])):
            missing += 1
    if missing > 1 or further < _FURTHER_THERE or strong < _STRONG:
        return 0.0, np.inf, 0.0
    sigma = 1.0 / math.sqrt(precise)
    return amount, sigma, pull * sigma


def _fit(
    profiles: Profiles, q: Floats, fwhm: float, kelvin: float
) -> tuple[Floats, Floats]:
    """Lines in the mean profile: expected shares (11,), and (11, 4) as ``fit_ice``.

    At the common scale at which the weakest of the strong lines is the strongest.
    """
    place = 2 * math.pi / ice_lines(kelvin)
    step = q[1] - q[0]
    fwhm = max(fwhm, 2.5)
    tries = math.ceil(_SCALE * place[_STRONG - 1] / step / (0.25 * fwhm))
    scales = 1.0 + np.linspace(-_SCALE, _SCALE, 2 * tries + 1)
    profile = (profiles.mean, profiles.variance, profiles.whole, profiles.radius)
    fitted, covered = np.zeros((place.size, 4)), np.zeros(place.size)
    scale = _best_scale(*profile, place, q[0], step, scales, fwhm, _STRONG)
    for _ in range(2):  # the second time at the place that the strong lines ask for
        _fit_lines(*profile, (scale * place - q[0]) / step, fwhm, fitted, covered)
        off = np.sort(fitted[:_STRONG, 2] * fwhm * step / place[:_STRONG])[1]
        scale *= 1.0 + min(max(off, -0.5 * _SCALE), 0.5 * _SCALE)
    return _SHARE * covered, fitted


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _best_scale(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    radius: Floats,
    place: Floats,
    start: float,
    step: float,
    scales: Floats,
    fwhm: float,
    strong: int,
) -> float:
    fitted, covered = np.zeros((strong, 4)), np.zeros(strong)
    best, chosen = -np.inf, 1.0
    for scale in scales:
        fitted[:] = 0.0
        at = (scale * place[:strong] - start) / step
        _fit_lines(mean, variance, whole, radius, at, fwhm, fitted, covered)
        least = np.inf
        for line in range(strong):
            if fitted[line, 1] > 0.0:
                least = min(least, fitted[line, 0] / fitted[line, 1])
        if least < np.inf and least > best:
            best, chosen = least, scale
    return chosen


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fit_lines(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    radius: Floats,
    at: Floats,
    fwhm: float,
    fitted: Floats,
    covered: Floats,
) -> None:
    """Fit ``a + b x + c x^2 + h g + s x g`` at each place (bins), least squares.

    Errors are inflated by the misfit, which other rings in the window make.
    """
    reach = math.ceil(2.2 * fwhm)
    narrow = fwhm / 2.3548
    normal, right, column = np.empty((5, 5)), np.empty(5), np.empty(5)
    for line in range(at.size):
        middle = round(float(at[line]))
        if middle - reach < 0 or middle + reach >= mean.size:
            continue
        normal[:] = 0.0
        right[:] = 0.0
        used, inside, total = 0, 0.0, 0.0
        for i in range(middle - reach, middle + reach + 1):
            if whole[i] > 0.0:
                _columns((i - at[line]) / narrow, fwhm, column)
                w = whole[i] / variance[i]
                used += 1
                total += w * mean[i] * mean[i]
                inside = inside + whole[i] / (2 * np.pi * max(radius[i], 1.0))
                for j in range(5):
                    right[j] += w * column[j] * mean[i]
                    for k in range(5):
                        normal[j, k] += w * column[j] * column[k]
        if used < reach + 5 or not whole[middle] > 0.0:
            continue
        inverse = np.linalg.inv(normal)
        solution = inverse @ right
        misfit = (total - solution @ right) / (used - 5)
        inflation = math.sqrt(max(float(misfit), 1.0))
        # Counts of a ring of this height, all pixels of the covered azimuth.
        area = 1.0645 * fwhm * inside / used * 2 * np.pi * max(radius[middle], 1.0)
        height, slope = solution[3], solution[4]
        fitted[line, 0] = height * area
        fitted[line, 1] = np.sqrt(inverse[3, 3]) * inflation * area
        covered[line] = inside / used
        if height > 0.0:
            off = slope / height / 2.3548  # first order in the offset
            error = np.sqrt(inverse[4, 4]) * inflation / height / 2.3548
            fitted[line, 2], fitted[line, 3] = off, error


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _columns(x: float, fwhm: float, column: Floats) -> None:
    g = np.exp(-0.5 * x * x)
    column[0], column[1], column[2] = 1.0, x / fwhm, (x / fwhm) ** 2
    column[3], column[4] = g, x * g

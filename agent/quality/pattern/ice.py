"""``ice``: do the rings of frozen water stand beside those of the sample?

A joint matched filter of hexagonal ice. Each line is fitted by itself (a Gaussian of
the frame's own ring width on a parabola); then the lines must agree: the three strong
ones at 3.9, 3.7 and 3.4 Angstrom all there, and every further one that this much ice
should show. Rings of the sample may coincide with some lines, hardly with all.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen, find_readback
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.pattern.crystallinity import (
    SharpStructure,
    measure_sharp_structure,
)
from ringwatch.agent.quality.pattern.ice_kernels import (
    STRONG,
    best_scale,
    fit_ice,
    fit_lines,
)
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["ice_lines", "judge_ice"]

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
_SCALE = 0.004  # cell and calibration may be wrong by so much; 250 K expand it by 0.5 %
_FWHM_BINS = 4.0  # of a ring, where none was found
_LIMIT_SIGMAS = 3.0
_FEWEST = 2  # lines that agree
_WEAK = 6.0  # tolerances of ice; where more may be there unseen, nothing is said
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

    The value is that share. Evaluated only where the sample is below the melting point,
    and where a share of some tolerances of ice would have been seen: not so where rings
    of the sample hide strong lines, or in too few counts.
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
    if not (fitted[:STRONG, 1] > 0).all():
        return not_evaluated(flag, "the lines of ice lie outside the pattern")
    sharp = measure_sharp_structure(seen.profiles, q)
    return _judge_lines(lines, fitted, sharp, kelvin, settings)


def _judge_lines(
    lines: Floats,
    fitted: Floats,
    every: SharpStructure | None,
    kelvin: float,
    settings: QualitySettings,
) -> Finding:
    flag, held = Flag.ICE, float(lines.sum())
    amount, _, z = fit_ice(fitted, lines)
    amount *= held  # counts on the detector
    sharp = every.visible * every.counts if every is not None else 0.0
    share = amount / max(sharp, amount, 1e-30)
    if z < settings.threshold and every is not None:
        # Without rings to speak of: what would be a share of any worth the name.
        sharp = max(sharp, settings.crystalline_tolerance * every.counts, 1e-30)
        most, sigma = _most(fitted, lines)
        hidden = _why_hidden(most * held / sharp, sigma * held / sharp, settings)
        if hidden:
            return not_evaluated(flag, hidden)
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


def _most(fitted: Floats, lines: Floats) -> tuple[float, float]:
    """Amount of ice that the lines leave room for, and its standard deviation.

    The mean of those that agree with the weakest. Rings of the sample only add to a
    line: what is too bright is dropped. One line may be too weak by a ring beside it:
    the one that leaves the least room says nothing. Infinite where too few were seen.
    """
    used = (fitted[:, 1] > 0.0) & (lines > 0.0)
    error = fitted[used, 1] / lines[used]
    ratio = np.maximum(fitted[used, 0] / lines[used], -error)
    order = np.argsort(np.maximum(ratio, 0.0) + _LIMIT_SIGMAS * error)[1:]
    ratio, error = ratio[order], error[order]
    while ratio.size > 1:
        weight = error**-2.0
        mean = float(ratio @ weight / weight.sum())
        pull = (ratio - mean) / error
        worst = int(np.argmax(pull))
        if pull[worst] <= _LIMIT_SIGMAS or ratio.size == _FEWEST:
            worse = math.sqrt(max(float(pull @ pull) / (ratio.size - 1), 1.0))
            return max(mean, 0.0), worse / math.sqrt(float(weight.sum()))
        ratio, error = np.delete(ratio, worst), np.delete(error, worst)
    return math.inf, math.inf


def _why_hidden(most: float, sigma: float, settings: QualitySettings) -> str:
    """Why ice may be there unseen; empty where it would have been seen."""
    limit = most + _LIMIT_SIGMAS * sigma
    if most > max(settings.ice_tolerance, settings.threshold * sigma):
        return (
            f"light stands at the lines of ice as {min(most, 1.0):.0%} of the rings' "
            "counts in ice would give, but its strong lines do not agree: rings of "
            f"the sample lie on them; up to {min(limit, 1.0):.0%} may be ice"
        )
    if limit > _WEAK * settings.ice_tolerance:
        return (
            f"{min(limit, 1.0):.0%} of the rings' counts may be ice unseen: too few "
            "counts at its lines, or rings of the sample on them"
        )
    return ""


def _fit(
    profiles: Profiles, q: Floats, fwhm: float, kelvin: float
) -> tuple[Floats, Floats]:
    """Lines in the mean profile: expected shares (11,), and (11, 4) as ``fit_ice``.

    At the common scale at which the weakest of the strong lines is the strongest.
    """
    place = 2 * math.pi / ice_lines(kelvin)
    step = q[1] - q[0]
    fwhm = max(fwhm, 2.5)
    tries = math.ceil(_SCALE * place[STRONG - 1] / step / (0.25 * fwhm))
    scales = 1.0 + np.linspace(-_SCALE, _SCALE, 2 * tries + 1)
    profile = (profiles.mean, profiles.variance, profiles.whole, profiles.radius)
    fitted, covered = np.zeros((place.size, 4)), np.zeros(place.size)
    scale = best_scale(*profile, place, q[0], step, scales, fwhm, STRONG)
    for _ in range(2):  # the second time at the place that the strong lines ask for
        fit_lines(*profile, (scale * place - q[0]) / step, fwhm, fitted, covered)
        off = np.sort(fitted[:STRONG, 2] * fwhm * step / place[:STRONG])[1]
        scale *= 1.0 + min(max(off, -0.5 * _SCALE), 0.5 * _SCALE)
    return _SHARE * covered, fitted

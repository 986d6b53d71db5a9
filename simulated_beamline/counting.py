"""Counting noise that depends on seed, frame and pixel alone.

A frame can be made again without those before it, and threads cannot change it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "expose_expected",
    "expose_pixels",
    "frame_key",
    "normal_quantile",
    "poisson_quantile",
    "uniform_of",
]

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_SEARCH_BELOW = 6.0
"""Means below this are drawn exactly, those above by an expansion."""
_MOST_SEARCHED = 64
_LEVELS = 4096
_TAIL_LEVELS = 12


def _mixed(state: int) -> int:
    """Output function of SplitMix64 on Python's integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def frame_key(seed: int, frame: int) -> int:
    """64-bit key of a frame's random numbers.

    Parameters
    ----------
    seed, frame : int
        0 or more.
    """
    return _mixed((_mixed((seed + _GAMMA) & _MASK) + frame * _GAMMA) & _MASK)


@nb.njit(cache=True, nogil=True, inline="always")
def uniform_of(key, counter):  # type: ignore[no-untyped-def]
    """Random number of a counter: SplitMix64, 53 bits, above 0 and below 1.

    G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014, p. 453.

    Parameters
    ----------
    key, counter : uint64
        From ``frame_key``, and which of its numbers.
    """
    z = key + (counter + nb.uint64(1)) * nb.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> nb.uint64(30))) * nb.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> nb.uint64(27))) * nb.uint64(0x94D049BB133111EB)
    z = z ^ (z >> nb.uint64(31))
    return (nb.float64(z >> nb.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


def _central_quantiles() -> NDArray[np.float64]:
    """Normal quantiles at 0, 1/4096 .. 1; the ends are never used."""
    levels = np.arange(_LEVELS + 1) / _LEVELS
    levels[0], levels[-1] = 0.5 / _LEVELS, 1.0 - 0.5 / _LEVELS
    return np.array([NormalDist().inv_cdf(level) for level in levels])


_TABLE = _central_quantiles()
_INVERSE = np.r_[0.0, 1.0 / np.arange(1, _MOST_SEARCHED + 1)]


@nb.njit(cache=True, nogil=True)
def _tail_quantile(p):  # type: ignore[no-untyped-def]
    """Lower tail of Algorithm AS 241, PPND7 (Wichura, Appl. Statist. 37, 477, 1988).

    For p up to 0.075.
    """
    r = math.sqrt(-math.log(p))
    if r <= 5.0:
        r -= 1.6
        above = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r
        below = (0.12021132975 * r + 0.73700164250) * r + 1.0
        return -(above + 1.4234372777) / below
    r -= 5.0
    above = ((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r
    below = (0.012258202635 * r + 0.24197894225) * r + 1.0
    return -(above + 6.6579051150) / below


@nb.njit(cache=True, nogil=True, inline="always")
def normal_quantile(p):  # type: ignore[no-untyped-def]
    """Standard normal quantile at p, above 0 and below 1.

    Within 1e-3 everywhere: a table in the middle, AS 241 in the tails.
    """
    x = p * _LEVELS
    low = int(x)
    if low < _TAIL_LEVELS:
        return _tail_quantile(p)
    if low >= _LEVELS - _TAIL_LEVELS:
        return -_tail_quantile(1.0 - p)
    return _TABLE[low] + (x - low) * (_TABLE[low + 1] - _TABLE[low])


@nb.njit(cache=True, nogil=True)
def poisson_quantile(mean, p):  # type: ignore[no-untyped-def]
    """Count at the quantile ``p`` of a Poisson distribution.

    Exact summation for small means; above, the Cornish-Fisher expansion to third order
    (Abramowitz and Stegun 26.2.49). Its cumulants are those of a continuous variable
    that gives Poisson's when rounded (Sheppard: variance m - 1/12, fourth m + 1/120).
    It is off by one count in 0.2 % of the draws at the least mean, in less above.

    Parameters
    ----------
    mean : float
        0 or more.
    p : float
        Above 0 and below 1.

    Returns
    -------
    float
        A whole number.
    """
    if mean <= 0.0:
        return 0.0
    if mean < _SEARCH_BELOW:
        term = math.exp(-mean)
        total = term
        k = 0
        while p > total and k < _MOST_SEARCHED:
            k += 1
            term *= mean * _INVERSE[k]
            total += term
        return float(k)
    z = normal_quantile(p)
    z2 = z * z
    variance = mean - 1.0 / 12.0
    inverse = 1.0 / variance
    root = math.sqrt(variance)
    skew = mean * inverse  # times the root, as are the terms below
    third = (skew + inverse / 120.0) * (z2 - 3.0) / 24.0
    third -= skew * skew * (2.0 * z2 - 5.0) / 36.0
    shift = root * z + skew * (z2 - 1.0) / 6.0 + root * inverse * z * third
    return max(0.0, np.floor(mean + shift + 0.5))


@nb.njit(cache=True, nogil=True)
def _expose(position, gain, profile, dark, key, full, invalid, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        if gain[i] < 0.0:
            out[i] = invalid
            continue
        low = int(position[i])
        part = position[i] - low
        mean = gain[i] * (profile[low] * (1.0 - part) + profile[low + 1] * part)
        count = poisson_quantile(mean + dark[i], uniform_of(key, nb.uint64(i)))
        out[i] = min(count, full)


def expose_pixels(
    position: NDArray[np.float32],
    gain: NDArray[np.float32],
    profile: NDArray[np.float32],
    dark: NDArray[np.float32],
    *,
    key: int,
    full: int,
    invalid: int,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """One exposure: expected counts by interpolation, then counting noise.

    Parameters
    ----------
    position : (y, x) float32
        Where each pixel lies on the profile, in points of the profile from 0; below its
        last point.
    gain : (y, x) float32
        Factor of each pixel; negative where there is no sensor.
    profile : (n,) float32
        Expected counts per unit gain.
    dark : (y, x) float32
        Expected dark counts.
    key : int
        From ``frame_key``.
    full, invalid : int
        Largest count, and the value of pixels without a sensor.
    dtype : data type
        Of the result.

    Returns
    -------
    (y, x) array of ``dtype``
        Counts.

    Raises
    ------
    ValueError
        If a pixel lies off the profile.
    """
    if (
        len(profile) < 2
        or not 0.0 <= position.min() <= position.max() < len(profile) - 1
    ):
        msg = (
            f"Pixels lie at points {position.min()} to {position.max()} of a profile "
            f"of {len(profile)} points; make the profile longer."
        )
        raise ValueError(msg)
    out = np.empty(position.shape, dtype)
    _expose(
        position.ravel(),
        gain.ravel(),
        profile,
        dark.ravel(),
        np.uint64(key),
        float(full),
        invalid,
        out.reshape(-1),
    )
    return out


@nb.njit(cache=True, nogil=True)
def _expose_expected(expected, key, full, invalid, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        if expected[i] < 0.0:
            out[i] = invalid
            continue
        count = poisson_quantile(nb.float64(expected[i]), uniform_of(key, nb.uint64(i)))
        out[i] = min(count, full)


def expose_expected(
    expected: NDArray[np.float32],
    *,
    key: int,
    full: int,
    invalid: int,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """One exposure of any image: counting noise alone.

    Parameters
    ----------
    expected : (y, x) float32
        Expected counts; negative where there is no sensor.
    key, full, invalid, dtype
        See ``expose_pixels``.

    Returns
    -------
    (y, x) array of ``dtype``
        Counts.
    """
    out = np.empty(expected.shape, dtype)
    _expose_expected(
        expected.ravel(), np.uint64(key), float(full), invalid, out.reshape(-1)
    )
    return out

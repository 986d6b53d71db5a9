"""Where a value is going: a curve through its recent past, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["Course", "Estimate", "Trend", "fit_trend"]

Floats = NDArray[np.float64]
Course = Literal["linear", "exponential"]

_LEAST = 6  # points: a parabola, and three to tell their noise by
_BENT = 1.5  # standard deviations of the next power that cut the past shorter
_SHORT = 4  # points of the line through the newest
_ROUNDS = 12  # of Fisher's scoring; three or four do
_LEVEL = 0.975  # of Student's distribution: both sides make 95 %
_FLOOR, _CEILING = -100.0, 100.0  # exponents whose squares float64 can have


class Estimate(NamedTuple):
    """A number and an interval that holds the truth 95 times of 100, or oftener."""

    value: float
    low: float
    high: float


class _Curve(NamedTuple):
    """A polynomial in ``t - middle`` on the scale of the link, and how sure it is."""

    middle: float
    coefficients: Floats
    covariance: Floats
    quantile: float  # of Student's distribution, for both sides of 95 %

    def at(self, time: float) -> tuple[float, float]:
        """Height and half the interval at a time."""
        powers = (time - self.middle) ** np.arange(self.coefficients.size)
        variance = float(powers @ self.covariance @ powers)
        half = self.quantile * math.sqrt(max(variance, 0.0))
        return float(powers @ self.coefficients), half


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A parabola through values, or through their logarithm.

    A parabola, though the course is known: what is measured is seldom quite what
    grows, and a line would be sure of what it misses. So would a parabola be: its
    interval is stretched to hold those of a cubic through the same values and of a
    line through the newest third of them.

    Attributes
    ----------
    course : str
        ``linear`` or ``exponential``.
    parabola : polynomial
        Of the value, or of its logarithm.
    others : tuple of polynomials
        Cubic and line, as far as the points give them.
    first, last : float
        Range of the times that the curve goes through.
    points : int
        How many.
    """

    course: Course
    parabola: _Curve
    others: tuple[_Curve, ...]
    first: float
    last: float
    points: int

    def at(self, time: float) -> Estimate:
        """What the mean value is at a time, with its interval."""
        eta, half = self.parabola.at(time)
        low, high = eta - half, eta + half
        for other in self.others:
            away, half = other.at(time)
            low, high = min(low, away - half), max(high, away + half)
        return Estimate(*(self._value(x) for x in (eta, low, high)))

    def slope(self, time: float) -> float:
        """Rise per second at a time, of the logarithm on an exponential course."""
        _, c1, c2 = self.parabola.coefficients
        return float(c1 + 2.0 * c2 * (time - self.parabola.middle))

    def crossing(self, target: float) -> float | None:
        """When the curve meets a target, next to its newest point.

        None where it never does, or where the target has no logarithm.
        """
        if self.course == "exponential":
            if target <= 0.0:
                return None
            target = math.log(target)
        c0, c1, c2 = self.parabola.coefficients
        roots = np.roots([c2, c1, c0 - target])
        met = roots.real[np.abs(roots.imag) < 1e-9 * (1.0 + np.abs(roots.real))]
        if not met.size:
            return None
        newest = self.last - self.parabola.middle
        return float(met[np.argmin(np.abs(met - newest))]) + self.parabola.middle

    def _value(self, eta: float) -> float:
        if self.course == "linear":
            return eta
        return math.exp(min(eta, _CEILING))


def fit_trend(times: Floats, values: Floats, course: Course = "linear") -> Trend | None:
    """Fit the longest stretch up to the newest value that a parabola describes.

    The scatter of the values about the curve is taken as the same for all (counting
    noise on a steady amount of light), and the curve is fitted to the values
    themselves, not to their logarithms. A stretch is taken where the next power is no
    better by a standard deviation and a half; stretches shrink by a third.

    Parameters
    ----------
    times : (n,) float64
        Seconds, rising.
    values : (n,) float64
    course : str
        ``linear`` or ``exponential``.

    Returns
    -------
    Trend or None
        None of fewer than six values, of values at fewer than three times, and of an
        exponential of values that are not positive.
    """
    size = times.size
    while size >= _LEAST:
        trend, bent = _fit(times[-size:], values[-size:], course)
        if trend is not None and not bent:
            return trend
        size = max(size * 2 // 3, _LEAST) if size > _LEAST else 0
    return trend if times.size >= _LEAST else None


def _fit(times: Floats, values: Floats, course: Course) -> tuple[Trend | None, bool]:
    """The curve, and whether the next power says more."""
    if course == "exponential" and not (values > 0.0).all():
        return None, False
    parabola = _score(times, values, course, 2)
    if parabola is None:
        return None, False
    cubic = _score(times, values, course, 3)
    newest = max(times.size // 3, _SHORT)
    line = _score(times[-newest:], values[-newest:], course, 1)
    trend = Trend(
        course=course,
        parabola=parabola,
        others=tuple(curve for curve in (cubic, line) if curve is not None),
        first=float(times[0]),
        last=float(times[-1]),
        points=int(times.size),
    )
    if cubic is None:
        return trend, False
    sigma = math.sqrt(cubic.covariance[-1, -1])
    return trend, bool(abs(cubic.coefficients[-1]) > _BENT * sigma)


def _score(times: Floats, values: Floats, course: Course, degree: int) -> _Curve | None:
    """A polynomial of a degree, by Fisher's scoring; None where it goes astray.

    (P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., ch. 2.5.)
    """
    linear, free = course == "linear", values.size - degree - 1
    if free < 1:
        return None
    eta, mean = (values if linear else np.log(values)), values
    scale = max(float(times[-1] - times[0]), 1e-9)
    for _ in range(_ROUNDS):
        # d(value)/d(eta): 1, or the value itself
        steep = np.ones_like(values) if linear else mean
        middle = float(np.average(times, weights=steep**2))
        powers = ((times - middle) / scale)[:, None] ** np.arange(degree + 1)
        design = powers * steep[:, None]  # (n, degree + 1)
        found = _least_squares(design, eta * steep + values - mean)
        if found is None:
            return None
        solved, inverse = found
        before, eta = eta, powers @ solved
        if linear:
            mean = eta
            break
        eta = np.clip(eta, _FLOOR, _CEILING)
        mean = np.exp(eta)
        if np.abs(eta - before).max() < 1e-9:
            break
    units = scale ** -np.arange(degree + 1.0)
    spread = float(((values - mean) ** 2).sum()) / free
    covariance = spread * inverse * np.outer(units, units)
    if not np.isfinite(covariance).all():
        return None
    return _Curve(middle, solved * units, covariance, float(stdtrit(free, _LEVEL)))


def _least_squares(design: Floats, wanted: Floats) -> tuple[Floats, Floats] | None:
    """Solution and inverse normal matrix; None where the columns do not give them."""
    squared = design.T @ design
    if not (np.isfinite(squared).all() and np.isfinite(wanted).all()):
        return None
    try:
        solved, _, rank, _ = np.linalg.lstsq(design, wanted, rcond=None)
        inverse = np.linalg.inv(squared)
    except np.linalg.LinAlgError:
        return None
    if rank < design.shape[1] or (np.diag(inverse) < 0.0).any():
        return None
    return np.asarray(solved, np.float64), np.asarray(inverse, np.float64)

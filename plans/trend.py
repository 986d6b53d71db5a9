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

_DEGREE = 2
_LEAST = 6  # points: a parabola, and three to tell their noise by
_BENT = 2.0  # standard deviations of the next power that cut the past shorter
_ROUNDS = 12  # of Fisher's scoring; three or four do
_LEVEL = 0.975  # of Student's distribution: both sides make 95 %
_FLOOR, _CEILING = -700.0, 700.0  # exponents that float64 can have


class Estimate(NamedTuple):
    """A number and its interval of 95 %; infinite where nothing bounds it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A parabola through values, or through their logarithm.

    ``value(t) = link(c0 + c1 x + c2 x^2)`` with ``x = t - middle``; the link is the
    identity or the exponential function. A parabola, though the course is known: what
    is measured is seldom quite what grows, and a line would be sure of what it misses.

    Attributes
    ----------
    course : str
        ``linear`` or ``exponential``.
    middle : float
        Weighted mean of the times, seconds.
    coefficients : (3,) float64
    covariance : (3, 3) float64
        Of the coefficients, from the scatter about the curve.
    quantile : float
        Of Student's distribution: intervals are so many standard deviations wide.
    first, last : float
        Range of the times that the curve goes through.
    points : int
        How many.
    """

    course: Course
    middle: float
    coefficients: Floats
    covariance: Floats
    quantile: float
    first: float
    last: float
    points: int

    def at(self, time: float) -> Estimate:
        """What the mean value is at a time, with its interval."""
        powers = (time - self.middle) ** np.arange(_DEGREE + 1)
        eta = float(powers @ self.coefficients)
        variance = float(powers @ self.covariance @ powers)
        half = self.quantile * math.sqrt(max(variance, 0.0))
        return Estimate(*(self._value(x) for x in (eta, eta - half, eta + half)))

    def slope(self, time: float) -> float:
        """Rise per second at a time, of the logarithm on an exponential course."""
        _, c1, c2 = self.coefficients
        return float(c1 + 2.0 * c2 * (time - self.middle))

    def crossing(self, target: float) -> float | None:
        """When the curve meets a target, next to its newest point.

        None where it never does, or where the target has no logarithm.
        """
        if self.course == "exponential":
            if target <= 0.0:
                return None
            target = math.log(target)
        c0, c1, c2 = self.coefficients
        roots = np.roots([c2, c1, c0 - target])
        met = roots.real[np.abs(roots.imag) < 1e-9 * (1.0 + np.abs(roots.real))]
        if not met.size:
            return None
        nearest = met[np.argmin(np.abs(met - (self.last - self.middle)))]
        return float(nearest) + self.middle

    def _value(self, eta: float) -> float:
        if self.course == "linear":
            return eta
        return math.exp(min(eta, _CEILING))


def fit_trend(times: Floats, values: Floats, course: Course = "linear") -> Trend | None:
    """Fit the longest stretch up to the newest value that a parabola describes.

    The scatter of the values about the curve is taken as the same for all (counting
    noise on a steady amount of light), and the curve is fitted to the values
    themselves, not to their logarithms. A stretch is taken where the next power is no
    better by two standard deviations; stretches shrink by a third.

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
    found = _score(times, values, course, _DEGREE)
    if found is None:
        return None, False
    middle, coefficients, covariance = found
    free = times.size - _DEGREE - 1
    trend = Trend(
        course=course,
        middle=middle,
        coefficients=coefficients,
        covariance=covariance,
        quantile=float(stdtrit(free, _LEVEL)),
        first=float(times[0]),
        last=float(times[-1]),
        points=int(times.size),
    )
    if free < 2:
        return trend, False
    more = _score(times, values, course, _DEGREE + 1)
    if more is None:
        return trend, False
    _, powers, errors = more
    return trend, bool(abs(powers[-1]) > _BENT * math.sqrt(errors[-1, -1]))


def _score(
    times: Floats, values: Floats, course: Course, degree: int
) -> tuple[float, Floats, Floats] | None:
    """Middle, coefficients and their covariance, by Fisher's scoring.

    (P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., ch. 2.5.)
    """
    linear = course == "linear"
    eta, mean = (values if linear else np.log(values)), values
    scale = max(float(times[-1] - times[0]), 1e-9)
    for _ in range(_ROUNDS):
        # d(value)/d(eta): 1, or the value itself
        steep = np.ones_like(values) if linear else mean
        middle = float(np.average(times, weights=steep**2))
        powers = ((times - middle) / scale)[:, None] ** np.arange(degree + 1)
        design = powers * steep[:, None]  # (n, degree + 1)
        working = (eta + (values - mean) / steep) * steep
        solved, _, rank, _ = np.linalg.lstsq(design, working, rcond=None)
        if rank <= degree:
            return None
        before, eta = eta, powers @ solved
        mean = eta if linear else np.exp(np.clip(eta, _FLOOR, _CEILING))
        if linear or np.abs(eta - before).max() < 1e-9:
            break
    spread = float(((values - mean) ** 2).sum()) / (values.size - degree - 1)
    units = scale ** -np.arange(degree + 1.0)
    covariance = spread * np.linalg.inv(design.T @ design)
    if not np.isfinite(covariance).all():
        return None
    return middle, solved * units, covariance * np.outer(units, units)

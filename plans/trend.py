"""Where a value is going: a line through its recent past, with its uncertainty."""

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

_LEAST = 6  # points: a line, and four to tell its noise by
_BENT = 2.0  # standard deviations of a bend from which on the past is cut shorter
_ROUNDS = 8  # of Fisher's scoring; three or four do
_LEVEL = 0.975  # of Student's distribution: both sides make 95 %


class Estimate(NamedTuple):
    """A number and its interval of 95 %; infinite where nothing bounds it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A line through values, or an exponential, about the middle of their times.

    ``value(t) = link(level + slope (t - middle))``, the link being the identity or the
    exponential function. Errors of level and slope are independent of each other.

    Attributes
    ----------
    course : str
        ``linear`` or ``exponential``.
    middle : float
        Weighted mean of the times, seconds.
    level, slope : float
    level_sigma, slope_sigma : float
        Standard deviations, from the scatter about the line.
    quantile : float
        Of Student's distribution: intervals are so many standard deviations wide.
    first, last : float
        Range of the times that the line goes through.
    points : int
        How many.
    """

    course: Course
    middle: float
    level: float
    slope: float
    level_sigma: float
    slope_sigma: float
    quantile: float
    first: float
    last: float
    points: int

    def at(self, time: float) -> Estimate:
        """What the mean value is at a time, with its interval."""
        away = time - self.middle
        eta = self.level + self.slope * away
        half = self.quantile * math.hypot(self.level_sigma, self.slope_sigma * away)
        return Estimate(*(self._value(x) for x in (eta, eta - half, eta + half)))

    def crossing(self, target: float) -> Estimate | None:
        """When the line meets a target, with its interval after Fieller.

        (E. C. Fieller, J. R. Stat. Soc. B 16, 175 (1954).) None where the line never
        meets it: it is flat, or the target has no logarithm.
        """
        if self.course == "exponential":
            if target <= 0.0:
                return None
            target = math.log(target)
        miss = target - self.level
        if self.slope == 0.0:
            return None
        q2 = self.quantile**2
        a = self.slope**2 - q2 * self.slope_sigma**2
        b = self.slope * miss
        c = miss**2 - q2 * self.level_sigma**2
        met = miss / self.slope
        if a <= 0.0:  # the slope may be of either sign: nothing bounds the time
            return Estimate(self.middle + met, -math.inf, math.inf)
        root = math.sqrt(max(b * b - a * c, 0.0))
        return Estimate(
            *(self.middle + x for x in (met, (b - root) / a, (b + root) / a))
        )

    def _value(self, eta: float) -> float:
        if self.course == "linear":
            return eta
        return math.exp(min(eta, 700.0))


def fit_trend(times: Floats, values: Floats, course: Course = "linear") -> Trend | None:
    """Fit the longest stretch up to the newest value that a line describes.

    The scatter of the values about the line is taken as the same for all (counting
    noise on a steady amount of light), the line is fitted to the values themselves and
    not to their logarithms. A stretch is taken where a parabola is no better than the
    line by two standard deviations; stretches shrink by a third.

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
        None of fewer than six values, of values at one time, and of an exponential of
        values that are not positive.
    """
    size = times.size
    while size >= _LEAST:
        trend, bend = _fit(times[-size:], values[-size:], course)
        if trend is not None and (abs(bend) < _BENT or size == _LEAST):
            return trend
        size = max(size * 2 // 3, _LEAST) if size > _LEAST else 0
    return None


def _fit(times: Floats, values: Floats, course: Course) -> tuple[Trend | None, float]:
    """The line, and the bend of a parabola in its standard deviations."""
    if course == "exponential" and not (values > 0.0).all():
        return None, 0.0
    eta = values if course == "linear" else np.log(values)
    line = quadratic = None
    for degree in (1, 2):
        found = _score(times, values, eta, course, degree)
        if found is None:
            break
        line, quadratic = (found, None) if degree == 1 else (line, found)
    if line is None:
        return None, 0.0
    middle, coefficients, sigmas = line
    trend = Trend(
        course=course,
        middle=middle,
        level=float(coefficients[0]),
        slope=float(coefficients[1]),
        level_sigma=float(sigmas[0]),
        slope_sigma=float(sigmas[1]),
        quantile=float(stdtrit(times.size - 2, _LEVEL)),
        first=float(times[0]),
        last=float(times[-1]),
        points=int(times.size),
    )
    if quadratic is None or not quadratic[2][2] > 0.0:
        return trend, 0.0
    return trend, float(quadratic[1][2] / quadratic[2][2])


def _score(
    times: Floats, values: Floats, eta: Floats, course: Course, degree: int
) -> tuple[float, Floats, Floats] | None:
    """Middle, coefficients and their standard deviations, by Fisher's scoring.

    (P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., ch. 2.5.)
    Starts from ``eta``, the values on the scale on which the curve is a polynomial.
    """
    mean = values
    for _ in range(_ROUNDS):
        # d(value)/d(eta): 1, or the value itself
        steep = np.ones_like(values) if course == "linear" else mean
        middle = float(np.average(times, weights=steep**2))
        powers = (times - middle)[:, None] ** np.arange(degree + 1)  # (n, degree + 1)
        design = powers * steep[:, None]
        working = eta + (values - mean) / steep
        scale = np.linalg.norm(design, axis=0)
        if not (scale > 0.0).all():
            return None
        solved = np.linalg.lstsq(design / scale, working * steep, rcond=None)
        coefficients = solved[0] / scale
        before, eta = eta, powers @ coefficients
        if course == "linear":
            mean = eta
            break
        mean = np.exp(np.clip(eta, -700.0, 700.0))
        if not (np.isfinite(mean) & (mean > 0.0)).all():
            return None
        if np.abs(eta - before).max() < 1e-9:
            break
    if solved[2] <= degree:
        return None
    spread = float(((values - mean) ** 2).sum()) / (values.size - degree - 1)
    inverse = np.linalg.inv((design / scale).T @ (design / scale))
    return middle, coefficients, np.sqrt(spread * np.diag(inverse)) / scale

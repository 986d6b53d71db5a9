"""A physical value that goes towards a target, and a forecast of when it is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np

from ringwatch.plans.conditions import USABLE, Crossing, Frame, frame_of
from ringwatch.plans.heard import Heard, near
from ringwatch.plans.trend import Course, Trend, fit_trend

__all__ = ["Reaching", "reaches"]


class Reaching:
    """A value that goes towards a target: met when a forecast says that it is there.

    The value is followed over the frames, extrapolated by ``fit_trend`` over what the
    analysis is behind, and met at the time at which the curve through it crosses. A
    curve may be drawn out by as much as half of the past that it describes.

    Parameters
    ----------
    value : str or callable
        Key of a physical value, or a function of a verdict that gives a number (NaN or
        None for a frame without).
    target : float
    course : str
        How it goes there: ``linear`` or ``exponential``.
    frames : int
        At most so many of the latest are looked at.
    exposure_s : float
        Of a frame: a value stands for its middle, seconds.

    Raises
    ------
    ValueError
        If the target is not finite, or not positive on an exponential course; if there
        is no such course.
    """

    def __init__(
        self,
        value: str | Callable[[Heard], float | None],
        target: float,
        *,
        course: Course = "linear",
        frames: int = 120,
        exposure_s: float = 0.0,
    ) -> None:
        if course not in get_args(Course):
            named = " or ".join(get_args(Course))
            raise ValueError(f"no course {course!r}: give {named}")
        if not math.isfinite(target) or (course == "exponential" and target <= 0.0):
            kind = "a positive number" if course == "exponential" else "a number"
            raise ValueError(f"the target is {target}: give {kind}")
        self.target = target
        self._name = value if isinstance(value, str) else "the value"
        self._value = value
        self._course, self._frames, self._exposure = course, frames, exposure_s
        self.begin()

    def begin(self) -> None:
        """Forget all frames."""
        self._points: dict[Frame, tuple[float, float, Heard]] = {}
        self._runs: list[str] = []  # the last one counts
        self._trend: Trend | None = None
        self._last: Heard | None = None
        self._side = 0.0  # of the target on which the values began

    def take(self, heard: Heard, time: float) -> None:
        """Take a verdict; of bad and misaligned frames the value is not believed."""
        if heard.run_uid not in self._runs:
            self._runs.append(heard.run_uid)
            self._points.clear()
            self._side = 0.0
        if heard.run_uid != self._runs[-1]:
            return
        self._trend, self._last = None, heard
        value = self._read(heard)
        if heard.word not in USABLE or value is None or not math.isfinite(value + time):
            self._points.pop(frame_of(heard), None)
            return
        self._side = self._side or math.copysign(1.0, self.target - value)
        self._points[frame_of(heard)] = time - 0.5 * self._exposure, value, heard
        if len(self._points) > self._frames:
            del self._points[min(self._points, key=lambda f: self._points[f][0])]

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self._points:
            _, value, last = max(self._points.values(), key=lambda point: point[0])
            there = f"{self._name} is {value:.5g} at frame {last.index}"
            return f"{there}, target {self.target:.5g}"
        if isinstance(self._value, str) and self._last is not None:
            return (
                f"no frame has a value {self._value!r}{near(self._value, self._last)}"
            )
        return f"{self._name} was never there"

    def _read(self, heard: Heard) -> float | None:
        if isinstance(self._value, str):
            return heard.values.get(self._value)
        return self._value(heard)

    @property
    def trend(self) -> Trend | None:
        """The curve through the latest values; None where there are too few."""
        if self._trend is None and self._points:
            points = sorted(point[:2] for point in self._points.values())
            times, values = np.array(points).T
            self._trend = fit_trend(times, values, self._course)
        return self._trend

    def crossing(self, now: float) -> Crossing | None:
        """When the value is there; None where it goes elsewhere or nobody can say."""
        trend = self.trend
        if trend is None:
            return None
        met = trend.crossing(self.target)
        if met is None or trend.slope(min(met, trend.last)) * self._side <= 0.0:
            return None
        reach = trend.last + 0.5 * (trend.last - trend.first)
        if met > reach or now > reach:
            return None  # the past says nothing of so far a future
        time = max(met, now)
        expected = trend.at(time)
        newest = max(self._points.values(), key=lambda point: point[0])[2]
        return Crossing(
            time=time,
            because=(
                f"{self._name} is expected to be {expected.value:.5g} "
                f"({expected.low:.5g} to {expected.high:.5g}, 95 %), target "
                f"{self.target:.5g}, {time - trend.last:.2f} s after frame "
                f"{newest.index}, by the last {trend.points} frames"
            ),
            heard=newest,
            expected=expected,
        )


def reaches(
    value: str | Callable[[Heard], float | None],
    target: float,
    *,
    course: Course = "linear",
    frames: int = 120,
    exposure_s: float = 0.0,
) -> Reaching:
    """A physical value is there, by a forecast: see ``Reaching``."""
    return Reaching(value, target, course=course, frames=frames, exposure_s=exposure_s)

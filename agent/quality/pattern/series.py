"""``drift``: do the numbers of the frames change steadily in one direction?

Information, never bad: a ramp is what many experiments are made for. The class keeps
state over the frames; the fold owns it, and calls it once a frame in the order of the
index, for frames that hold light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen, find_readback
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.light.first_frames import log_light
from ringwatch.agent.quality.pattern.series_kernels import take_in
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["Drift", "SeriesScores"]

Floats = NDArray[np.float64]
Numbers = tuple[float, float, float, float]

_POINTS = 64  # of a window
_LEAST_POINTS = 8
_THINNED = 8  # frames of one window that make a point of the next, longer one
_LEVELS = 3  # windows of 64, 512 and 4096 frames
_SCALE, _DX, _DY, _INTENSITY = range(4)
_RATES = {
    _DX: "drift_dx_px_per_frame",
    _DY: "drift_dy_px_per_frame",
    _INTENSITY: "drift_intensity_per_frame",
}
_AT_LEAST_Z = 3.0  # no threshold of the budget is below


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesScores:
    """Numbers of one frame that are watched for a trend; NaN where there is none.

    Attributes
    ----------
    index : int
        Of the frame.
    values, sigmas : tuple of 4 float
        Radial scale, ppm; centre along columns and rows, px; logarithm of the
        intensity, over the beam monitor where there is one.
    tolerances : tuple of 4 float
        Change of each that matters, same units.
    """

    index: int
    values: Numbers
    sigmas: Numbers
    tolerances: Numbers

    @classmethod
    def from_findings(
        cls,
        facts: FrameFacts,
        seen: Seen,
        *,
        scale: Finding,
        center: Finding,
        settings: QualitySettings,
    ) -> SeriesScores:
        """Take them from what ``radial_scale`` and ``beam_center`` found."""
        off = center.further.get("beam_center_sigma_px", math.nan)
        width = seen.rings.width if seen.rings is not None else math.nan
        move = settings.center_tolerance * width
        log, noise = _log_intensity(facts, seen, settings)
        return cls(
            index=facts.ref.index,
            values=(
                scale.value,
                center.value,
                center.further.get("beam_center_dy_px", math.nan),
                log,
            ),
            sigmas=(
                scale.further.get("radial_scale_sigma_ppm", math.nan),
                off,
                off,
                noise,
            ),
            tolerances=(
                settings.scale_tolerance * 1e6,
                move,
                move,
                settings.beam_tolerance,
            ),
        )


class Drift:
    """Watches for monotone change over the last 64, 512 and 4096 frames.

    Each window holds 64 points, those of the longer ones means of 8 points of the
    shorter. A straight line is fitted to each number; it must be significant against
    the scatter about it (Student's t, its variance inflated by (1 + rho) / (1 - rho)
    where neighbours are correlated), change by more than the tolerance, and describe
    the window better than one step would. As every frame is tested at the budget's tail
    and neighbours share their data, the mean time to a false alarm is above the budget.
    """

    def __init__(self) -> None:
        self._windows = [_Window() for _ in range(_LEVELS)]

    def judge(self, scores: SeriesScores, settings: QualitySettings) -> Finding:
        """Take the next frame in, and judge the trend."""
        point = (float(scores.index), scores.values, scores.sigmas)
        for window in self._windows:
            if not window.add(*point):
                break
            point = window.newest_mean()
        known: dict[int, list[float]] = {}
        for window in self._windows:  # the shortest that knows
            for number, fit in enumerate(window.fits):
                if fit[0] >= _LEAST_POINTS and number not in known:
                    known[number] = fit
        if not known:
            why = f"no number was known in {_LEAST_POINTS} frames before"
            return not_evaluated(Flag.DRIFT, why)
        further = {key: known[n][1] for n, key in _RATES.items() if n in known}
        _, value, sigma, *_ = known.get(_SCALE, [0.0, math.nan, math.nan])
        worst = self._worst(scores.tolerances, settings)
        if worst is None:
            z = value / sigma if sigma > 0 else math.nan
            return clear(Flag.DRIFT, value, z=z, further=further)
        number, (_, slope, sigma, span, *_) = worst
        return raised(
            Flag.DRIFT,
            slope if number == _SCALE else value,
            _sentence(number, slope, span, slope / sigma),
            z=slope / sigma,
            further=further,
        )

    def _worst(
        self, tolerances: Numbers, settings: QualitySettings
    ) -> tuple[int, list[float]] | None:
        """Trend that matters most, over its tolerance."""
        worst, size = None, 1.0
        for window in self._windows:
            for number, fit in enumerate(window.fits):
                points, slope, sigma, span, better, freedom = fit
                if points < _LEAST_POINTS or not better > 0 or not sigma > 0:
                    continue
                change = abs(slope * span) / tolerances[number]
                if not change > size or abs(slope) < _AT_LEAST_Z * sigma:
                    continue
                if abs(slope) > settings.threshold_for(freedom) * sigma:
                    worst, size = (number, fit), change
        return worst


def _sentence(number: int, slope: float, span: float, z: float) -> str:
    over = f"over the last {span:.0f} frames ({abs(z):.0f} sigma)"
    rate = abs(slope)
    if number == _SCALE:
        way, cell = ("grow", "shrinks") if slope > 0 else ("shrink", "expands")
        return (
            f"rings {way} by {rate:.3g} ppm a frame {over}: the cell {cell}, or "
            "distance or energy drift; compare the temperature, and a fresh spot"
        )
    if number == _INTENSITY:
        way = "rises" if slope > 0 else "falls"
        return (
            f"the intensity {way} by {rate:.2%} a frame {over}: compare the beam "
            "monitor, and a fresh spot of the sample for damage"
        )
    axis = "columns" if number == _DX else "rows"
    return (
        f"the rings' centre drifts by {slope:+.2g} px a frame along the {axis} {over}: "
        "see what moves, beam or detector"
    )


class _Window:
    """The last 64 points of the watched numbers, and the line through each."""

    def __init__(self) -> None:
        self._at = np.zeros(_POINTS)
        self._values = np.full((4, _POINTS), np.nan)
        self._sigmas = np.full((4, _POINTS), np.nan)
        self._filled = self._since = 0
        self._fits = np.zeros((4, 6))
        self.fits: list[list[float]] = []

    def add(self, at: float, values: Numbers, sigmas: Numbers) -> bool:
        """Take a point in; True where the next longer window is due one."""
        kept = self._at, self._values, self._sigmas
        self._filled = take_in(*kept, self._filled, at, values, sigmas, self._fits)
        self.fits = self._fits.tolist()
        self._since = (self._since + 1) % _THINNED
        return self._since == 0

    def newest_mean(self) -> tuple[float, Numbers, Numbers]:
        """Mean of the newest eight points, for the next longer window."""
        new = slice(self._filled - _THINNED, self._filled)
        root = math.sqrt(_THINNED)
        return (
            float(self._at[new].mean()),
            _numbers(self._values[:, new].mean(axis=1)),
            _numbers(self._sigmas[:, new].mean(axis=1) / root),
        )


def _numbers(four: Floats) -> Numbers:
    scale, dx, dy, intensity = four.tolist()
    return scale, dx, dy, intensity


def _log_intensity(
    facts: FrameFacts, seen: Seen, settings: QualitySettings
) -> tuple[float, float]:
    """Logarithm of the net counts, over the monitor where there is one, and sigma."""
    light, sigma = log_light(seen)
    readbacks = facts.ref.readbacks
    key = find_readback(readbacks, settings.i0_key, suffixes=("i0",))
    monitor = readbacks[key] if key is not None else 1.0
    if not 0 < monitor < math.inf:
        return math.nan, math.nan
    return light - math.log(monitor), sigma

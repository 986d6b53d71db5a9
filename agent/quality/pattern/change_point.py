"""``change_point``: did the pattern change from one frame to the next?

Information, never bad: a transition is what many experiments wait for. The class keeps
state over the frames; the fold owns it, and calls it once a frame in the order of the
index, for frames that hold light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.pattern.series_kernels import (
    compare_shapes,
    cut_spikes,
    update_memory,
)
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["ChangePoint"]

Floats = NDArray[np.float64]

_FORGET = 0.25  # weight of the newest frame in the memory: what is sudden, not slow
_USUAL = 16  # frames over which the usual difference is averaged
_FOLLOW = 0.25  # the usual difference itself changes slowly, as in a ramp
_LEAST_FRAMES = 4
_LEAST_BINS = 32
_LEAST_CHI2 = 0.1  # less has only the same frame twice, which ``duplicate`` tells
_PRIOR = 0.12  # of the logarithm of chi2, as long as few frames show its scatter
_PRIOR_FREEDOM = 8.0
_MOVED = 0.004  # share of the counts at other radii that is worth telling
_FAR = 2.0  # standard deviations; more is not usual
_MORE = 1.15  # times what usually moves
_BEFORE, _SOUND = "frame before", "sound frame before"


class ChangePoint:
    """Compares the shape of each frame's profile with the mean of the last frames.

    The frame's mean profile is fitted by a multiple of the remembered one and a
    constant, so that neither the brightness nor a pedestal counts. What is left, as a
    reduced chi-square, is compared with what it usually is: grains that turn, a flat
    field, or a steady ramp make it larger than 1, and its logarithm scatters. A single
    bin that sticks out alone is a zinger, and is cut down to its neighbours. After a
    change the memory begins anew.

    What frames that are bad or misaligned teach is forgotten after them: the next sound
    frame is compared with the last sound one.
    """

    def __init__(self) -> None:
        self._memory = _Memory()
        self._before: _Memory | None = None  # the fault that is in force

    def judge(
        self, seen: Seen, settings: QualitySettings, *, sound: bool = True
    ) -> Finding:
        """Compare the next frame, and remember it.

        Parameters
        ----------
        seen : Seen
        settings : QualitySettings
        sound : bool
            Whether the frame is neither bad nor misaligned.
        """
        if seen.profiles is None:
            return not_evaluated(Flag.CHANGE_POINT, "no geometry")
        if not sound:
            if self._before is None:
                self._before = self._memory.copy()
            return self._memory.judge(seen.profiles, settings, _BEFORE)
        if self._before is None:
            return self._memory.judge(seen.profiles, settings, _BEFORE)
        self._memory, self._before = self._before, None
        return self._memory.judge(seen.profiles, settings, _SOUND)


@dataclass(slots=True)
class _Memory:
    """Mean of the last frames, and how much they usually differ from it."""

    mean: Floats | None = None
    variance: Floats = field(default_factory=lambda: np.empty(0))
    frames: int = 0
    usual: float = 0.0  # logarithm of chi2
    scatter: float = 0.0
    moves: float = 0.0
    changing: bool = False

    def copy(self) -> _Memory:
        """Copy that the next frames leave as it is."""
        mean = None if self.mean is None else self.mean.copy()
        return replace(self, mean=mean, variance=self.variance.copy())

    def judge(
        self, profiles: Profiles, settings: QualitySettings, before: str
    ) -> Finding:
        """Compare a frame with the memory, and take it in."""
        flag = Flag.CHANGE_POINT
        mean = np.empty(profiles.mean.size)
        cut_spikes(profiles.mean, profiles.variance, profiles.whole, mean)
        if self.mean is None or self.mean.size != profiles.mean.size:
            self._restart(profiles, mean)
            return not_evaluated(flag, f"no {before} to compare with")
        frame = mean, profiles.variance, profiles.whole
        left = np.empty(profiles.mean.size)
        slope, level, chi2, moved, noise, bins = compare_shapes(
            *frame, self.mean, self.variance, left
        )
        if bins < _LEAST_BINS:
            return not_evaluated(flag, "no counts above the dark to compare")
        if chi2 < _LEAST_CHI2:
            return clear(flag, chi2)
        finding = self._weigh((math.log(chi2), moved, noise, bins), settings, before)
        if finding.state is FlagState.RAISED:
            self._restart(profiles, mean)
            return finding
        if slope > 0.0:
            update_memory(*frame, left, slope, level, _FORGET, self.mean, self.variance)
        return finding

    def _weigh(
        self,
        difference: tuple[float, float, float, float],
        settings: QualitySettings,
        before: str,
    ) -> Finding:
        """Compare with the usual difference, and learn it."""
        log, moved, noise, bins = difference
        flag, n = Flag.CHANGE_POINT, self.frames
        off = log - self.usual
        known = min(n, _USUAL)
        freedom = _PRIOR_FREEDOM + known - 1.0
        spread = (_PRIOR_FREEDOM * _PRIOR**2 + known * self.scatter) / freedom
        spread = math.sqrt(max(spread, 2.0 / bins) * (1.0 + 1.0 / max(n, 1)))
        z = off / spread
        net = math.sqrt(max(moved**2 - noise**2, 0.0))
        up = n >= _LEAST_FRAMES and net > _MOVED and moved > _MORE * self.moves
        up = up and z > settings.threshold_for(freedom)
        self._learn(off, spread, moved, in_a_ramp=up and self.changing)
        self.changing = up
        if n < _LEAST_FRAMES:
            return not_evaluated(
                flag, f"fewer than {_LEAST_FRAMES} differences between frames are known"
            )
        times, further = math.exp(off), {"changed_share": net}
        if not up:
            return clear(flag, times, z=z, further=further)
        return raised(
            flag,
            times,
            f"the pattern changed: {net:.1%} of the light went to other radii in one "
            f"frame ({times:.3g} times the usual chi-square): a transition, melting, "
            f"or another sample; compare with the {before}",
            z=z,
            further=further,
        )

    def _learn(
        self, off: float, spread: float, moved: float, *, in_a_ramp: bool
    ) -> None:
        """Take a difference into the usual one.

        One that is far off teaches little, else a change would hide the next one. Two
        in a row are a ramp, which soon is the usual.
        """
        n, share = self.frames, 1.0 / min(self.frames + 1, _USUAL)
        most = _FAR * spread if n >= _LEAST_FRAMES else spread
        far = min(max(off, -most), most)
        level = off if n < _LEAST_FRAMES or in_a_ramp else far
        self.usual += max(share, _FOLLOW) * level
        off = off if in_a_ramp else far
        self.scatter = (1.0 - share) * (self.scatter + share * off * off)
        usual = self.moves if n else moved
        self.moves = usual + share * (min(moved, 2.0 * usual) - usual)
        self.frames = n + 1

    def _restart(self, profiles: Profiles, mean: Floats) -> None:
        self.mean = mean
        whole = profiles.whole
        self.variance = np.divide(
            profiles.variance, whole, out=np.full(whole.size, np.inf), where=whole > 0
        )

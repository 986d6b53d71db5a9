"""``mask_mismatch``: is the mask where the dead pixels are?"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import EdgeSums, Flag
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["EdgeHistory", "judge_mask_mismatch"]

_SIDES = ("left", "right", "up", "down")
_REMEMBERED = 32  # frames
_FEWEST = 8  # pixels of a side that can accuse the mask
_NO_NOISE = np.zeros((2, 4))


class EdgeHistory:
    """Sums the counts along the mask's edges over the last 32 frames.

    A mask and the dead areas under it stay where they are, so frames add up: what one
    frame of few counts cannot show, ten show.
    """

    def __init__(self) -> None:
        self._last = np.zeros((_REMEMBERED, 3, 2, 4))  # seen, expected, variance
        self._taken = 0

    def judge(self, facts: FrameFacts, settings: QualitySettings) -> Finding:
        """Judge the next frame together with those before it."""
        edges = facts.cake.edges
        if edges is None:
            return judge_mask_mismatch(None, settings)
        row = self._last[self._taken % _REMEMBERED]
        row[0], row[1], row[2] = edges.seen, edges.expected, edges.variance
        self._taken += 1
        last = self._last[: self._taken]
        return judge_mask_mismatch(edges, settings, last, row, _noise_of_dark(facts))


def _noise_of_dark(facts: FrameFacts) -> NDArray[np.float64]:
    """At most the variance that the dark's own noise leaves along the edges, (2, 4).

    Of what scatters, less what light does: one dark of as many frames left that.
    """
    edges, outliers = facts.cake.edges, facts.cake.outliers
    if not facts.dark_frames or edges is None:
        return _NO_NOISE
    fano = 1.0 if outliers is None else outliers.fano
    rest = edges.variance - fano * np.maximum(edges.expected, 0.0)
    return np.asarray(np.maximum(rest, 0.0) / facts.dark_frames, np.float64)


def judge_mask_mismatch(
    edges: EdgeSums | None,
    settings: QualitySettings,
    last: NDArray[np.float64] | None = None,
    newest: NDArray[np.float64] | None = None,
    shared: NDArray[np.float64] | None = None,
) -> Finding:
    """Raise where open pixels along one side of the mask lack the counts they should.

    They must lack more than ``mask_tolerance`` of what their ring lets expect, beyond
    counting noise and scatter. Where masked pixels of the same side hold signal the
    mask is shifted; where not it is too small. Signal under the mask alone is normal:
    masks are drawn generously. Open pixels that the detector marked invalid left no
    harm; they count only where masked ones on that side hold signal.

    The value is the share of the expected counts that masked pixels at the edge hold.

    Parameters
    ----------
    edges : EdgeSums or None
        Of this frame; None without a mask.
    settings : QualitySettings
    last : (frames, 3, 2, 4) float64, optional
        Counts seen, expected and their variance of the frames to be judged together; by
        default of this one alone.
    newest : (3, 2, 4) float64, optional
        Those of this frame. It is judged alone first: sound ones would dilute it.
    shared : (2, 4) float64, optional
        Variance of what all the frames have in common, the noise of their dark: it does
        not average out over them. By default none.
    """
    flag = Flag.MASK_MISMATCH
    if edges is None:
        return not_evaluated(flag, "no mask, or no geometry that says what to expect")
    if newest is None:
        newest = np.stack([edges.seen, edges.expected, edges.variance])
    if last is None:
        last = newest[None]
    bad = np.zeros(len(_SIDES), np.bool_)
    known, share, ratio, z, shifted = _compare_sides(
        edges.pixels,
        edges.marked,
        newest,
        last,
        _NO_NOISE if shared is None else shared,
        settings.mask_tolerance,
        settings.threshold,
        bad,
    )
    if not known:
        return not_evaluated(
            flag,
            "too few counts along the mask's edge to see whether it fits",
            further={flag.value_key: share},
        )
    further = {"mask_edge_fraction": ratio}
    if not bad.any():
        return clear(flag, share, z=z, further=further)
    where = " and ".join(_SIDES[k] for k in np.flatnonzero(bad))
    what = (
        f"the mask is shifted {where}: open pixels there"
        if shifted
        else f"the mask is too small: open pixels whose masked neighbour lies {where}"
    )
    return raised(
        flag,
        share,
        f"{what} hold {ratio:.0%} of the counts of their rings ({z:.0f} sigma)"
        + (f" and masked ones at the other end {share:.0%}" if shifted else "")
        + ": give the mask of this detector, in this orientation",
        z=z,
        further=further,
    )


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _compare_sides(
    pixels: NDArray[np.int64],
    marked: NDArray[np.int64],
    newest: NDArray[np.float64],
    last: NDArray[np.float64],
    shared: NDArray[np.float64],
    tolerance: float,
    threshold: float,
    bad: NDArray[np.bool_],
) -> tuple[bool, float, float, float, bool]:
    """Compare the sides in the newest frame and, where none is bad, over ``last``."""
    sums = newest.copy()
    sums[2] += shared
    found = _look_at_sides(pixels, marked, sums, tolerance, threshold, bad)
    if bad.any() or last.shape[0] < 2:
        return found
    sums[:] = 0.0
    for row in last:
        sums += row
    sums[2] += last.shape[0] ** 2 * shared
    return _look_at_sides(pixels, marked, sums, tolerance, threshold, bad)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _look_at_sides(
    pixels: NDArray[np.int64],
    marked: NDArray[np.int64],
    sums: NDArray[np.float64],
    tolerance: float,
    threshold: float,
    bad: NDArray[np.bool_],
) -> tuple[bool, float, float, float, bool]:
    """Compare the sides of the mask in the sums (3, 2, 4) of some frames.

    Gives whether any side can be judged, the share that masked pixels hold, the share
    that open ones do, significance, whether the mask is shifted: one that is leaves
    signal inside on the side to which it moved. ``bad`` (4,) gets the sides that lack
    counts; without any the share of open pixels is the least.
    """
    seen, expected, variance = sums
    masked = expected[1].sum()
    share = seen[1].sum() / masked if masked > 0.0 else math.nan
    known, every_lit = False, True
    least, shown, shown_z = math.inf, math.nan, math.nan
    held = due = strength = 0.0
    for k in range(bad.size):
        outside, inside = max(expected[0, k], 0.0), max(expected[1, k], 0.0)
        sigma = math.sqrt(max(variance[0, k], 1.0))
        sigma_inside = math.sqrt(max(variance[1, k], 1.0))
        visible = threshold * sigma < tolerance * outside and pixels[0, k] >= _FEWEST
        signal = threshold * sigma_inside < tolerance * inside
        ratio, z = seen[0, k] / max(outside, 1e-9), (seen[0, k] - outside) / sigma
        empty = visible and ratio < 1.0 - tolerance and z < -threshold
        lit = signal and seen[1, k] / max(inside, 1e-9) > 1.0 - tolerance
        lit = lit and pixels[1, k] >= _FEWEST
        number = pixels[0, k] + marked[0, k]
        gone = marked[0, k] > tolerance * max(number, _FEWEST)
        known = known or visible or (gone and signal)
        if k == 0 or (visible and not ratio >= least):
            shown, shown_z = ratio, z
        if visible:
            least = min(least, ratio)
        bad[k] = empty or (gone and lit)
        if bad[k]:
            # What the detector marked holds nothing; there the signal is significant.
            held += seen[0, k]
            due += outside * number / max(pixels[0, k], 1)
            every_lit = every_lit and lit
            own = abs(z) if empty else seen[1, k] / sigma_inside
            strength = max(strength, own)
    if not bad.any():
        return known, share, shown, shown_z, False
    # Opposite sides that both lack mean a mask that is too small, wherever signal is.
    both = (bad[0] and bad[1]) or (bad[2] and bad[3])
    shifted = every_lit and not both
    return known, share, held / max(due, 1e-9), strength, shifted

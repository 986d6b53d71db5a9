"""``hot_pixels``, ``zingers``, ``spots``: bright pixels that belong to no ring."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, Cake, Flag, Outliers
from ringwatch.agent.quality.facts import FrameFacts, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.readout.spot_cells import find_spots
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["OutlierHistory", "judge_spots", "without_lone"]

_LONE = 2  # pixels; a photon spot is spread over more
_GRAINS = 20  # outliers that are not alone; more, and most of all, are grains
_BESIDE = 3  # bins; where a cluster is so near, a lone pixel is part of its ring
_MEMORY = 4  # earlier frames
_OFTEN = 3  # of them
_GATHERED = 7.0  # minus the log of the chance that zingers lie on rings so often
_OF_BIN = 0.01  # of a bin's counts: a false peak that somebody may believe
_TILE_SHARE = 0.25  # of the counts, where no geometry tells a ring from a spot
_ONE_SPOT = 0.2  # of the rings' counts: so much matters even in one spot
_GAP = 5  # bins, where no ring tells how wide rings are
_GAPS = (4, 12)
_NONE, _NO_BINS = np.zeros(0, np.bool_), np.empty(0, np.int64)


class OutlierHistory:
    """Tells hot pixels, which stay, from zingers, which do not.

    Remembers the places of the lone outliers of the last four frames that had a
    geometry: no frame alone tells one from the other.
    """

    def __init__(self) -> None:
        self._places: deque[NDArray[np.int32]] = deque(maxlen=_MEMORY)

    def judge(
        self, facts: FrameFacts, seen: Seen, settings: QualitySettings
    ) -> tuple[Finding, Finding]:
        """Findings for ``hot_pixels`` and ``zingers``.

        Hot is what was an outlier in at least three of the last four frames, or in the
        last one if chance cannot put so many into the same places. Both flags need an
        effect that matters: more than ``outlier_tolerance`` of the frame's counts, or a
        false peak in a bin of the pattern, significant and above 1 % of its counts.
        """
        flags = Flag.HOT_PIXELS, Flag.ZINGERS
        outliers = facts.cake.outliers
        why_not = _why_not(outliers, seen)
        if outliers is None or why_not:
            hot, zingers = (not_evaluated(flag, why_not) for flag in flags)
            return hot, zingers
        known = len(self._places)
        if not outliers.found:
            self._places.append(outliers.place)
            zingers = clear(Flag.ZINGERS, 0.0, further={"zinger_share": 0.0})
            hot = clear(Flag.HOT_PIXELS, 0.0, further={"hot_share": 0.0})
            return hot if known else _first_frame(), zingers
        lone = np.flatnonzero(_lone(outliers))
        place = outliers.place[lone]
        often, before = self._repeated(place, facts.cake, settings)
        self._places.append(place)
        zingers = _judge(
            Flag.ZINGERS, facts.cake, lone[~before], settings, alone=not known
        )
        if not known:
            return _first_frame(), zingers
        return _judge(Flag.HOT_PIXELS, facts.cake, lone[often], settings), zingers

    def _repeated(
        self, place: NDArray[np.int32], cake: Cake, settings: QualitySettings
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which places are hot, and which were outliers in any frame remembered."""
        times = np.zeros(place.size, np.int64)
        latest = np.zeros(place.size, bool)
        if place.size:
            for earlier in self._places:
                latest = np.isin(place, earlier, assume_unique=True)
                times += latest
        often = times >= _OFTEN
        if latest.any():
            pixels = float(cake.shape[0] * cake.shape[1])
            by_chance = place.size * self._places[-1].size / pixels
            if _odds(int(latest.sum()), by_chance) > -math.log(settings.tail):
                often |= latest
        return often, times > 0


def judge_spots(facts: FrameFacts, seen: Seen, settings: QualitySettings) -> Finding:
    """Raise where spots hold a share of the rings' counts that matters.

    With a geometry from the cells: see ``find_spots``; two spots at least, or one that
    holds a fifth. Without one from clusters of outliers that stand alone, which must
    hold a quarter of the frame's counts. The value is the share of spots in the counts
    of spots and rings (without a geometry: in all counts above the dark).
    """
    cake = facts.cake
    if cake.outliers is None:
        return not_evaluated(Flag.SPOTS, "single pixels were not looked at")
    if seen.profiles is None:
        return _judge_clusters(cake, cake.outliers)
    width = _gap(seen)
    rings = _NO_BINS if seen.rings is None else seen.rings.bins
    sound = _without(cake, cake.outliers)
    spots, counts, ringed = find_spots(
        sound.total, sound.maximum, cake.pixels, cake.outliers.fano, rings, width
    )
    share = counts / (counts + ringed) if counts > 0 else 0.0
    further = {"spots": float(spots)}
    if share <= settings.spot_tolerance or (spots < 2 and share <= _ONE_SPOT):
        return clear(Flag.SPOTS, share, further=further)
    return raised(
        Flag.SPOTS,
        share,
        f"{_number(spots, 'spot')} {_hold(spots)} {share:.1%} of the counts of all "
        "rings: a single crystal, a diamond or a few large grains; mask them or turn "
        "the sample",
        further=further,
    )


def _judge_clusters(cake: Cake, outliers: Outliers) -> Finding:
    above = outliers.value - outliers.expected
    listed = float(above.sum())
    part = float(above[outliers.size > _LONE].sum()) / listed if listed > 0 else 0.0
    light = float(cake.total.sum() - cake.dark.sum())
    share = min(part * outliers.counts / light, 1.0) if light > 0 else 0.0
    if share <= _TILE_SHARE:
        return clear(Flag.SPOTS, share)
    return raised(
        Flag.SPOTS,
        share,
        f"spots of several pixels hold {share:.0%} of the counts: a single crystal or "
        "a few large grains; no pattern of it is that of a powder",
    )


def _gap(seen: Seen) -> int:
    """Bins from a ring's maximum to its background: 1.5 widths."""
    if seen.rings is None or seen.profiles is None or not seen.rings.bins.size:
        return _GAP
    bins = round(1.5 * seen.rings.width / seen.profiles.pitch)
    return min(max(bins, _GAPS[0]), _GAPS[1])


def _why_not(outliers: Outliers | None, seen: Seen) -> str:
    if outliers is None:
        return "single pixels were not looked at"
    if seen.profiles is None:
        return "no geometry that tells a bright pixel from a ring"
    if _among_grains(outliers):
        return (
            f"{outliers.found} pixels stand out of their rings: among grains or spots "
            "single ones cannot be told"
        )
    return ""


def _among_grains(outliers: Outliers) -> bool:
    if outliers.found <= _GRAINS:
        return False
    others = outliers.found - int(_lone(outliers).sum())
    return others > max(_GRAINS, outliers.found // 2)


def _lone(outliers: Outliers) -> NDArray[np.bool_]:
    """Outliers of one or two pixels whose bins hold no spots or grains beside."""
    small = outliers.size <= _LONE
    if small.all() or not small.any():
        return small
    bins = outliers.cell // SECTORS
    spotted = np.zeros(int(bins.max()) + 2 * _BESIDE + 1, bool)
    for step in range(2 * _BESIDE + 1):
        spotted[bins[~small] + step] = True
    return small & ~spotted[bins + _BESIDE]


def without_lone(cake: Cake, seen: Seen) -> Cake:
    """The cake as if pixels that stand alone held what is expected of them.

    For the rings' centre alone, which moves with each zinger where a ring has few
    counts; whoever compares light must see all of it. The same cake where there are no
    such pixels, where they are too many to be listed, or where they are the rings:
    among grains, or gathered on rings as no zingers are.

    Parameters
    ----------
    cake : Cake
    seen : Seen
        Of the same frame, with profiles.
    """
    outliers = cake.outliers
    if outliers is None or not outliers.found or outliers.found > outliers.size.size:
        return cake
    if _among_grains(outliers) or _on_rings(outliers, cake, seen):
        return cake
    return _without(cake, outliers)


def _on_rings(outliers: Outliers, cake: Cake, seen: Seen) -> bool:
    """Whether more of them lie within a FWHM of rings than chance puts there."""
    if seen.profiles is None or seen.rings is None or not seen.rings.bins.size:
        return False
    pixels = cake.pixels.sum(axis=1)
    near = np.zeros(pixels.size, bool)
    wide = np.ceil(seen.rings.fwhm / seen.profiles.pitch).astype(np.int64)
    for middle, bins in zip(seen.rings.bins, wide, strict=True):
        near[max(middle - bins, 0) : middle + bins + 1] = True
    there = int(near[outliers.cell // SECTORS].sum())
    by_chance = outliers.size.size * float(pixels[near].sum()) / max(pixels.sum(), 1)
    return _odds(there, by_chance) > _GATHERED


def _without(cake: Cake, outliers: Outliers) -> Cake:
    lone = _lone(outliers) if outliers.found else _NONE
    if not lone.any():
        return cake
    cell, expected = outliers.cell[lone], outliers.expected[lone]
    value = outliers.value[lone]
    total, total_sq = cake.total.copy(), cake.total_sq.copy()
    maximum = cake.maximum.copy()
    np.subtract.at(total.reshape(-1), cell, value - expected)
    np.subtract.at(total_sq.reshape(-1), cell, value**2 - expected**2)
    maximum.reshape(-1)[cell] = expected
    return replace(cake, total=total, total_sq=total_sq, maximum=maximum)


def _judge(
    flag: Flag,
    cake: Cake,
    chosen: NDArray[np.int64],
    settings: QualitySettings,
    *,
    alone: bool = False,
) -> Finding:
    """Raise where these outliers matter; ``alone``: no frame before tells what."""
    key = "hot_share" if flag is Flag.HOT_PIXELS else "zinger_share"
    outliers = cake.outliers
    if outliers is None or not chosen.size:
        return clear(flag, 0.0, further={key: 0.0})
    above = outliers.value[chosen] - outliers.expected[chosen]
    counts = cake.total.sum(axis=1)
    share = float(above.sum() / max(counts.sum(), 1.0))
    bins = outliers.cell[chosen] // SECTORS
    false = np.bincount(bins, above, counts.size)
    sound = np.maximum(counts - false, 1.0)
    noise = settings.threshold * np.sqrt(outliers.fano * sound)
    peaks = int((false > np.maximum(noise, _OF_BIN * sound)).sum())
    number, further = float(chosen.size), {key: share}
    if share <= settings.outlier_tolerance and not peaks:
        return clear(flag, number, further=further)
    what, remedy = "zinger", "integrate with a median, or mask them in this frame"
    if flag is Flag.HOT_PIXELS:
        what, remedy = "hot pixel", "mask them"
    elif alone:
        what = "lone bright pixel"
        remedy = (
            "zingers or hot pixels, which another frame tells: mask them in this one"
        )
    return raised(
        flag,
        number,
        f"{_number(chosen.size, what)} {_hold(chosen.size)} {share:.2%} of the frame's "
        f"counts; false peaks in the pattern: {peaks}; {remedy}",
        further=further,
    )


def _first_frame() -> Finding:
    return not_evaluated(Flag.HOT_PIXELS, "one frame tells no hot pixel: it needs 2")


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _hold(count: int) -> str:
    return "holds" if count == 1 else "hold"


def _odds(count: int, expected: float) -> float:
    """Chernoff's bound: minus the log of the chance of ``count`` or more."""
    if count <= expected:
        return 0.0
    return count * math.log(count / max(expected, 1e-300)) - count + expected

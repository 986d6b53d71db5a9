"""``mask_mismatch``: is the mask where the dead pixels are?"""

from __future__ import annotations

import math

import numpy as np

from ringwatch.agent.nouns import EdgeSums, Flag
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_mask_mismatch"]

_SIDES = ("left", "right", "up", "down")
_FEWEST = 8  # pixels of a side that can accuse the mask


def judge_mask_mismatch(facts: FrameFacts, settings: QualitySettings) -> Finding:
    """Raise where open pixels along one side of the mask lack the counts they should.

    They must lack more than ``mask_tolerance`` of what their ring lets expect, beyond
    counting noise and scatter. Where masked pixels of the same side hold signal the
    mask is shifted; where not it is too small. Signal under the mask alone is normal:
    masks are drawn generously. Open pixels that the detector marked invalid left no
    harm; they count only where masked ones on that side hold signal.

    The value is the share of the expected counts that masked pixels at the edge hold.
    """
    flag, edges = Flag.MASK_MISMATCH, facts.cake.edges
    if edges is None:
        return not_evaluated(flag, "no mask, or no geometry that says what to expect")
    share = _masked_share(edges)
    lacking = _lacking(edges, settings)
    if lacking is None:
        return not_evaluated(
            flag,
            "too few counts along the mask's edge to see whether it fits",
            further={flag.value_key: share},
        )
    ratio, sides, z, shifted = lacking
    further = {"mask_edge_fraction": ratio}
    if not sides:
        return clear(flag, share, z=z, further=further)
    where = " and ".join(sides)
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


def _masked_share(edges: EdgeSums) -> float:
    expected = float(edges.expected[1].sum())
    return float(edges.seen[1].sum()) / expected if expected > 0 else math.nan


def _lacking(
    edges: EdgeSums, settings: QualitySettings
) -> tuple[float, tuple[str, ...], float, bool] | None:
    """Least share seen, the sides that lack, significance, shifted; None: cannot tell.

    A mask that is shifted leaves signal inside on the side to which it moved.
    """
    expected = np.maximum(edges.expected, 0.0)
    sigma = np.sqrt(np.maximum(edges.variance, 1.0))
    enough = settings.threshold * sigma < settings.mask_tolerance * expected
    number = edges.pixels + edges.marked
    visible = enough[0] & (edges.pixels[0] >= _FEWEST)
    ratio = edges.seen / np.maximum(expected, 1e-9)
    z = (edges.seen - expected) / sigma
    limit = 1.0 - settings.mask_tolerance
    empty = visible & (ratio[0] < limit) & (z[0] < -settings.threshold)
    lit = enough[1] & (ratio[1] > limit) & (edges.pixels[1] >= _FEWEST)
    gone = edges.marked[0] > settings.mask_tolerance * np.maximum(number[0], _FEWEST)
    bad = empty | (gone & lit)
    if not (visible | (gone & enough[1])).any():
        return None
    if not bad.any():
        least = int(np.argmin(np.where(visible, ratio[0], np.inf)))
        return float(ratio[0, least]), (), float(z[0, least]), False
    # What the detector marked holds nothing; the significance is that of the signal.
    seen = edges.seen[0][bad].sum() / max(
        (expected[0] * number[0] / np.maximum(edges.pixels[0], 1))[bad].sum(), 1e-9
    )
    strength = np.where(empty, np.abs(z[0]), edges.seen[1] / sigma[1])[bad].max()
    # Opposite sides that both lack mean a mask that is too small, wherever signal is.
    shifted = bool(lit[bad].all()) and not (bad[:2].all() or bad[2:].all())
    names = tuple(name for name, side in zip(_SIDES, bad, strict=True) if side)
    return float(seen), names, float(strength), shifted

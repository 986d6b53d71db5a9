"""``duplicate`` and ``sequence``: what only the frames before can tell. Exact flags."""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache

from ringwatch.agent.nouns import Flag, FrameRef
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised

__all__ = ["Duplicates", "Sequence"]

_RING = 64  # frames; a stuck buffer shows at once, a short ring of buffers soon
_FIRST_NUMBERS = (0, 1)  # a detector that was staged again counts from one of these


class Duplicates:
    """Remembers the last 64 frames by checksum and sum."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=_RING)
        self._indices: deque[int] = deque(maxlen=_RING)

    def judge(self, facts: FrameFacts) -> Finding:
        """Raise where the same bytes came before; frames of zeros never count."""
        total = facts.totals.counts
        if not total > 0:
            return clear(Flag.DUPLICATE)
        frame = facts.cake.checksum, total
        earlier = None
        if frame in self._seen:
            earlier = self._indices[self._seen.index(frame)]
        self._seen.append(frame)
        self._indices.append(facts.ref.index)
        if earlier is None:
            return clear(Flag.DUPLICATE)
        return raised(
            Flag.DUPLICATE,
            float(earlier),
            f"the frame repeats frame {earlier} byte for byte: a stuck buffer",
        )


class Sequence:
    """Follows the frame number and time that the detector itself wrote.

    Compares with the last frame of which each was a finite number.
    """

    def __init__(self) -> None:
        self._last: tuple[FrameRef, float] | None = None
        self._time: float | None = None

    def judge(self, ref: FrameRef) -> Finding:
        """Raise on lost or repeated frame numbers, and on time that runs backwards.

        A frame that was announced without a number (abandoned by a pause) counts by its
        index. After a rewind, seen by a repeated ``seq_num``, one may never have been.
        """
        number = _readback(ref, "frame_number")
        time = _readback(ref, "timestamp")
        if number is None:
            return not_evaluated(
                Flag.SEQUENCE, "the detector wrote no frame number beside its frames"
            )
        before = self._time
        if time is not None and math.isfinite(time):
            self._time = time
        if not math.isfinite(number):  # the last one known still tells of a gap
            return not_evaluated(
                Flag.SEQUENCE, f"the frame number of this frame reads {number}"
            )
        last, self._last = self._last, (ref, number)
        if last is None or (number < last[1] and number in _FIRST_NUMBERS):
            return clear(Flag.SEQUENCE, 0.0)
        fault = _miscounted(last[0], last[1], ref, number)
        if fault is not None:
            return fault
        if before is not None and time is not None and time < before:
            return raised(
                Flag.SEQUENCE,
                0.0,
                f"the detector's clock went back by {before - time:.3g} s",
            )
        return clear(Flag.SEQUENCE, 0.0)


def _miscounted(
    before: FrameRef, counted: float, ref: FrameRef, number: float
) -> Finding | None:
    """Whether the detector counted on by another number than the announcements did."""
    missing = (number - counted) - (ref.index - before.index)
    rewound = ref.seq_num <= before.seq_num
    if missing > (1 if rewound else 0):
        return raised(
            Flag.SEQUENCE,
            missing,
            f"frames are missing ({missing:.0f}): the detector counted from "
            f"{counted:.0f} to {number:.0f}, others were lost or given up",
        )
    if missing < 0:
        return raised(
            Flag.SEQUENCE,
            missing,
            f"the detector's frame number went from {counted:.0f} to {number:.0f}: "
            "frames came twice or in wrong order",
        )
    return None


def _readback(ref: FrameRef, suffix: str) -> float | None:
    """Readback that ends so; of several the one named most like the detector."""
    key = _nearest_name(tuple(ref.readbacks), suffix, ref.data_key)
    return None if key is None else float(ref.readbacks[key])


@lru_cache(maxsize=64)
def _nearest_name(names: tuple[str, ...], suffix: str, data_key: str) -> str | None:
    keys = sorted(name for name in names if name.endswith(suffix))
    return max(keys, key=lambda key: _shared(key, data_key), default=None)


def _shared(key: str, data_key: str) -> int:
    """Length of the common beginning."""
    pairs = zip(key, data_key, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(data_key))

"""Sets of frames as ranges of their indices: small, whatever the length of a run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

__all__ = ["Spans", "told"]

_MOST_TOLD = 6


class Spans:
    """Indices in ranges. Those that come in order cost nothing but a comparison."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0

    def add(self, index: int) -> bool:
        """Take an index; whether it is new."""
        firsts, lasts = self._firsts, self._lasts
        if index in self:
            return False
        self._count += 1
        at = bisect_right(firsts, index) - 1  # the range that begins before it
        joins = at >= 0 and lasts[at] == index - 1
        touches = at + 1 < len(firsts) and firsts[at + 1] == index + 1
        if joins and touches:
            lasts[at] = lasts.pop(at + 1)
            del firsts[at + 1]
        elif joins:
            lasts[at] = index
        elif touches:
            firsts[at + 1] = index
        else:
            firsts.insert(at + 1, index)
            lasts.insert(at + 1, index)
        return True

    def discard(self, index: int) -> None:
        """Take an index out, if it is there."""
        at = bisect_right(self._firsts, index) - 1
        if at < 0 or index > self._lasts[at]:
            return
        self._count -= 1
        first, last = self._firsts.pop(at), self._lasts.pop(at)
        for a, b in ((index + 1, last), (first, index - 1)):
            if a <= b:
                self._firsts.insert(at, a)
                self._lasts.insert(at, b)

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._firsts, index) - 1
        return at >= 0 and index <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """First and last index of each range, in order."""
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Number of indices; any thread may ask."""
        return self._count

    def __bool__(self) -> bool:
        return bool(self._firsts)


def told(spans: Spans, most: int = _MOST_TOLD) -> str:
    """Ranges in words: ``3, 12-15, 20 and 4 more``."""
    parts = [str(a) if a == b else f"{a}-{b}" for a, b in spans]
    if len(parts) <= most:
        return ", ".join(parts)
    left = sum(b - a + 1 for a, b in list(spans)[most - 1 :])
    return f"{', '.join(parts[: most - 1])} and {left} more"

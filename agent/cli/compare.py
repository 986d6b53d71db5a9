"""Whether two passes over one raw run say the same, bit by bit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["TIMINGS", "Difference", "differences", "final_verdicts"]

TIMINGS = frozenset({"latency_ms"})
"""Fields that differ from pass to pass by nature."""

Identity = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of one frame that the two passes do not share."""

    stream: str
    index: int
    field: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return (
            f"{self.stream} frame {self.index}: {self.field} is {self.first!r:.60} and "
            f"{self.second!r:.60}"
        )


def final_verdicts(
    documents: Iterable[tuple[str, dict[str, Any]]],
) -> dict[Identity, dict[str, Any]]:
    """Data of the final verdicts by (stream, index of the frame)."""
    streams: dict[str, str] = {}
    found: dict[Identity, dict[str, Any]] = {}
    for name, doc in documents:
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event" and doc["data"]["final"]:
            data = doc["data"]
            found[streams[doc["descriptor"]], int(data["raw_index"])] = data
    return found


def differences(
    first: Iterable[tuple[str, dict[str, Any]]],
    second: Iterable[tuple[str, dict[str, Any]]],
) -> list[Difference]:
    """What differs between the final verdicts of two derived runs, timings excluded."""
    one, other = final_verdicts(first), final_verdicts(second)
    found = []
    for stream, index in sorted(one.keys() | other.keys()):
        a, b = one.get((stream, index)), other.get((stream, index))
        if a is None or b is None:
            found.append(
                Difference(
                    stream=stream,
                    index=index,
                    field="verdict",
                    first="missing" if a is None else a["verdict"],
                    second="missing" if b is None else b["verdict"],
                )
            )
            continue
        found.extend(
            Difference(
                stream=stream,
                index=index,
                field=key,
                first=a.get(key),
                second=b.get(key),
            )
            for key in sorted((a.keys() | b.keys()) - TIMINGS)
            if not _same(a.get(key), b.get(key))
        )
    return found


def _same(a: Any, b: Any) -> bool:
    """Equal to the last bit; NaN equals NaN."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        return (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)

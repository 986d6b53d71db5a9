"""Whether two passes over one raw run say the same, bit by bit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["TIMINGS", "Difference", "FrameId", "differences", "final_verdicts"]

TIMINGS = frozenset({"latency_ms"})
"""Fields that differ from pass to pass by nature: how long the verdict took.

Everything else is compared, ``raw_time`` too: it is the frame's own time, which a
stored run must give back.
"""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class FrameId:
    """What a frame is known by in every pass over its run."""

    raw_uid: str
    stream: str
    raw_data_key: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of one frame that the two passes do not share."""

    frame: FrameId
    field: str
    first: Any
    second: Any

    def __str__(self) -> str:
        frame = self.frame
        return (
            f"run {frame.raw_uid[:8]}, {frame.stream} frame {frame.index} of "
            f"{frame.raw_data_key}: {self.field} is {self.first!r:.60} and "
            f"{self.second!r:.60}"
        )


def final_verdicts(
    documents: Iterable[tuple[str, dict[str, Any]]],
) -> dict[FrameId, list[dict[str, Any]]]:
    """Data of the final revisions of each frame in documents of derived runs.

    A list, so that a frame with two final revisions can be seen; there must be one.
    """
    raw_uids: dict[str, str] = {}  # by uid of the derived start
    streams: dict[str, tuple[str, str]] = {}  # raw uid and name, by descriptor
    found: dict[FrameId, list[dict[str, Any]]] = defaultdict(list)
    for name, doc in documents:
        if name == "start":
            raw_uids[doc["uid"]] = doc["raw_uid"]
        elif name == "descriptor":
            streams[doc["uid"]] = raw_uids[doc["run_start"]], doc["name"]
        elif name == "event" and doc["data"]["final"]:
            data = doc["data"]
            raw_uid, stream = streams[doc["descriptor"]]
            frame = FrameId(
                raw_uid=raw_uid,
                stream=stream,
                raw_data_key=data["raw_data_key"],
                index=int(data["raw_index"]),
            )
            found[frame].append(data)
    return dict(found)


def differences(
    first: Iterable[tuple[str, dict[str, Any]]],
    second: Iterable[tuple[str, dict[str, Any]]],
) -> list[Difference]:
    """What differs between the final verdicts of two passes, timings excluded."""
    one, other = final_verdicts(first), final_verdicts(second)
    return [
        difference
        for frame in sorted(one.keys() | other.keys())
        for difference in _compare(frame, one.get(frame, []), other.get(frame, []))
    ]


def _compare(
    frame: FrameId, a: list[dict[str, Any]], b: list[dict[str, Any]]
) -> list[Difference]:
    if len(a) != 1 or len(b) != 1:
        # Two that agree in this are wrong all the same.
        return [
            Difference(frame=frame, field="final verdicts", first=len(a), second=len(b))
        ]
    return _unlike_fields(frame, a[0], b[0])


def _unlike_fields(
    frame: FrameId, a: Mapping[str, Any], b: Mapping[str, Any]
) -> list[Difference]:
    return [
        Difference(frame=frame, field=key, first=a.get(key), second=b.get(key))
        for key in sorted((a.keys() | b.keys()) - TIMINGS)
        if not _same(a.get(key), b.get(key))
    ]


def _same(a: Any, b: Any) -> bool:
    """Equal to the last bit; NaN equals NaN."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        return (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)

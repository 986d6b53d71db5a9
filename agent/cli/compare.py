"""Whether two passes over one raw run say the same, bit by bit."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.timings import TIMINGS as TIMING_FIELDS

__all__ = [
    "BOOKKEEPING",
    "TIMINGS",
    "Comparison",
    "Difference",
    "FrameId",
    "Unlike",
    "compare_verdicts",
    "condensed",
    "differences",
    "final_verdicts",
    "verdict_digest",
]

TIMINGS = frozenset(TIMING_FIELDS)
"""Fields that differ from pass to pass by nature: how long the verdict took.

Everything else is compared, ``raw_time`` too: it is the frame's own time, which a
stored run must give back.
"""

BOOKKEEPING = TIMINGS | {"revision"}
"""Fields that say how a verdict came about, not what it says.

A frame that was shed live has its final verdict as a later revision, in a replay as the
first.
"""


MOST_VALUES = 32
"""Longer arrays are condensed to a hash."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    """A frame of which two passes do not say the same.

    Attributes
    ----------
    frame : FrameId
    fields : tuple of str
        Those that differ; () where one pass has no final verdict, or several.
    old, new : dict
        Data of the final verdicts; {} where there is not just one.
    """

    frame: FrameId
    fields: tuple[str, ...]
    old: Mapping[str, Any]
    new: Mapping[str, Any]

    @property
    def words(self) -> tuple[str, str]:
        """Old and new verdict."""
        return self.old.get("verdict", "(none)"), self.new.get("verdict", "(none)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two passes over one raw run, frame by frame.

    Attributes
    ----------
    frames : int
        In either pass.
    unlike : list of Unlike
        Frames that differ, in order.
    not_compared : tuple of str
        Fields that only one of the passes has: another version knew other values.
    """

    frames: int
    unlike: list[Unlike]
    not_compared: tuple[str, ...]

    @property
    def words(self) -> Counter[tuple[str, str]]:
        """Frames by (old word, new word), where the word changed."""
        return Counter(u.words for u in self.unlike if u.words[0] != u.words[1])

    @property
    def fields(self) -> Counter[str]:
        """Frames by field that differs."""
        return Counter(field for each in self.unlike for field in each.fields)


def compare_verdicts(
    old: Mapping[FrameId, list[dict[str, Any]]],
    new: Mapping[FrameId, list[dict[str, Any]]],
    *,
    strict: bool = False,
) -> Comparison:
    """Compare final verdicts, as ``final_verdicts`` gives them.

    Fields of one pass only are not compared, nor is ``BOOKKEEPING``. Where it is
    ``strict`` all fields are but ``TIMINGS``: the passes are of one version, and what
    one of them lacks is a difference.
    """
    frames = sorted(old.keys() | new.keys())
    one, other = (
        {key for found in side.values() for data in found for key in data}
        for side in (old, new)
    )
    known = (one | other) - TIMINGS if strict else (one & other) - BOOKKEEPING
    unlike = []
    for frame in frames:
        a, b = old.get(frame, []), new.get(frame, [])
        if len(a) != 1 or len(b) != 1:
            single = [side[0] if len(side) == 1 else {} for side in (a, b)]
            unlike.append(Unlike(frame=frame, fields=(), old=single[0], new=single[1]))
            continue
        fields = tuple(
            key
            for key in sorted(known & (a[0].keys() | b[0].keys()))
            if not _same(a[0].get(key), b[0].get(key))
        )
        if fields:
            unlike.append(Unlike(frame=frame, fields=fields, old=a[0], new=b[0]))
    told: tuple[str, ...] = ()
    if one and other and not strict:
        told = tuple(sorted((one ^ other) - TIMINGS))
    return Comparison(frames=len(frames), unlike=unlike, not_compared=told)


def condensed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a verdict with a hash in place of each long array.

    Equal where the arrays are, and small enough to be kept for a run of any length.
    """
    return {
        key: _hash_of(value)
        if isinstance(value, np.ndarray) and value.size > MOST_VALUES
        else value
        for key, value in data.items()
    }


def _hash_of(array: NDArray[Any]) -> str:
    pixels = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype.str} {array.shape} {pixels}"


def verdict_digest(verdicts: Mapping[FrameId, list[dict[str, Any]]]) -> str:
    """SHA-256 over all fields of the final verdicts but ``BOOKKEEPING``.

    Equal where two passes say the same to the last bit, whatever process they ran in.
    """
    digest = hashlib.sha256()
    for frame in sorted(verdicts):
        for data in verdicts[frame]:
            digest.update(repr((frame, len(data))).encode())
            for key in sorted(data.keys() - BOOKKEEPING):
                value = data[key]
                digest.update(key.encode())
                if isinstance(value, np.ndarray):
                    digest.update(repr((value.dtype.str, value.shape)).encode())
                    digest.update(np.ascontiguousarray(value).tobytes())
                else:
                    digest.update(repr(value).encode())
    return digest.hexdigest()


def differences(
    first: Iterable[tuple[str, dict[str, Any]]],
    second: Iterable[tuple[str, dict[str, Any]]],
    *,
    leaving_out: frozenset[str] = TIMINGS,
) -> list[Difference]:
    """What differs between the final verdicts of two passes, some fields left out.

    One entry a field: ``compare_verdicts``, strict, for those who want no table.
    """
    one, other = final_verdicts(first), final_verdicts(second)
    found: list[Difference] = []
    for unlike in compare_verdicts(one, other, strict=True).unlike:
        frame = unlike.frame
        values = {
            field: (unlike.old.get(field), unlike.new.get(field))
            for field in unlike.fields
        }
        if not values:  # two that agree in this are wrong all the same
            counts = len(one.get(frame, [])), len(other.get(frame, []))
            values = {"final verdicts": counts}
        found += [
            Difference(frame=frame, field=field, first=a, second=b)
            for field, (a, b) in values.items()
            if field not in leaving_out
        ]
    return found


def _same(a: Any, b: Any) -> bool:
    """Equal to the last bit; NaN equals NaN."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        return (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)

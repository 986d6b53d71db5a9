"""What is stored of the frames of a raw run: of each its newest verdict, by frame."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import ReplayError
from ringwatch.agent.fields import OBJECT
from ringwatch.agent.results import plain
from ringwatch.agent.sources.derived import find_pass, passes
from ringwatch.agent.sources.stored_stream import StoredStream
from ringwatch.agent.sources.tiled_server import kind_of

# isort: split
import httpx

__all__ = ["VerdictRow", "verdict_rows"]

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A verdict as it is stored.

    Attributes
    ----------
    start : dict
        Start document of its derived run.
    stream : str
    data : dict
        Scalars and small arrays of its event, by key.
    arrays : dict of str to ndarray
        Large ones that were asked for, such as ``embedding`` (64,); ``q`` are the bin
        centres of the patterns, 1/Angstrom, which the descriptor holds.
    """

    start: dict[str, Any]
    stream: str
    data: dict[str, Any]
    arrays: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Stream, data key and index of the frame."""
        return self.stream, str(self.data["raw_data_key"]), int(self.data["raw_index"])


def verdict_rows(
    root: Any, container: str, raw_uid: str, *, arrays: Collection[str] = ()
) -> dict[Key, VerdictRow]:
    """The verdict of each frame of a raw run, of the newest pass that holds it.

    Of one pass the final verdict counts, or else the newest. A pass that followed on
    one that was broken off holds only the rest: the others are looked up in that.

    Parameters
    ----------
    root : tiled client
        Of the server.
    container : str
        Of the derived runs.
    raw_uid : str
    arrays : collection of str
        Keys of large arrays to read as well.

    Raises
    ------
    ReplayError
        If nothing is stored of the run, or the server fails.
    """
    run = find_pass(root, container, raw_uid)
    found: dict[Key, VerdictRow] = {}
    try:
        start = plain(dict(run.metadata["start"]))
        found |= _rows(run, start, set(arrays))
        if start.get("final_before"):  # it holds only the rest
            for before in reversed(passes(root, container, raw_uid)):
                own = plain(dict(before.metadata["start"]))
                if int(own["attempt"]) < int(start["attempt"]):
                    found = _rows(before, own, set(arrays)) | found
    except (httpx.HTTPError, OSError, LookupError, ValueError, TypeError) as error:
        raise kind_of(error)(
            f"the verdicts of run {raw_uid} cannot be read ({type(error).__name__}: "
            f"{str(error)[:200]}): check that the Tiled server answers"
        ) from error
    if not found:
        raise ReplayError(f"no verdict of run {raw_uid} is stored yet: wait for one")
    return found


def _rows(run: Any, start: dict[str, Any], wanted: set[str]) -> dict[Key, VerdictRow]:
    found: dict[Key, VerdictRow] = {}
    run = run.include_data_sources()
    for name in run:
        stream = StoredStream(name, run[name])
        seen: dict[int, dict[str, Any]] = {}
        for event in stream.events():  # a row may have arrived twice, its arrays once
            seen.setdefault(int(event["seq_num"]), event)
        large = {k: rows for k, rows in stream.arrays().items() if k in wanted}
        told = stream.descriptors[0].get("configuration", {}).get(OBJECT, {})
        if "q" in wanted and "q" in told.get("data", {}):
            large["q"] = repeat(np.asarray(told["data"]["q"], np.float64))
        for data in seen.values():
            own = {key: next(rows, None) for key, rows in large.items()}
            row = VerdictRow(
                start=start,
                stream=name,
                data=data,
                arrays={k: v for k, v in own.items() if v is not None},
            )
            before = found.get(row.key)
            if before is None or _rank(data) >= _rank(before.data):
                found[row.key] = row
    return found


def _rank(data: dict[str, Any]) -> tuple[bool, int]:
    return bool(data["final"]), int(data["revision"])

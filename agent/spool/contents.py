"""What a spool file says of a derived run, for those who go on with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringwatch.agent.account import Account
from ringwatch.agent.errors import SinkError
from ringwatch.agent.runs.ledger import FrameKey
from ringwatch.agent.spool.records import HEADER, read_records

__all__ = ["FINAL_BEFORE", "Contents", "contents", "ranges"]

FINAL_BEFORE = "final_before"
"""Key of a start document: which frames earlier attempts gave their final verdict."""


@dataclass(slots=True)
class Contents:
    """What a spool file holds of a derived run.

    Attributes
    ----------
    path : Path
        The file.
    end : int
        Where its last whole record ends, bytes.
    start : dict
        Start document of the derived run.
    descriptors : list of dict
        Its descriptors, in order.
    next_seq_num : dict of str to int
        By stream: number of the event that comes next.
    final : set of (str, str, int)
        Stream, raw data key and raw index of frames with a final verdict, in this run
        or in an earlier attempt at the same raw run.
    account : Account
        Of the verdicts in this run.
    events : int
        Events in the file.
    documents : int
        Documents in the file.
    stopped : bool
        Whether the stop document is there.
    damaged : bool
        Whether a part in the middle cannot be read: what was there may be in Tiled.
    incomplete : bool
        Whether documents were delivered that are not in the file (the disk was full):
        numbers and frames beyond it are known to Tiled only, so the run cannot be
        continued; begin another attempt.
    """

    path: Path
    end: int = len(HEADER)
    start: dict[str, Any] = field(default_factory=dict)
    descriptors: list[dict[str, Any]] = field(default_factory=list)
    next_seq_num: dict[str, int] = field(default_factory=dict)
    final: set[FrameKey] = field(default_factory=set)
    account: Account = field(default_factory=Account)
    events: int = 0
    documents: int = 0
    stopped: bool = False
    damaged: bool = False
    incomplete: bool = False

    @property
    def uid(self) -> str:
        """Uid of the derived run."""
        return str(self.start.get("uid", ""))

    @property
    def raw_uid(self) -> str:
        """Uid of the raw run."""
        return str(self.start.get("raw_uid", ""))

    def take(self, stream: str, data: Mapping[str, Any]) -> None:
        """Note what an event says of its frame."""
        if "raw_index" not in data or "final" not in data:
            return
        if "verdict" in data:
            self.account.count(stream, data)
        if data["final"]:
            frame = (stream, str(data.get("raw_data_key")), int(data["raw_index"]))
            self.final.add(frame)


def ranges(frames: Iterable[FrameKey]) -> list[tuple[str, str, int, int]]:
    """Frames as stream, raw data key, first and last raw index of those in a row."""
    found: list[tuple[str, str, int, int]] = []
    for stream, data_key, index in sorted(frames):
        if found and found[-1][:2] == (stream, data_key) and found[-1][3] == index - 1:
            found[-1] = (stream, data_key, found[-1][2], index)
        else:
            found.append((stream, data_key, index, index))
    return found


def contents(path: Path) -> Contents:
    """Read what a spool file holds; damage is named in the log.

    Raises
    ------
    SinkError
        If it is no spool file, or its start document or a descriptor is lost.
    OSError
        If it cannot be read.
    """
    found = Contents(path)
    streams: dict[str, str] = {}  # by descriptor
    for end, name, doc, begin in read_records(path):
        found.damaged = found.damaged or begin != found.end
        found.end = end
        found.documents += 1
        try:
            _count(found, streams, name, doc)
        except KeyError as error:
            raise SinkError(
                f"{path}: a {name} document without its {error}; start document or "
                "descriptor were damaged, so this run cannot be delivered"
            ) from error
    if not found.start:
        raise SinkError(f"{path} holds no start document")
    return found


def _count(
    found: Contents, streams: dict[str, str], name: str, doc: dict[str, Any]
) -> None:
    if name == "start":
        found.start = doc
        doc["uid"]  # without it: KeyError
        for before, data_key, first, last in doc.get(FINAL_BEFORE, ()):
            found.final |= {(before, data_key, n) for n in range(first, last + 1)}
    elif name == "descriptor":
        found.descriptors.append(doc)
        streams[doc["uid"]] = doc["name"]
        found.next_seq_num.setdefault(doc["name"], 1)
    elif name == "event":
        stream = streams[doc["descriptor"]]
        numbers = found.next_seq_num
        numbers[stream] = max(numbers[stream], doc["seq_num"] + 1)
        found.events += 1
        found.take(stream, doc["data"])
    elif name == "stop":
        found.stopped = True

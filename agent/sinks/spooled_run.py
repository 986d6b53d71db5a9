"""One derived run on its way: in memory, in its file, in Tiled."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np

from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.stored_run import StoredRun
from ringwatch.agent.spool.contents import Contents
from ringwatch.agent.spool.folder import Position, SpoolFolder
from ringwatch.agent.spool.records import HEADER, SpoolFile, pack, read_records

__all__ = ["Packed", "SpooledRun", "Waiting", "size_of"]

HEADS = {"start", "descriptor"}
MOST_ROWS = 500
MOST_BATCH_BYTES = 1 << 24
DOCUMENT_BYTES = 4096  # of a document beside its arrays, about
FIELD_BYTES = 100

logger = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A document in memory and about how many bytes it takes."""

    name: str
    doc: dict[str, Any]
    size: int


class Packed(NamedTuple):
    """The record of a document, and what of the document matters for the file."""

    name: str
    uid: str
    record: bytes


@dataclass(slots=True)
class SpooledRun:
    """Where each document of a derived run is.

    Documents are delivered in order: those in the file first, then, while the file
    cannot be written, those in memory. ``owner`` says which thread is busy with the
    head of the memory; both change it under the sink's lock only.
    """

    start: dict[str, Any]
    found: Contents | None = None  # what a former process left
    descriptors: list[dict[str, Any]] = field(default_factory=list)
    memory: deque[Waiting] = field(default_factory=deque)
    owner: Literal["", "spool", "deliver"] = ""
    file: SpoolFile | None = None
    position: Position | None = None
    offset: int = len(HEADER)  # of the file, delivered up to here
    written: int = len(HEADER)  # of the file, counted in ``in_file`` up to here
    in_file: int = 0  # documents in the file that are not delivered
    events: int = 0  # that are known to be in Tiled
    passed_by: bool = False  # whether documents were delivered past the file
    since: float = 0.0  # when the oldest document came that is not delivered
    others: int = 0  # documents that are no events and are not delivered
    failing: bool = False  # whether the file could not be written at the last try
    write_at: float = 0.0
    served_at: float = 0.0
    tries: int = 0
    retry_at: float = 0.0
    told: set[str] = field(default_factory=set)  # kinds of failure in the log
    aside: bool = False  # refused by Tiled for good, or unreadable
    doubtful: bool = False  # whether rows may be on their way from a failed call
    stopped: bool = False
    stored: StoredRun | None = None
    in_head: set[str] = field(default_factory=set)  # uids of what precedes events

    @property
    def uid(self) -> str:
        """Uid of the derived run."""
        return str(self.start["uid"])

    @property
    def raw_uid(self) -> str:
        """Uid of the raw run."""
        return str(self.start.get("raw_uid", ""))

    @property
    def waiting(self) -> int:
        """Documents that could be delivered now."""
        # The disk is tried first whenever its time has come.
        direct = self.failing and not self.owner and time.monotonic() < self.write_at
        return self.in_file + (len(self.memory) if direct else 0)

    @property
    def left(self) -> int:
        """Documents that are not delivered."""
        return self.in_file + len(self.memory)

    def adopt(self, folder: SpoolFolder, found: Contents) -> None:
        """Go on with the file of a former process.

        Raises
        ------
        SinkError, OSError
            If the files cannot be opened.
        """
        self.found, self.descriptors = found, list(found.descriptors)
        self.stopped, self.doubtful = found.stopped, True
        self.in_head = {self.uid, *(doc["uid"] for doc in self.descriptors)}
        self.file = SpoolFile(found.path, found.end)
        self.position = folder.position(found.path)
        self.written = found.end
        self.offset = min(self.position.offset, found.end)
        self.events, self.passed_by = self.position.events, self.position.passed_by
        found.incomplete = self.passed_by
        # Delivered further than can be read: the end is damaged, not torn.
        found.damaged = found.damaged or self.position.offset > found.end
        left = self.names(self.offset, self.written)
        self.in_file, self.others = len(left), len(left) - left.count("event")
        if self.stopped:
            self._rest()

    def _rest(self) -> None:
        """Let a file go that is written to its end: hundreds may wait for Tiled."""
        assert self.file is not None
        self.file.sync()
        self.file.close()

    def write(self, folder: SpoolFolder, packed: list[Packed]) -> int:
        """Append documents to the file, which is made where there is none.

        Returns
        -------
        int
            Documents written: after a time without a disk those come first that were
            delivered past the file and without which it could not be read.

        Raises
        ------
        OSError
            If the disk is full or gone.
        """
        if self.file is None:
            self.file, self.position = _make(folder, self.uid)
            self.save()
        if self.passed_by:
            packed = [*self._missing(), *packed]
        self.file.append(b"".join(record for _, _, record in packed))
        self.in_head.update(uid for name, uid, _ in packed if name in HEADS)
        if any(name != "event" for name, _, _ in packed):
            self.file.sync()
        if any(name == "stop" for name, _, _ in packed):
            self._rest()
        return len(packed)

    def batch(self) -> tuple[list[NamedDocument], int]:
        """The oldest documents: one, or events of one descriptor; and the file's place.

        Raises
        ------
        SinkError, OSError
            If the file cannot be read.
        """
        if not self.in_file:
            head = islice(self.memory, MOST_ROWS)
            return _same([(name, doc) for name, doc, _ in head]), self.offset
        assert self.file is not None
        # What Tiled has is on the disk: otherwise a power cut could take numbers back
        # that a continued run would give again.
        self.file.sync()
        taken: list[NamedDocument] = []
        first = end = self.offset
        records = read_records(
            self.file.path, first, self.written, quiet=self.found is not None
        )
        for place, name, doc, _ in records:
            if taken and len(_same([*taken[:1], (name, doc)])) == 1:
                break
            taken.append((name, doc))
            end = place
            if len(taken) == MOST_ROWS or end - first > MOST_BATCH_BYTES:
                break
        return taken, end

    def delivered(self, names: list[str], end: int, *, direct: bool) -> None:
        """Write down that the oldest documents are in Tiled."""
        events = names.count("event")
        self.events += events
        self.others = max(0, self.others - len(names) + events)
        if not direct:
            self.offset = end
            # Damage that came after counting: nothing is left before the end.
            at_end = end >= self.written or not names
            self.in_file = 0 if at_end else max(0, self.in_file - len(names))

    def names(self, start: int, stop: int) -> list[str]:
        """Names of the documents in a part of the file.

        Raises
        ------
        SinkError, OSError
            If the file cannot be read.
        """
        assert self.file is not None
        records = read_records(self.file.path, start, stop, quiet=True)
        return [record.name for record in records]

    def rewind(self, names: list[str]) -> None:
        """Deliver the file again: of all before ``offset``, these are the names."""
        self.offset, self.events = len(HEADER), 0
        self.in_file += len(names)
        self.others += len(names) - names.count("event")

    def save(self) -> None:
        """Persist the position."""
        if self.position is None:
            return
        self.position.offset, self.position.events = self.offset, self.events
        self.position.passed_by = self.passed_by
        try:
            self.position.save()
        except OSError as error:
            logger.error("%s: %s", self.position.path, error)

    def close(self, *, remove: bool = False) -> None:
        """Close the files, and remove them where all is delivered."""
        if self.file is not None:
            self.file.close()
        for part in (self.file, self.position):
            if part is not None and remove:
                with contextlib.suppress(OSError):
                    part.path.unlink(missing_ok=True)

    def _missing(self) -> list[Packed]:
        """Start and descriptors that are neither in the file nor in memory."""
        ahead = {doc.get("uid") for _, doc, _ in self.memory} | self.in_head
        head = [("start", self.start)]
        head += [("descriptor", doc) for doc in self.descriptors]
        return [
            Packed(name, doc["uid"], pack(name, doc))
            for name, doc in head
            if doc["uid"] not in ahead
        ]


def _make(folder: SpoolFolder, uid: str) -> tuple[SpoolFile, Position]:
    path = folder.file(uid)
    file = SpoolFile(path)
    try:
        folder.sync()
        return file, folder.position(path)
    except OSError:
        file.close()
        path.unlink(missing_ok=True)
        raise


def _same(documents: list[NamedDocument]) -> list[NamedDocument]:
    """The first document; if an event, all that follow of the same descriptor."""
    first = documents[0]
    head = [first]
    if first[0] == "event":
        for name, doc in documents[1:]:
            if name != "event" or doc["descriptor"] != first[1]["descriptor"]:
                break
            head.append((name, doc))
    return head


def size_of(doc: dict[str, Any]) -> int:
    """About how many bytes a document of ours takes: scalars, and arrays as data."""
    data = doc.get("data")
    if not isinstance(data, dict):
        return DOCUMENT_BYTES
    arrays = sum(v.nbytes for v in data.values() if isinstance(v, np.ndarray))
    return DOCUMENT_BYTES + FIELD_BYTES * len(data) + arrays

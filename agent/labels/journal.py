"""Files that take labels first: Bluesky documents as JSON lines, one run a file.

A line is ``[name, document]``. The number of a label's event follows from its line, so
that whoever sends a file on, however often, sends the same. What is acknowledged is on
the disk. A line that cannot be read is named in the log, left where it is, and costs
no other.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringwatch.agent.errors import LabelError
from ringwatch.agent.labels.documents import label_event, label_of, stop_document
from ringwatch.agent.labels.label import Label
from ringwatch.agent.results import NamedDocument

__all__ = ["Entry", "Journal", "journal_line"]

MOST_LINES = 10_000
"""Lines of a file; then it is ended and the next one begins."""
MOST_BYTES = 1 << 25
LONGEST_S = 30 * 86_400.0
"""How long a file takes labels, seconds."""
MOST_LINE_BYTES = 1 << 16
_MOST_SEQ_NUM = 1 << 31  # far more than lines; any table holds it
HEAD_LINES = 2  # start document and descriptor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A label and its place: the run of labels that holds it, and which event it is."""

    labels_uid: str
    seq_num: int
    label: Label


class Journal:
    """One file, read as far as it has come; to append, hold the folder's lock.

    Parameters
    ----------
    path : Path
        Need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start: dict[str, Any] = {}
        self.descriptor: dict[str, Any] = {}
        self.stop: dict[str, Any] = {}
        self._lines = 0
        self._offset = 0
        self._inode = 0

    @property
    def takes_more(self) -> bool:
        """Whether further labels may go here."""
        return bool(
            self.start
            and self.descriptor
            and not self.stop
            and self._lines < MOST_LINES
            and self._offset < MOST_BYTES
            and time.time() - float(self.start["time"]) < LONGEST_S
        )

    def read(self) -> list[NamedDocument]:
        """Documents since the last call; a line under way comes with the next call.

        Where somebody has edited the file, all of it.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        with self._opened(os.O_RDONLY) as file:
            if not self._is_where_we_were(file):
                self._lines = self._offset = 0
            self._inode = os.fstat(file.fileno()).st_ino
            file.seek(self._offset)
            data = file.read(2 * MOST_BYTES)
        found = []
        for line in data.split(b"\n")[:-1]:
            self._lines += 1
            self._offset += len(line) + 1
            document = self._document(line)
            if document is not None:
                found.append(document)
                self._note(*document)
        return found

    def entries(self, documents: list[NamedDocument]) -> list[Entry]:
        """The labels among documents; what is none is named in the log."""
        found = []
        for name, doc in documents:
            if name != "event":
                continue
            try:
                label = label_of(doc["data"], doc["time"])
                number = _seq_num(doc)
            except (LabelError, LookupError) as error:
                logger.warning("%s holds an event that is no label: %s", self, error)
                continue
            uid = str(self.start.get("uid", self.path.stem))
            found.append(Entry(labels_uid=uid, seq_num=number, label=label))
        return found

    def begin(self, first: list[NamedDocument]) -> bytes:
        """Lines of a new file."""
        for name, doc in first:
            self._note(name, doc)
        return b"".join(journal_line(*each) for each in first)

    def append(self, labels: list[Label], head: bytes = b"") -> None:
        """Append labels; all of them are on the disk then, or none.

        Raises
        ------
        OSError
            If the disk is full or gone.
        """
        lines, number = [], (0 if head else self._lines - HEAD_LINES)
        with self._opened(os.O_RDWR | os.O_CREAT) as file:
            torn = self._torn(file)
            number += bool(torn)  # what a killed process left becomes a line of its own
            for label in labels:
                number += 1
                lines.append(journal_line(*label_event(self.descriptor, label, number)))
            _write(file, torn + head + b"".join(lines))

    def end(self) -> None:
        """Append the stop document."""
        events = max(self._lines - HEAD_LINES, 0)
        with self._opened(os.O_RDWR) as file:
            stop = journal_line(*stop_document(self.start, events))
            _write(file, self._torn(file) + stop)

    def __str__(self) -> str:
        return str(self.path)

    def _is_where_we_were(self, file: Any) -> bool:
        """Whether the file goes on behind the last line that was read."""
        if not self._offset:
            return True
        same = os.fstat(file.fileno()).st_ino == self._inode
        return same and os.pread(file.fileno(), 1, self._offset - 1) == b"\n"

    def _torn(self, file: Any) -> bytes:
        return b"\n" if file.seek(0, os.SEEK_END) > self._offset else b""

    def _opened(self, flags: int) -> Any:
        mode = "rb" if flags == os.O_RDONLY else "r+b"
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self.path, flags, 0o600), mode, buffering=0)

    def _document(self, line: bytes) -> NamedDocument | None:
        try:
            if len(line) > MOST_LINE_BYTES:
                raise ValueError(f"{len(line)} bytes, at most {MOST_LINE_BYTES}")
            name, doc = json.loads(line)
            if not isinstance(name, str) or not isinstance(doc, dict):
                raise TypeError("expected [name, document]")
        except (ValueError, TypeError, RecursionError) as error:
            logger.warning(
                "%s, line %d cannot be read (%s): it is left there and counts as "
                "nothing; mend or remove its text, not the line",
                self,
                self._lines,
                error,
            )
            return None
        return name, doc

    def _note(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start" and _is_start(doc):
            self.start = doc
        elif name == "descriptor":
            self.descriptor = doc
        elif name == "stop":
            self.stop = doc


def journal_line(name: str, doc: Mapping[str, Any]) -> bytes:
    """The line of a document."""
    text = json.dumps([name, doc], ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _is_start(doc: Mapping[str, Any]) -> bool:
    named = isinstance(doc.get("uid"), str)
    return named and isinstance(doc.get("time"), int | float)


def _seq_num(doc: Mapping[str, Any]) -> int:
    number = doc["seq_num"]
    if type(number) is not int or not 0 < number < _MOST_SEQ_NUM:
        raise LabelError(f"seq_num is {number!r}: expected the number of an event")
    return number


def _write(file: Any, data: bytes) -> None:
    """All of it on the disk, or the file stays as it was."""
    size = file.seek(0, os.SEEK_END)
    try:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise

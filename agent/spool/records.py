"""Files of derived documents: append-only, checksummed, read back after any crash.

A file is a header of eight bytes (``RWSPOOL`` and the version) and records:

======  ==================================================
4 B     mark ``F5 'R' 'W' 0A``, by which a reader finds the next record
4 B     length n of the payload, little-endian
4 B     crc32 of the length's four bytes and the payload, little-endian
n B     msgpack of [name, document]; arrays as extension 1: [dtype, shape, bytes]
======  ==================================================

What was written survives a killed process as soon as it is in the page cache; what was
synced survives a power cut. A record that was torn at the end is cut off; a damaged one
in the middle is named in the log and left out. A length is believed only up to the end
of the file and ``MOST_BYTES``, before anything is allocated. No pickle.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from ringwatch.agent.errors import SinkError
from ringwatch.agent.spool.payload import pack_payload, unpack_payload

__all__ = ["HEADER", "MOST_BYTES", "Record", "SpoolFile", "pack", "read_records"]

HEADER = b"RWSPOOL\x01"
MARK = b"\xf5RW\n"
HEAD = struct.Struct("<4sII")
MOST_BYTES = 1 << 26
"""Most bytes of one document."""
SEARCHED = 1 << 20  # bytes read at a time when looking for a mark

logger = logging.getLogger(__name__)


class Record(NamedTuple):
    """A document, the place in the file just behind it, and where it begins."""

    end: int
    name: str
    doc: dict[str, Any]
    begin: int


def pack(name: str, doc: dict[str, Any]) -> bytes:
    """The record of a document.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the document holds what has no place in a file: objects, huge integers,
        itself, or more than ``MOST_BYTES``.
    """
    payload = pack_payload(name, doc)
    if len(payload) > MOST_BYTES:
        raise ValueError(
            f"a {name} document of {len(payload)} bytes; at most {MOST_BYTES} are kept"
        )
    return HEAD.pack(MARK, len(payload), _checksum(payload)) + payload


class SpoolFile:
    """A file to append to, of which every byte up to ``end`` is a whole record.

    One thread appends; others may sync or close at any time.

    Parameters
    ----------
    path : Path
        Made with a header if it is not there.
    end : int, optional
        Where the last whole record ends; what is behind it is cut off.

    Raises
    ------
    OSError
        If the file cannot be opened or written.
    """

    def __init__(self, path: Path, end: int | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()  # of the descriptor: it may be closed and reused
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.end = len(HEADER) if end is None else end
        self._synced = 0
        try:
            if end is None:
                os.ftruncate(self._fd, 0)
                _write_all(self._fd, HEADER, 0)
            else:
                os.ftruncate(self._fd, end)
        except OSError:
            os.close(self._fd)
            raise

    def append(self, records: bytes) -> None:
        """Append whole records; all of them, or the file stays as it was.

        Raises
        ------
        OSError
            If the disk is full or gone.
        """
        with self._lock:
            try:
                _write_all(self._at_hand(), records, self.end)
            except OSError:
                os.ftruncate(self._at_hand(), self.end)
                raise
            self.end += len(records)

    def probe(self, size: int) -> None:
        """See whether there is room for so many bytes more; takes them back.

        Raises
        ------
        OSError
            If there is not.
        """
        with self._lock:
            try:
                _write_all(self._at_hand(), bytes(size), self.end)
            finally:
                os.ftruncate(self._at_hand(), self.end)

    def sync(self) -> None:
        """Make what was appended safe from a power cut.

        Raises
        ------
        OSError
            If the disk does not keep it.
        """
        with self._lock:
            end = self.end
            if end <= self._synced:
                return
            fd = os.dup(self._at_hand())  # a slow disk does not hold up who appends
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
        with self._lock:
            self._synced = max(self._synced, end)

    def _at_hand(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return self._fd

    def close(self) -> None:
        """Close the file; it opens again when it is written. Harmless when closed."""
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def read_records(
    path: Path, start: int = 0, stop: int | None = None, *, quiet: bool = False
) -> Iterator[Record]:
    """Whole records of a file, in order; damaged ones are left out.

    Parameters
    ----------
    path : Path
        The file.
    start, stop : int
        Where a record begins; 0 for the first. How far to read; None for all.
    quiet : bool
        Whether damage was named before.

    Raises
    ------
    SinkError
        If it is no spool file of this version.
    OSError
        If it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        size = size if stop is None else min(size, stop)
        header = os.pread(fd, len(HEADER), 0)
        if header != HEADER:
            raise SinkError(
                f"{path} begins with {header!r}; expected a spool file, {HEADER!r}: "
                "move it away, or read it with the version that wrote it"
            )
        at = max(start, len(HEADER))
        while at < size:
            record = _record(fd, at, size)
            if record is not None:
                yield record
                at = record.end
                continue
            found = _next_record(fd, at + 1, size)
            if not quiet:
                _tell(path, at, found, size)
            if found is None:
                return
            at = found


def _tell(path: Path, at: int, found: int | None, size: int) -> None:
    if found is None:
        logger.warning(
            "%s: the last %d bytes are no whole record and are cut off",
            path,
            size - at,
        )
    else:
        logger.error(
            "%s: damaged from byte %d to %d; what was there is lost, the rest goes on",
            path,
            at,
            found,
        )


def _record(fd: int, at: int, size: int) -> Record | None:
    """The record at a place; None where there is no sound one."""
    head = os.pread(fd, HEAD.size, at)
    if len(head) < HEAD.size:
        return None
    mark, length, checksum = HEAD.unpack(head)
    end = at + HEAD.size + length
    if mark != MARK or length > MOST_BYTES or end > size:
        return None
    payload = os.pread(fd, length, at + HEAD.size)
    if len(payload) < length or _checksum(payload) != checksum:
        return None
    try:
        name, doc = unpack_payload(payload)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None
    return Record(end, name, doc, at)


def _next_record(fd: int, at: int, size: int) -> int | None:
    """Place of the first sound record at or behind ``at``."""
    while at < size:
        piece = os.pread(fd, min(SEARCHED, size - at), at)
        place = piece.find(MARK)
        if place >= 0:
            if _record(fd, at + place, size) is not None:
                return at + place
            at += place + 1
        elif len(piece) <= len(MARK):
            return None
        else:
            at += len(piece) - len(MARK) + 1  # a mark may lie across two pieces
    return None


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack("<I", len(payload))))


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written

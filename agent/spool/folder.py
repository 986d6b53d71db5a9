"""The folder of spool files: whose they are, how far they are delivered, what is open.

Each process writes into a sub-folder of its own, on which it holds a lock (``flock``)
as long as it lives. Whoever starts takes over the files of sub-folders whose lock is
free: their process is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ringwatch.agent.errors import SinkError
from ringwatch.agent.spool.contents import Contents, contents
from ringwatch.agent.spool.records import HEADER

__all__ = ["Position", "SpoolFolder"]

SUFFIX = ".spool"
POSITION = ".position"
UNREADABLE = ".unreadable"
LOCK = "lock"
SLOT = struct.Struct("<QQQII")  # counter, offset, events, flags, crc32
SLOT_BYTES = 64
PASSED_BY = 1  # flag: documents were delivered without being in the file

logger = logging.getLogger(__name__)


class Position:
    """How far a spool file is delivered, kept beside it.

    Two slots of fixed size are written in turn, each with a counter and a checksum: a
    torn write leaves the other one, and a full disk does not matter, since the file
    never grows.

    Parameters
    ----------
    path : Path
        Made if it is not there.

    Raises
    ------
    OSError
        If it cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset, self.events, self.passed_by = len(HEADER), 0, False
        self._count = 0
        with self._open() as fd:
            slots = [os.pread(fd, SLOT.size, slot * SLOT_BYTES) for slot in range(2)]
        for data in slots:
            if len(data) == SLOT.size and SLOT.unpack(data)[-1] == zlib.crc32(
                data[:-4]
            ):
                count, offset, events, flags, _ = SLOT.unpack(data)
                if count > self._count:
                    self._count, self.offset, self.events = count, offset, events
                    self.passed_by = bool(flags & PASSED_BY)
        if not self._count:
            self.save()  # both slots get their place on the disk now
            self.save()

    def save(self) -> None:
        """Write down the present values.

        Raises
        ------
        OSError
            If the disk is gone.
        """
        self._count += 1
        flags = PASSED_BY if self.passed_by else 0
        data = SLOT.pack(self._count, self.offset, self.events, flags, 0)[:-4]
        data += struct.pack("<I", zlib.crc32(data))
        with self._open() as fd:
            place = self._count % 2 * SLOT_BYTES
            os.pwrite(fd, data.ljust(SLOT_BYTES, b"\0"), place)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """Open for a moment: hundreds of runs may wait while Tiled is away."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)


class SpoolFolder:
    """A sub-folder of one's own, locked, and what former processes left beside it.

    Parameters
    ----------
    folder : Path
        The spool of this agent or of several on this machine; made if it is not there.

    Raises
    ------
    OSError
        If it cannot be made, locked or written.

    Attributes
    ----------
    adopted : list of Contents
        Files of processes that are gone, moved here.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        self.adopted: list[Contents] = []
        self._lock = -1
        with _locked(folder / LOCK):  # no one adopts a sub-folder in the making
            self.path.mkdir(mode=0o700)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                moved = self._adopt(folder)
            except OSError:
                self.release()
                raise
        for path in sorted(moved):
            self._look_into(path)

    def file(self, uid: str) -> Path:
        """Where the documents of a derived run go.

        Raises
        ------
        SinkError
            If the uid is not fit for the name of a file.
        """
        if not uid or not uid.replace("-", "").replace("_", "").isalnum():
            raise SinkError(f"{uid!r} is no uid: letters, digits and - only")
        return self.path / (uid[:200] + SUFFIX)

    def position(self, file: Path) -> Position:
        """How far a file is delivered.

        Raises
        ------
        OSError
            If it cannot be opened or made.
        """
        return Position(file.with_suffix(POSITION))

    def probe(self, size: int) -> None:
        """See whether files of so many bytes can be made here.

        Raises
        ------
        OSError
            If they cannot.
        """
        with tempfile.TemporaryFile(dir=self.path) as file:
            file.write(bytes(size))
            file.flush()

    def sync(self) -> None:
        """Make the names of new files safe from a power cut.

        Raises
        ------
        OSError
            If the disk does not keep them.
        """
        fd = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def release(self) -> None:
        """Give up the lock; what is left waits for the next process."""
        lock, self._lock = self._lock, -1
        if lock < 0:
            return
        with contextlib.suppress(OSError):
            if {path.name for path in self.path.iterdir()} <= {LOCK}:
                (self.path / LOCK).unlink(missing_ok=True)
                self.path.rmdir()
        os.close(lock)

    def _adopt(self, folder: Path) -> list[Path]:
        """Move the files of ownerless sub-folders here."""
        moved = []
        for other in folder.iterdir():
            if other == self.path or not other.is_dir() or other.is_symlink():
                continue
            try:
                moved += self._take_from(other)
            except BlockingIOError:
                continue  # its process lives
            except OSError as error:  # somebody else's, or just going
                logger.warning("spool files in %s are left there: %s", other, error)
        return moved

    def _take_from(self, other: Path) -> list[Path]:
        fd = os.open(other / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._move_from(other)
        finally:
            os.close(fd)

    def _move_from(self, other: Path) -> list[Path]:
        moved = []
        # The position goes first: without it a file is only looked up once more.
        for suffix in (POSITION, SUFFIX):
            for path in other.glob(f"*{suffix}"):
                path.rename(self.path / path.name)
                if suffix == SUFFIX:
                    moved.append(self.path / path.name)
        for path in self.path.glob(f"*{POSITION}"):  # its file was delivered and went
            if not path.with_suffix(SUFFIX).exists():
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it: leave it
            if {path.name for path in other.iterdir()} <= {LOCK}:
                (other / LOCK).unlink(missing_ok=True)
                other.rmdir()
        return moved

    def _look_into(self, path: Path) -> None:
        try:
            if path.stat().st_size <= len(HEADER):  # killed before its first document
                path.unlink()
                path.with_suffix(POSITION).unlink(missing_ok=True)
                return
            self.adopted.append(contents(path))
        except (SinkError, OSError, ValueError, TypeError, LookupError) as error:
            aside = path.with_suffix(SUFFIX + UNREADABLE)
            logger.error("%s; kept as %s", error, aside)
            with contextlib.suppress(OSError):
                path.rename(aside)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)

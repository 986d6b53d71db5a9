"""A folder of journals that several processes share."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ringwatch.agent.errors import LabelError
from ringwatch.agent.labels.documents import first_documents
from ringwatch.agent.labels.journal import Entry, Journal
from ringwatch.agent.labels.label import Label

__all__ = ["JournalFolder"]

SUFFIX = ".jsonl"
SENT = "sent"
LOCK = "lock"
SENDING = "sending"

logger = logging.getLogger(__name__)


class JournalFolder:
    """Takes labels into files, of which one takes more; others may write beside us.

    Not thread-safe; processes are kept apart by ``flock``.

    Parameters
    ----------
    folder : Path
        Made if it is not there.

    Raises
    ------
    LabelError
        If it cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._known: dict[str, Journal] = {}  # by name: a file that was sent moves
        with self._told("made"):
            (folder / SENT).mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(self, labels: list[Label]) -> list[Entry]:
        """Keep labels for good.

        Returns
        -------
        list of Entry
            Labels that came since the last call or ``news``: these, and those of other
            processes.

        Raises
        ------
        LabelError
            If they cannot be written; none of them is kept then.
        """
        with self._told("written"), self._locked(LOCK, fcntl.LOCK_EX):
            before = self._read()
            journal = self._open_journal()
            if journal is None:
                first = first_documents()
                name = f"{time.strftime('%Y%m%dT%H%M%S')}-{first[0][1]['uid']}{SUFFIX}"
                journal = Journal(self.path / name)
                journal.append(labels, head=journal.begin(first))
                self._sync()
            else:
                journal.append(labels)
            return before + self._read()

    def news(self) -> list[Entry]:
        """Labels that came since the last call, from whatever process.

        Raises
        ------
        LabelError
            If the folder cannot be read.
        """
        with self._told("read"), self._locked(LOCK, fcntl.LOCK_SH):
            return self._read()

    def unsent(self) -> list[Path]:
        """Files of which Tiled has not said yet that it has them whole."""
        return sorted(self.path.glob(f"*{SUFFIX}"))

    def sent(self, path: Path) -> None:
        """Put a file aside: it is ended, and Tiled has it whole.

        Raises
        ------
        LabelError
            If it cannot be moved.
        """
        with (
            self._told("moved"),
            self._locked(LOCK, fcntl.LOCK_EX),
            contextlib.suppress(FileNotFoundError),
        ):
            path.rename(self.path / SENT / path.name)

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether it is for us to send files: one process at a time does."""
        try:
            with self._locked(SENDING, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    def _open_journal(self) -> Journal | None:
        """The file that takes more; others that are full or old are ended."""
        found = None
        for path in reversed(self.unsent()):
            journal = self._known[path.name]
            if found is None and journal.takes_more:
                found = journal
            elif journal.start and journal.descriptor and not journal.stop:
                journal.end()
        return found

    def _read(self) -> list[Entry]:
        entries = []
        for path in [*sorted((self.path / SENT).glob(f"*{SUFFIX}")), *self.unsent()]:
            journal = self._known.setdefault(path.name, Journal(path))
            journal.path = path
            if journal.stop:  # takes no more
                continue
            try:
                entries += journal.entries(journal.read())
            except OSError as error:
                logger.warning("labels in %s cannot be read: %s", path, error)
        return entries

    def _sync(self) -> None:
        """Make the name of a new file safe from a power cut."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path / name, flags, 0o600)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LabelError(
                f"labels in {self.path} cannot be {what} ({error}): name a folder of "
                "your own, with room"
            ) from error

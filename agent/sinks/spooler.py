"""The thread that brings derived documents from memory to disk."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from ringwatch.agent.errors import SinkError
from ringwatch.agent.sinks.backlog import Backlog
from ringwatch.agent.sinks.queued import State
from ringwatch.agent.sinks.spooled_run import Packed, SpooledRun, Waiting
from ringwatch.agent.spool.folder import SpoolFolder
from ringwatch.agent.spool.records import pack

__all__ = ["Spooler"]

SYNC_S = 1.0
RETRY_S = 1.0  # after the disk failed
IDLE_S = 30.0
MOST_AT_ONCE = 200  # documents written in one go
PROBE_BYTES = 1 << 16  # for which there must be room before a full disk is well again

logger = logging.getLogger(__name__)


class Spooler:
    """Appends what waits in memory to the files of the runs.

    Parameters
    ----------
    backlog : Backlog
        The runs.
    place : Path
        The spool folder. Where it cannot be made or written, ``trouble`` says so, the
        documents go to Tiled from memory, and the disk is tried every second.
    max_bytes : int
        Bound of all files; at it the disk counts as full.
    look : callable
        Called every second or so while something is in the spool or wrong with it, and
        as long as it says that it wants to be.
    """

    def __init__(
        self, backlog: Backlog, place: Path, max_bytes: int, look: Callable[[], bool]
    ) -> None:
        self.trouble = ""
        self.folder: SpoolFolder | None = None
        self._backlog, self._place, self._max_bytes = backlog, place, max_bytes
        self._look, self._watched = look, False
        self._try_at = self._sync_at = 0.0
        self._open_folder()

    def work(self) -> None:
        """Run until the sink closes and nothing is left in memory."""
        backlog = self._backlog
        while True:
            with backlog.cond:
                taken = self._take()
                if not taken:
                    done = backlog.late or not backlog.unsaved
                    if backlog.state is State.CLOSING and done:
                        break
                    backlog.cond.wait(self._pause())
                    taken = self._take()
            if self.folder is None:
                self._open_folder(late=True)
            for run, documents in taken:
                self._write(run, documents)
            if time.monotonic() >= self._sync_at:
                self._sync()
                self._try_disk()
                self._watched = self._look()
        self._sync()

    def _pause(self) -> float:
        busy = self._backlog.unsaved or self._backlog.runs or self.folder is None
        return SYNC_S if busy or self._watched or self.trouble else IDLE_S

    def _take(self) -> list[tuple[SpooledRun, list[Waiting]]]:
        """Heads of what may be written now; the runs are this thread's from here on."""
        now = time.monotonic()
        taken = []
        for run in self._backlog.runs.values():
            if run.memory and not run.owner and now >= run.write_at:
                run.owner = "spool"
                taken.append((run, list(islice(run.memory, MOST_AT_ONCE))))
        # What ends last: another attempt may take its place, and must be there by then.
        taken.sort(key=lambda each: each[1][-1].name == "stop")
        return taken

    def _write(self, run: SpooledRun, taken: list[Waiting]) -> None:
        sound, spoilt = _packed(taken)
        try:
            if self.folder is None:
                raise OSError(errno.ENOENT, f"there is no folder {self._place}")
            needed = sum(len(p.record) for p in sound)
            if self._backlog.file_bytes + needed > self._max_bytes:
                raise OSError(errno.EDQUOT, f"the bound is {self._max_bytes} bytes")
            written = run.write(self.folder, sound) if sound else 0
        except (OSError, SinkError) as error:
            self._fail(error)
            with self._backlog.cond:
                run.owner, run.failing = "", True
                run.write_at = time.monotonic() + RETRY_S
                self._backlog.cond.notify_all()
            return
        with self._backlog.cond:
            run.owner, run.failing = "", False
            run.in_file += written
            run.others += written - len(sound)  # start and descriptors, once more
            if run.file is not None:
                run.written = run.file.end
            for name, why in spoilt:
                run.others -= name != "event"
                self._backlog.lose(name, why)
            self._backlog.pop(run, len(taken))
            well = not any(r.failing for r in self._backlog.runs.values())
        if self.trouble and well:
            self._recover()

    def _recover(self) -> None:
        logger.warning("%s: the disk takes documents again", self._backlog.name)
        self.trouble = ""

    def _try_disk(self) -> None:
        """See whether the disk is well again, where nothing waits to be written."""
        with self._backlog.cond:
            runs = self._backlog.runs.values()
            files = [run.file for run in runs if not run.stopped]
            if not self.trouble or self._backlog.unsaved or self.folder is None:
                return
        if self._backlog.file_bytes + PROBE_BYTES > self._max_bytes:
            return
        try:
            self.folder.probe(PROBE_BYTES)
            for file in filter(None, files):
                file.probe(PROBE_BYTES)
        except OSError:
            return
        self._recover()

    def _sync(self) -> None:
        self._sync_at = time.monotonic() + SYNC_S
        with self._backlog.cond:
            runs = list(self._backlog.runs.values())
        for run in runs:
            if run.file is not None:
                try:
                    run.file.sync()
                except OSError as error:
                    self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.trouble:
            logger.error(
                "%s cannot be written: %s. Results go to Tiled from memory until it "
                "can; if this process is killed now, those not stored are lost. Make "
                "room, or mend the folder",
                self._backlog.name,
                error,
            )
        self.trouble = f"the spool {self._place} cannot be written: {error}"

    def _open_folder(self, *, late: bool = False) -> None:
        if time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + RETRY_S
        try:
            self.folder = SpoolFolder(self._place)
        except OSError as error:
            self._fail(error)
            return
        for found in self.folder.adopted:
            run = SpooledRun(found.start)
            try:
                run.adopt(self.folder, found)
            except (OSError, SinkError) as error:
                self._fail(error)
                continue
            if run.stopped and not run.left:  # it was killed before it could tidy up
                run.close(remove=True)
                continue
            with self._backlog.cond:
                if run.uid not in self._backlog.runs:
                    self._backlog.adopt(run)
            logger.info(
                "%s: run %s of a former process is taken over, %d documents to store",
                self._backlog.name,
                run.uid,
                run.in_file,
            )
            if late and not run.stopped:
                logger.error(
                    "%s could not be read when the agent began: it does not go on with "
                    "its analysis of raw run %s, which a former process left in the "
                    "middle. Restart the agent, and it does",
                    self._backlog.name,
                    run.raw_uid,
                )


def _packed(taken: list[Waiting]) -> tuple[list[Packed], list[tuple[str, str]]]:
    """Documents that can be packed; names of the others, and why not."""
    sound, spoilt = [], []
    for name, doc, _ in taken:
        try:
            sound.append(Packed(name, str(doc.get("uid", "")), pack(name, doc)))
        except (TypeError, ValueError, OverflowError) as error:
            spoilt.append((name, str(error)))
    return sound, spoilt

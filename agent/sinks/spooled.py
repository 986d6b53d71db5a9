"""Results into a spool on disk first, and to Tiled from there: nothing is lost.

Two threads serve the sink. One (``spooler``) appends what was put to the file of its
derived run, within a millisecond or so; from then on a killed process costs nothing.
The other (``delivery``) reads the files back and stores the documents in Tiled, in the
order of each run, however long Tiled is away. A file goes once its stop document is
stored.

Files are synced to the disk with each document that is not an event, every second, and
before anything of them goes to Tiled; so a power cut takes a second of results that
Tiled does not have either.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ringwatch.agent.sinks.archive import Archive
from ringwatch.agent.sinks.backlog import Backlog
from ringwatch.agent.sinks.delivery import Delivery
from ringwatch.agent.sinks.queued import State
from ringwatch.agent.sinks.recovery import recover
from ringwatch.agent.sinks.spooled_run import Waiting, size_of
from ringwatch.agent.sinks.spooler import Spooler
from ringwatch.agent.spool.contents import Contents
from ringwatch.agent.tiled_client import public

__all__ = ["SpooledSink"]

POLL_S = 0.05
LAST_S = 0.5  # for threads to end by themselves once the time is up

logger = logging.getLogger(__name__)


class SpooledSink:
    """Stores derived runs in Tiled by way of files that outlive this process.

    Parameters
    ----------
    folder : path
        The spool; agents on one machine may share it. Files of processes that are gone
        are taken over and delivered.
    uri, api_key, container
        As for ``Archive``.
    batch : int
        Events that are stored at once; more where many wait.
    interval : float
        Seconds after which fewer are stored.
    max_memory_bytes : int
        Bound of what waits in memory for the disk. Beyond it events are refused and
        counted in ``failed``.
    max_spool_bytes : int
        Bound of the files of this process; at it the disk counts as full.
    look : callable, optional
        Given ``troubles`` about every second while there is something to do, and as
        long as it says that it wants to look again.

    Raises
    ------
    SinkError
        If ``uri`` is not an address of a Tiled server.
    """

    def __init__(
        self,
        folder: Path | str,
        uri: str,
        *,
        api_key: str | None = None,
        container: str = "analysis",
        batch: int = 250,
        interval: float = 1.0,
        max_memory_bytes: int = 256 << 20,
        max_spool_bytes: int = 64 << 30,
        look: Callable[[Mapping[str, str]], bool] | None = None,
    ) -> None:
        self.name = f"spool {folder}"
        self._make_archive = partial(Archive, uri, api_key=api_key, container=container)
        archive = self._make_archive()
        self._backlog = Backlog(self.name, max_memory_bytes)
        self._look = look
        self._spooler = Spooler(
            self._backlog, Path(folder), max_spool_bytes, self._look_around
        )
        to = f"Tiled {public(uri)}"
        self._delivery = Delivery(self._backlog, archive, to, batch, interval)
        self._ended: dict[str, str] = {}  # troubles of threads that failed
        works = {"spool": self._spooler.work, "tiled": self._delivery.work}
        self._threads = [
            threading.Thread(target=self._run, args=each, name=name, daemon=True)
            for each, name in zip(works.items(), (self.name, to), strict=True)
        ]
        self._alive = len(self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def sent(self) -> int:
        """Documents stored in Tiled, those of former processes included."""
        return self._backlog.sent

    @property
    def failed(self) -> int:
        """Documents given up: no room in memory, of no known run, not to be packed."""
        return self._backlog.failed

    @property
    def pending(self) -> int:
        """Documents that are neither in Tiled nor given up; most are in the spool."""
        with self._backlog.cond:
            return sum(run.left for run in self._backlog.runs.values())

    @property
    def held(self) -> int:
        """Those of ``pending`` that Tiled refuses; tried again now and then."""
        with self._backlog.cond:
            return self._backlog.held

    @property
    def file_bytes(self) -> int:
        """Bytes of the files of this process."""
        return self._backlog.file_bytes

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong, by name: ``spool``, ``tiled``, ``refused``, ``lost``."""
        told = {"spool": self._spooler.trouble, "tiled": self._delivery.trouble}
        with self._backlog.cond:
            told |= self._backlog.troubles()
        told |= self._ended
        return {name: text for name, text in told.items() if text}

    @property
    def trouble(self) -> str:
        """What is wrong with the disk or with Tiled, in a sentence; '' if nothing."""
        return "; ".join(self.troubles.values())

    @property
    def state(self) -> State:
        """Open, closing or closed."""
        return self._backlog.state

    def unfinished(self) -> list[Contents]:
        """Derived runs that a former process did not stop.

        To go on with one, put further documents: events of its descriptors with the
        next numbers, new descriptors, the stop. Its start and its descriptors need not
        be put again, and do no harm if they are. Where the file does not hold all of a
        run, Tiled is asked, for ten seconds at most.
        """
        with self._backlog.cond:
            runs = [run for run in self._backlog.runs.values() if not run.stopped]
            found = [run.found for run in runs if run.found is not None]
        if torn := [run for run in found if run.incomplete or run.damaged]:
            recover(self._make_archive(), torn)
        return found

    def finished(self) -> list[str]:
        """Uids of raw runs analysed to their end whose results wait for Tiled.

        Those of former processes are among them. Tiled does not know of such a run yet,
        or not of its end; whoever looks for runs without an analysis asks here too.
        """
        with self._backlog.cond:
            return self._backlog.finished()

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Accept a document. Never blocks, never raises; the document is not copied."""
        waiting = Waiting(name, doc, size_of(doc))
        with self._backlog.cond:
            if why := self._backlog.accept(waiting):
                self._backlog.lose(name, why)

    def flush(self, timeout: float) -> bool:
        """Wait until all is in Tiled, or refused by it; whether all is in Tiled.

        Given up at the third try in vain: what Tiled cannot take now is safe in the
        spool, and goes there later.
        """
        backlog, began = self._backlog, time.monotonic()
        with backlog.cond:
            backlog.waiters += 1
            self._delivery.hurry()
            backlog.cond.notify_all()
            backlog.cond.wait_for(
                lambda: (
                    backlog.state is State.CLOSED
                    or bool(self._ended)
                    or all(run.aside or not run.left for run in backlog.runs.values())
                    or (not backlog.unsaved and self._delivery.in_vain(began))
                ),
                timeout,
            )
            backlog.waiters -= 1
        return not self.pending

    def save(self, timeout: float) -> bool:
        """Wait until nothing is in memory only; whether it is so."""
        with self._backlog.cond:
            return self._backlog.cond.wait_for(
                lambda: not self._backlog.unsaved, timeout
            )

    def close(self, timeout: float) -> bool:
        """Store what is pending, then stop; whether all of it is in Tiled.

        What is left when the time is up, or when Tiled does not take it, stays in the
        spool for the next process. Only what could not be written there counts as
        failed. Closing twice is harmless.
        """
        backlog = self._backlog
        with backlog.cond:
            if backlog.state is State.OPEN:
                backlog.state = State.CLOSING
                backlog.deadline = time.monotonic() + timeout
                self._delivery.hurry()
            backlog.cond.notify_all()
        self._join(timeout)
        return self._account() and not self._alive

    def _join(self, timeout: float) -> None:
        """Wait for the threads, but not for a Tiled that takes nothing."""
        began = time.monotonic()
        end = began + timeout + LAST_S
        while self._alive and time.monotonic() < end:
            for thread in self._threads:
                thread.join(POLL_S)
            with self._backlog.cond:
                vain = self._delivery.in_vain(began) or self._delivery.at_a_loss(began)
                if vain and not self._backlog.unsaved:
                    self._backlog.deadline = min(self._backlog.deadline, began)
                    end = min(end, time.monotonic() + LAST_S)

    def _look_around(self) -> bool:
        return self._look is not None and self._look(self.troubles)

    def _account(self) -> bool:
        """Say what is left at the end; whether nothing is."""
        with self._backlog.cond:
            lost, kept = self._backlog.give_up()
        if lost:
            logger.error(
                "%s closed; %d documents were neither written nor stored: they are "
                "lost",
                self.name,
                lost,
            )
        if kept:
            logger.warning(
                "%s closed; %d documents are not in Tiled yet: they stay in the spool "
                "and go there when it is opened again",
                self.name,
                kept,
            )
        return not lost and not kept

    def _run(self, name: str, work: Callable[[], None]) -> None:
        failed = True
        try:
            work()
            failed = False
        finally:
            if failed:
                self._tell_failed(name)
            with self._backlog.cond:
                self._alive -= 1
                last = not self._alive
            if last:
                self._end()

    def _tell_failed(self, name: str) -> None:
        """Make known that a thread ends by an error that nobody thought of."""
        logger.critical("%s: the way to %s ends", self.name, name, exc_info=True)
        error = sys.exc_info()[0]
        kind = "" if error is None else error.__name__
        with self._backlog.cond:
            self._ended[name] = (
                f"the way to {name} ended ({kind}): restart the agent; what is in "
                f"{self.name} is kept"
            )
            self._backlog.cond.notify_all()

    def _end(self) -> None:
        """Let go of files and folder: the last thread does, so that no two deliver."""
        for run in self._backlog.runs.values():
            run.close()
        if self._spooler.folder is not None:
            self._spooler.folder.release()
        with self._backlog.cond:
            self._backlog.state = State.CLOSED
            self._backlog.cond.notify_all()

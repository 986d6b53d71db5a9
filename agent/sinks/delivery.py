"""The thread that brings derived documents from the spool to Tiled."""

from __future__ import annotations

import logging
import math
import time
from collections import deque

from ringwatch.agent.errors import SinkError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.archive import FAILURES, Archive
from ringwatch.agent.sinks.backlog import Backlog
from ringwatch.agent.sinks.queued import State
from ringwatch.agent.sinks.refusals import is_of_server, is_refusal, kind_of
from ringwatch.agent.sinks.spooled_run import SpooledRun
from ringwatch.agent.sinks.stored_run import StoredRun

__all__ = ["Delivery"]

LONGEST_BACKOFF_S = 10.0
HURRIED_BACKOFF_S = 0.5
ASIDE_S = 600.0
SETTLE_S = 1.0
VAIN_TRIES = 3  # after which it makes no sense to wait for Tiled
HANGING_S = 5.0
IDLE_S = 30.0
ALL_FAILURES: tuple[type[Exception], ...] = (SinkError, *FAILURES)

logger = logging.getLogger(__name__)


class Delivery:
    """Stores what is in the spool, in the order of each run, until it is stored.

    A failure of the server makes all runs wait, ever longer up to ten seconds; one of a
    single run only that run. What Tiled refuses for good stays in the spool and is
    tried again every ten minutes.

    Parameters
    ----------
    backlog : Backlog
        The runs.
    archive : Archive
        Where they go; used by this thread only.
    name : str
        For the log.
    batch : int
        Events that are stored at once; more where many wait.
    interval : float
        Seconds after which fewer are stored.
    """

    def __init__(
        self, backlog: Backlog, archive: Archive, name: str, batch: int, interval: float
    ) -> None:
        self.trouble = ""
        self._backlog, self._archive, self._name = backlog, archive, name
        self._batch, self._interval = batch, interval
        self._retry_at = 0.0
        self._tries = 0
        self._in_vain: deque[float] = deque(maxlen=VAIN_TRIES)  # begun, since a success
        self._succeeded_at = 0.0
        self._busy_since = math.inf
        self._told: set[str] = set()  # kinds of failure in the log

    def work(self) -> None:
        """Run until the sink closes and either all is stored or the time is up."""
        backlog = self._backlog
        try:
            while True:
                with backlog.cond:
                    if backlog.state is State.CLOSING and self._done():
                        return
                    run = self._next()
                    if run is None:
                        backlog.cond.wait(self._pause())
                        continue
                    direct = not run.in_file
                    if direct:
                        run.owner = "deliver"
                self._deliver(run, direct=direct)
        finally:
            self._archive.close()

    def in_vain(self, since: float) -> bool:
        """Whether Tiled took nothing of what was offered since then, again and again.

        Parameters
        ----------
        since : float
            On the monotonic clock.
        """
        return len(self._in_vain) == VAIN_TRIES and self._in_vain[0] >= since

    def at_a_loss(self, since: float) -> bool:
        """Whether Tiled was failing, or hangs, and took nothing since then for long."""
        now = time.monotonic()
        away = bool(self._in_vain) or now - self._busy_since > HANGING_S
        return away and now - max(since, self._succeeded_at) > HANGING_S

    def hurry(self) -> None:
        """Somebody waits: try soon what waits for a later try."""
        soon = time.monotonic() + HURRIED_BACKOFF_S
        self._retry_at = min(self._retry_at, soon)
        for run in self._backlog.runs.values():
            if not run.aside:
                run.retry_at = min(run.retry_at, soon)

    def _done(self) -> bool:
        runs = self._backlog.runs.values()
        return self._backlog.late or all(run.aside or not run.left for run in runs)

    def _pause(self) -> float:
        if not any(run.left for run in self._backlog.runs.values()):
            return IDLE_S
        return min(self._interval, 0.25)

    def _next(self) -> SpooledRun | None:
        """The run that is due and was served longest ago."""
        now = time.monotonic()
        if now < self._retry_at:
            return None
        due = [run for run in self._backlog.runs.values() if self._due(run, now)]
        return min(due, key=lambda run: run.served_at, default=None)

    def _due(self, run: SpooledRun, now: float) -> bool:
        waiting = run.waiting
        return (
            waiting > 0
            and now >= run.retry_at
            and (
                self._backlog.hurried
                or run.others > 0
                or waiting >= self._batch
                or now - run.since >= self._interval
            )
        )

    def _deliver(self, run: SpooledRun, *, direct: bool) -> None:
        cond = self._backlog.cond
        run.served_at = self._busy_since = time.monotonic()
        try:
            if direct and not run.passed_by:
                run.passed_by = True  # before: a kill in between must not hide it
                run.save()
            documents, end = run.batch()
            stored = not documents or self._store(run, documents)
        except ALL_FAILURES as error:
            self._fail(run, error)
        else:
            if stored:
                self._settle(run, documents, end, direct=direct)
        finally:
            self._busy_since = math.inf
            if direct:
                with cond:
                    run.owner = ""
                    cond.notify_all()

    def _store(self, run: SpooledRun, documents: list[NamedDocument]) -> bool:
        """Store documents of one kind; False if Tiled has lost earlier ones."""
        name, doc = documents[0]
        if run.stored is None:
            run.stored = self._open(run)
            if self._lost(run, run.stored):
                return False
        if name == "descriptor":
            run.stored.add_stream(doc)
        elif name == "event":
            run.doubtful = True
            run.stored.append([doc for _, doc in documents])
            run.doubtful = False
            return not (run.stored.doubled and self._lost(run, run.stored))
        elif name == "stop":
            if self._lost(run, run.stored):
                return False
            run.stored.stop(doc)
        return True

    def _open(self, run: SpooledRun) -> StoredRun:
        stored = self._archive.open(run.start)
        for descriptor in list(run.descriptors):
            stored.add_stream(descriptor)
        if run.doubtful:
            # The server is back, perhaps with rows of a call that we gave up: they
            # must be in before we look which are missing.
            time.sleep(SETTLE_S)
        return stored

    def _lost(self, run: SpooledRun, stored: StoredRun) -> bool:
        """Whether Tiled has lost or doubled events; if so, all are stored again."""
        if run.file is None:
            return False
        count = stored.count() if run.events else 0
        if stored.doubled and not run.passed_by:
            logger.warning(
                "%s has events of run %s twice: their table is written anew",
                self._name,
                run.uid,
            )
            stored.drop_doubled()
        elif count >= run.events:
            return False
        else:
            logger.error(
                "%s has %d events of run %s and had %d: all in the spool go again",
                self._name,
                count,
                run.uid,
                run.events,
            )
        names = run.names(0, run.offset)
        with self._backlog.cond:
            run.rewind(names)
            self._backlog.sent -= len(names)
        run.save()
        return True

    def _settle(
        self, run: SpooledRun, documents: list[NamedDocument], end: int, *, direct: bool
    ) -> None:
        """Write down that documents are in Tiled."""
        backlog = self._backlog
        names = [name for name, _ in documents]
        with backlog.cond:
            run.delivered(names, end, direct=direct)
            if direct:
                backlog.pop(run, len(names))
            backlog.sent += len(names)
            run.since = time.monotonic()
            run.tries, run.aside = 0, False
            run.told.clear()
            self._recover()
            done = run.stopped and not run.left
            if done:
                backlog.finish(run)
            backlog.cond.notify_all()
        run.save()
        if done:
            run.close(remove=True)

    def _recover(self) -> None:
        self._tries = 0
        self._in_vain.clear()
        self._succeeded_at = time.monotonic()
        runs = self._backlog.runs.values()
        if self._told and not any(run.told for run in runs if not run.aside):
            logger.warning("%s: all is well again", self._name)
            self._told.clear()
            self.trouble = ""

    def _fail(self, run: SpooledRun, error: Exception) -> None:
        told = self._archive.told(error)
        kind = kind_of(error)
        first = kind not in run.told
        run.told.add(kind)
        run.stored = None
        now = time.monotonic()
        if is_refusal(error):
            run.aside, run.retry_at = True, now + ASIDE_S
            if first:
                logger.error(
                    "%s refuses a document of run %s: %s. The run stays in the spool "
                    "and is tried again now and then; others go on",
                    self._name,
                    run.uid,
                    told,
                )
            with self._backlog.cond:
                self._backlog.cond.notify_all()
            return
        run.tries += 1
        self._tries += 1
        run.retry_at = now + self._backoff(run.tries)
        if is_of_server(error):
            self._retry_at = now + self._backoff(self._tries)
            self._in_vain.append(run.served_at)
        self._archive.forget()
        if first and kind not in self._told:
            self._told.add(kind)
            logger.warning("%s: %s; results wait in the spool", self._name, told)
        self.trouble = f"{self._name}: {told}"
        with self._backlog.cond:
            self._backlog.cond.notify_all()

    def _backoff(self, tries: int) -> float:
        longest = HURRIED_BACKOFF_S if self._backlog.hurried else LONGEST_BACKOFF_S
        return float(min(0.25 * 2 ** min(tries, 10), longest))

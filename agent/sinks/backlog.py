"""What the threads of a spooled sink share: derived runs, counters, one lock."""

from __future__ import annotations

import logging
import threading
import time

from ringwatch.agent.sinks.queued import State
from ringwatch.agent.sinks.spooled_run import SpooledRun, Waiting

__all__ = ["Backlog"]

_NO_ROOM = "too much waits in memory for the disk"

logger = logging.getLogger(__name__)


class Backlog:
    """Derived runs that are not in Tiled yet.

    Everything here, and the bookkeeping of each run, changes under ``cond`` only.

    Parameters
    ----------
    name : str
        For the log.
    max_bytes : int
        Bound of the documents in memory. Other documents than events may take as much
        again: without its start a run could not be stored at all.
    """

    def __init__(self, name: str, max_bytes: int) -> None:
        self.name, self.max_bytes = name, max_bytes
        self.cond = threading.Condition()
        self.runs: dict[str, SpooledRun] = {}  # by uid of the derived run
        self.state = State.OPEN
        self.waiters = 0  # who wait for Tiled
        self.deadline = float("inf")  # of closing, on the monotonic clock
        self.sent = self.failed = self.bytes = 0
        self.overflowed = 0  # of those failed: there was no room in memory
        self._of_descriptor: dict[str, SpooledRun] = {}
        self._told: set[str] = set()

    @property
    def hurried(self) -> bool:
        """Whether somebody waits for Tiled."""
        return self.waiters > 0 or self.state is State.CLOSING

    @property
    def late(self) -> bool:
        """Whether the time given to close is up."""
        return time.monotonic() > self.deadline

    @property
    def unsaved(self) -> int:
        """Documents in memory."""
        return sum(len(run.memory) for run in self.runs.values())

    @property
    def file_bytes(self) -> int:
        """Bytes of the files, delivered parts of unfinished runs included."""
        with self.cond:
            files = [run.file for run in self.runs.values()]
        return sum(file.end for file in files if file is not None)

    def accept(self, waiting: Waiting) -> str:
        """Take a document; if it cannot be taken, why."""
        name, doc, size = waiting
        if self.state is not State.OPEN:
            return f"the sink is {self.state}"
        if name == "start":
            return self._begin(waiting)
        run = self._of_descriptor.get(doc.get("descriptor", ""))
        if name != "event":
            run = self.runs.get(doc.get("run_start", ""))
        if run is None or run.stopped or (name == "descriptor" and not doc.get("uid")):
            return "its start document or descriptor was not put, or its run is stopped"
        if name == "descriptor" and self._of_descriptor.get(doc["uid"]) is run:
            return ""  # known, from a former process
        if self._full(name, size):
            return _NO_ROOM
        if name == "descriptor":
            run.descriptors.append(doc)
            self._of_descriptor[doc["uid"]] = run
        self._append(run, waiting)
        run.stopped = name == "stop"
        return ""

    def adopt(self, run: SpooledRun) -> None:
        """Go on with a run of a former process."""
        run.since = time.monotonic()
        self.runs[run.uid] = run
        for doc in run.descriptors:
            self._of_descriptor[doc["uid"]] = run
        self.cond.notify_all()

    def pop(self, run: SpooledRun, documents: int) -> None:
        """The oldest documents of a run leave the memory."""
        for _ in range(documents):
            self.bytes -= run.memory.popleft().size
        self.cond.notify_all()

    def finish(self, run: SpooledRun) -> None:
        """All of a run is in Tiled."""
        del self.runs[run.uid]
        for doc in run.descriptors:
            self._of_descriptor.pop(doc["uid"], None)

    def finished(self) -> list[str]:
        """Uids of raw runs of which every derived run here is stopped."""
        going_on = {r.raw_uid for r in self.runs.values() if not r.stopped}
        ended = {r.raw_uid: None for r in self.runs.values() if r.stopped}
        return [uid for uid in ended if uid and uid not in going_on]

    @property
    def held(self) -> int:
        """Documents that Tiled refuses."""
        return sum(run.left for run in self.runs.values() if run.aside)

    def troubles(self) -> dict[str, str]:
        """What is wrong with documents, by name: ``refused``, ``lost``."""
        told = {}
        if held := self.held:
            told["refused"] = f"Tiled refuses {held} documents; they stay in the spool"
        if lost := self.overflowed:
            told["lost"] = (
                f"{lost} documents are lost: the disk was full, Tiled away, and no "
                "room in memory; replay their runs"
            )
        return told

    def lose(self, name: str, why: str) -> None:
        """Count a document that is given up; the first of a kind is named."""
        self.failed += 1
        self.overflowed += why == _NO_ROOM
        if why not in self._told:
            self._told.add(why)
            logger.error(
                "%s lost a %s document: %s; the next such losses are only counted",
                self.name,
                name,
                why,
            )

    def give_up(self) -> tuple[int, int]:
        """Leave what is in memory only: how many are lost, and how many in files."""
        lost = self.unsaved
        for run in self.runs.values():
            if not run.owner:
                run.memory.clear()
        self.failed += lost
        return lost, sum(run.in_file for run in self.runs.values())

    def _begin(self, waiting: Waiting) -> str:
        uid = waiting.doc.get("uid")
        if not uid:
            return "it has no uid"
        if uid in self.runs:
            return ""  # known, from a former process
        if self._full(waiting.name, waiting.size):
            return _NO_ROOM
        self.runs[uid] = SpooledRun(waiting.doc)
        self._append(self.runs[uid], waiting)
        return ""

    def _full(self, name: str, size: int) -> bool:
        bound = self.max_bytes * (1 if name == "event" else 2)
        return self.bytes + size > bound

    def _append(self, run: SpooledRun, waiting: Waiting) -> None:
        if not run.left:
            run.since = time.monotonic()
        run.others += waiting.name != "event"
        run.memory.append(waiting)
        self.bytes += waiting.size
        self.cond.notify_all()

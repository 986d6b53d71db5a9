"""The worker: documents in, verdicts out, one thread, and nothing that stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.darks import DarkBook, Fetch
from ringwatch.agent.documents import Announcer
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.inbox import GAP, Inbox, Item
from ringwatch.agent.log_lines import note_plan
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.backfill import FetchRun
from ringwatch.agent.runs.ledger import FrameLedger
from ringwatch.agent.runs.line import Line, Waiting
from ringwatch.agent.runs.micro_batch import MicroBatch
from ringwatch.agent.runs.open_run import OpenRun
from ringwatch.agent.runs.overload import what_to_leave_out
from ringwatch.agent.runs.publication import Publication
from ringwatch.agent.runs.relay import Relay
from ringwatch.agent.runs.run_analysis import RunAnalysis
from ringwatch.agent.runs.second_pass import SecondPass
from ringwatch.agent.sinks import KeepsRuns, Sink
from ringwatch.agent.timings import Stopwatch
from ringwatch.agent.unfinished_runs import Unfinished

__all__ = ["Worker"]

_IDLE_POLL_S = 0.05
_LAST_S = 0.5  # for the frame at hand, when the time to close is over


class Worker:
    """Takes documents from an inbox and hands verdicts to the sinks, in order.

    Parameters
    ----------
    analysis : Analysis
    inbox : Inbox
    sinks : list of Sink
        Given every derived document, in this order: those that plans wait for first.
    attempt : int
        Number of this pass over a raw run, from 1.
    fetch_dark, fetch_run : callable, optional
        See ``DarkBook`` and ``FetchRun``; without it only files can be read again.

    Attributes
    ----------
    counters : Counters
    ready : bool
        Whether compiled code is loaded; until then documents wait.
    """

    def __init__(
        self,
        analysis: Analysis,
        inbox: Inbox,
        sinks: list[Sink],
        *,
        attempt: int = 1,
        fetch_dark: Fetch | None = None,
        fetch_run: FetchRun | None = None,
    ) -> None:
        settings = analysis.settings
        self._analysis = analysis
        self._inbox = inbox
        self._keeps_runs = any(isinstance(sink, KeepsRuns) for sink in sinks)
        self._settings = settings
        self._reader = FrameReader(
            roots=settings.data_roots,
            max_frame_bytes=settings.max_frame_bytes,
            timeout_s=settings.read_timeout_s,
        )
        self._darks = DarkBook(fetch_dark)
        self._announcer = Announcer(self, detector=settings.detector)
        self._runs: dict[str, OpenRun] = {}
        self._attempt_to = Attempts()
        self._publication = Publication(
            analysis, sinks, attempt=attempt, attempt_to=self._attempt_to
        )
        line = MicroBatch if settings.device else Relay
        self._line: Line = line(analysis, self._publication, self._attempt_to)
        self._second = SecondPass(
            analysis,
            self._publication,
            fetch_dark=fetch_dark,
            fetch_run=fetch_run,
            darks=self._darks,
        )
        self.ready, self._patient = False, True
        self._arrived = self._ready = time.monotonic()
        self.counters = self._publication.counters
        self._given_up = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="ringwatch-worker", daemon=True
        )

    def resume(self, left: Unfinished) -> None:
        """Go on with a run whose agent died; before ``begin``."""
        run = self._opened({"uid": left.raw_uid}, self._analysis)
        run.derived, run.ledger = left.derived, FrameLedger(left.final)
        run.attempt = left.attempt
        run.ledger.lose_documents("the agent was restarted")
        self._second.add(run, stored_soon=False)

    def remember(self, raw_uids: Iterable[str]) -> None:
        """Take runs for finished: a former process gave all their verdicts."""
        self._publication.remember(raw_uids)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end after the inbox was closed; whether it came.

        A second pass that is not through by then is broken off: no end.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._given_up.set()
            self._thread.join(_LAST_S)
        return not self._thread.is_alive() and not self._second.can_end

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Uids of raw runs that have not all their final verdicts, oldest first."""
        return tuple(dict.fromkeys((*self._second.left, *tuple(self._runs))))

    def account_of(self, raw_uid: str) -> dict[str, int]:
        """Frames ``announced`` and ``final`` of a run that is open; else empty."""
        run = self._runs.get(raw_uid)
        return {} if run is None else run.ledger.account

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waits(self) -> bool:
        """Whether frames wait for readbacks, or for a second pass after a stop."""
        here = self._announcer.overdue() or self._line.oldest is not None
        return bool(here) or self._second.can_end

    @property
    def oldest_s(self) -> float:
        """Age of the oldest frame on its way to its verdict, seconds; 0 without one."""
        arrived = self._line.oldest
        return 0.0 if arrived is None else time.monotonic() - arrived

    def _work(self) -> None:
        self._attempt_to(self._analysis.warm_up)
        self.ready, self._ready = True, time.monotonic()
        moved = False  # whether the second pass has more to do at once
        while True:
            patience = self._line.patience(0.0 if moved else _IDLE_POLL_S)
            item = self._inbox.get(patience)
            now = time.monotonic() if item is None else item.arrived
            if item is not None:
                self._arrived, self._patient = item.arrived, item.patient
                _, failure = self._attempt_to(partial(self._feed, item))
                self.counters.malformed += bool(failure)
            elif self._inbox.closed:
                break
            self._attempt_to(partial(self._line.flush_if_due, idle=item is None))
            self._attempt_to(partial(self._release_held, now))
            moved = item is None and self._fill_in()
            if item is None:
                self._abandon(time.monotonic() - self._settings.abandon_after_s)
        self._attempt_to(self._announcer.release_held)
        self._attempt_to(self._line.flush)
        if not self._keeps_runs:  # else the next process goes on with them
            self._attempt_to(self._announcer.abandon_runs)
        self._second.work_off(self._fill_in, self._given_up, kept=self._keeps_runs)
        self._second.close()
        self._line.close()
        self._reader.close()

    def _fill_in(self) -> bool:
        moved, _ = self._attempt_to(self._second.step)
        self.counters.backfilled = self._second.filled_in
        return bool(moved)

    def _feed(self, item: Item) -> None:
        if item.name == GAP:
            self._documents_lost(item.doc["run"], item.doc["why"])
        elif item.name == "stop" and self._stopped_unseen(item.doc):
            pass
        else:
            self._announcer.feed(item.name, item.doc, item.arrived)

    def _documents_lost(self, uid: str, why: str) -> None:
        """Note that documents of a run were lost on the way here."""
        self._line.flush()
        if self._publication.has_finished(uid):
            return  # found out at its end: it was all there
        self._announcer.lose(uid)
        known = self._runs.get(uid) or self._second.find(uid)
        run = known or self._publication.take_up_again(self._opened({"uid": uid}))
        run.tear(why)
        if known is None:  # joined late: all that is known of it is that it is there
            self._second.add(run, stored_soon=False)

    def _release_held(self, now: float) -> None:
        """Let frames go whose event does not come; storage may have it in the end."""
        before = now - self._settings.hold_s
        for stream in self._announcer.overdue(before):
            why = "the event of a frame did not come in time"
            self._second.rely_on_storage(self._runs[stream.run_uid], why)
        self._announcer.release_held(before)

    def _stopped_unseen(self, stop: dict[str, Any]) -> bool:
        """Whether this ends a run of which only the second pass knows."""
        uid = str(stop.get("run_start"))
        if uid in self._runs:
            return False
        if self._publication.has_abandoned(uid):
            self._documents_lost(uid, "it went on after it was taken for abandoned")
        return self._second.stopped(uid, stop)

    @property
    def analysis(self) -> Analysis:
        """That of the newest run: what people taught takes effect as a run starts."""
        return self._analysis

    def _opened(self, start: dict[str, Any], own: Analysis | None = None) -> OpenRun:
        self._analysis = own or self._analysis.renewed()
        fold = RunAnalysis(self._analysis, start, self._reader, self._darks)
        return OpenRun(start=start, analysis=fold, seen=self._arrived)

    def _abandon(self, silent_since: float) -> None:
        """Close runs of which nothing was heard for long, as far as they are stored."""
        for uid, run in tuple(self._runs.items()):
            if run.seen < silent_since:
                self._second.rely_on_storage(run, "neither stop nor frame for long")
                self._attempt_to(partial(self._announcer.abandon, uid))
        self._second.abandon(silent_since)

    # The announcer tells of runs and frames.

    def run_started(self, start: dict[str, Any]) -> None:
        """Open a run, or go on with one that is known from before."""
        note_plan(start)
        known = self._second.find(start["uid"])
        run = self._opened(start, None if known is None else known.analysis.analysis)
        if known is not None:
            known.start, known.analysis = start, run.analysis
        self._runs[run.uid] = known or run

    def frame_announced(self, ref: FrameRef) -> None:
        """Give a frame its verdict, whatever happens."""
        run = self._runs[ref.run_uid]
        run.seen = self._arrived
        publication, watch = self._publication, Stopwatch(self._arrived)
        publication.announced(run, ref)
        if publication.has_finished(run.uid):
            return  # its second pass was ahead of this
        # What came while compiled code was loaded is not late.
        since = max(self._arrived, self._ready)
        late, why = what_to_leave_out(
            ref,
            0.0 if self._patient else time.monotonic() - since,
            self._settings,
            stored=self._second.can_fetch,
            labelled=self._analysis.classifier is not None,
        )
        self._line.add(
            Waiting(
                run=run,
                ref=ref,
                arrived=self._arrived,
                patient=self._patient,
                late=late,
                why=why,
                watch=watch,
            )
        )

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Close a run, at once or after its second pass."""
        self._line.flush()
        run = self._runs.pop(stop["run_start"])
        self._darks.close_run(run.uid)
        self._reader.close()
        run.stop = stop
        if self._publication.has_finished(run.uid):
            return
        if self._second.stopped(run.uid, stop):
            return  # its agent died, or a document was lost: it ends there
        if run.ledger.provisional or not run.ledger.whole:
            self._second.add(run)
        else:
            self._publication.finish(run)

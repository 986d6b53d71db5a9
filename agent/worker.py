"""The worker: documents in, verdicts out, one thread, and nothing that stops it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.backfill import FetchRun, Frames, ReferredFrames, StoredFrames
from ringwatch.agent.counters import Counters
from ringwatch.agent.darks import DarkBook, Fetch
from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.inbox import Inbox, Item
from ringwatch.agent.nouns import FrameRef, Verdict
from ringwatch.agent.open_run import OpenRun
from ringwatch.agent.overload import Late, what_to_leave_out
from ringwatch.agent.results import DerivedRun, NamedDocument
from ringwatch.agent.run_analysis import RunAnalysis, unknown_verdict
from ringwatch.agent.sinks import Sink

__all__ = ["Counters", "Worker"]

logger = logging.getLogger(__name__)

_IDLE_POLL_S = 0.05
_LAST_S = 0.5  # for the frame at hand, when the time to close is over
T = TypeVar("T")


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
    fetch_dark : callable, optional
        See ``DarkBook``.
    fetch_run : callable, optional
        See ``FetchRun``; without it only files can be gone over a second time.
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
        self._sinks = sinks
        self._attempt = attempt
        self._settings = settings
        self._reader = self._make_reader(settings.read_timeout_s)
        self._fetch_dark, self._fetch_run = fetch_dark, fetch_run
        self._darks = DarkBook(fetch_dark)
        self._announcer = Announcer(self, detector=settings.detector)
        self._runs: dict[str, OpenRun] = {}
        self._unfinished: dict[str, OpenRun] = {}  # stopped, frames are not all final
        self._arrived, self._patient = time.monotonic(), True
        self.counters = Counters()
        self._given_up = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="ringwatch-worker", daemon=True
        )

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end after the inbox was closed; whether it came.

        A second pass that is not through by then is broken off.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._given_up.set()
            self._thread.join(_LAST_S)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waits(self) -> bool:
        """Whether frames wait for readbacks, or for a second pass after a stop."""
        return self._announcer.holds_frames or bool(self._unfinished)

    def _work(self) -> None:
        self._attempt_to(self._analysis.warm_up)
        moved = False  # whether the second pass has more to do at once
        while True:
            item = self._inbox.get(0.0 if moved else _IDLE_POLL_S)
            now = time.monotonic() if item is None else item.arrived
            if item is not None:
                self._arrived, self._patient = item.arrived, item.patient
                _, failure = self._attempt_to(partial(self._feed, item))
                self.counters.malformed += bool(failure)
            elif self._inbox.closed:
                break
            if self._announcer.holds_frames:
                hold_s = self._settings.hold_s
                release = partial(self._announcer.release_held, now - hold_s)
                self._attempt_to(release)
            moved = item is None and self._fill_in()
        self._attempt_to(self._announcer.release_held)
        self._attempt_to(self._announcer.abandon_runs)
        while self._unfinished and not self._given_up.is_set():
            if not self._fill_in():
                self._given_up.wait(_IDLE_POLL_S)
        self._reader.close()

    def _feed(self, item: Item) -> None:
        self._announcer.feed(item.name, item.doc, item.arrived)

    # The announcer tells of runs and frames.

    def run_started(self, start: dict[str, Any]) -> None:
        """Open a run."""
        fold = RunAnalysis(self._analysis, start, self._reader, self._darks)
        self._runs[start["uid"]] = OpenRun(start=start, analysis=fold)

    def frame_announced(self, ref: FrameRef) -> None:
        """Give a frame its verdict, whatever happens."""
        run = self._runs[ref.run_uid]
        self.counters.announced += 1
        run.ledger.announce(ref)
        behind = 0.0 if self._patient else time.monotonic() - self._arrived
        stored = self._fetch_run is not None
        late, why = what_to_leave_out(ref, behind, self._settings, stored=stored)
        if late is Late.FRAME:
            run.ledger.tear(why)
            verdict = self._unknown(ref, why)
        else:
            label = why if late is Late.LABEL else ""
            judge = partial(run.analysis.judge, ref, self._arrived, without_label=label)
            verdict = self._judged(judge, ref)
        self.counters.shed += late is not Late.NOTHING
        final = late is Late.NOTHING and run.ledger.whole
        self._publish(run, replace(verdict, final=final))

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Close a run, at once or after its second pass."""
        run = self._runs.pop(stop["run_start"])
        self._darks.close_run(run.uid)
        self._reader.close()
        run.stop = stop
        if run.ledger.provisional:
            self._unfinished[run.uid] = run
        else:
            self._finish(run)

    # The second pass over stopped runs, when nothing else waits.

    def _fill_in(self) -> bool:
        """Deal with one frame of a stopped run; whether there may be more at once."""
        run = next(iter(self._unfinished.values()), None)
        if run is None:
            return False
        if run.frames is None or run.second is None:
            run.frames = self._frames_of(run)
            reader, darks = self._make_reader(0.0), DarkBook(self._fetch_dark)
            run.second = RunAnalysis(self._analysis, run.start, reader, darks)
        ref = run.frames.poll()
        if ref is not None:
            arrived = time.monotonic()
            verdict = self._judged(partial(run.second.judge, ref, arrived), ref)
            if not run.ledger.is_final(ref):
                self._publish(run, verdict)
                self.counters.backfilled += 1
            return True
        if not run.frames.finished:
            return False
        self._give_up(run, run.frames.failure)
        return True

    def _frames_of(self, run: OpenRun) -> Frames:
        refs = run.ledger.refs()
        if refs is not None or self._fetch_run is None:
            return ReferredFrames(refs or iter(()))
        return StoredFrames(
            run.uid,
            self._fetch_run,
            self._settings.detector,
            patience_s=self._settings.backfill_patience_s,
        )

    def _give_up(self, run: OpenRun, failure: str) -> None:
        """Close a run; what could not be had again keeps what was said last."""
        del self._unfinished[run.uid]
        left = run.ledger.provisional
        if left:
            logger.error(
                "run %s: %d frames cannot be had again (%s): their provisional "
                "verdicts are final",
                run.uid,
                len(left),
                failure or "neither files nor Tiled have them",
            )
        for verdict in left:
            self._publish(run, replace(verdict, final=True))
        self._finish(run)

    def _finish(self, run: OpenRun) -> None:
        if run.derived is not None and run.stop is not None:
            status = str(run.stop.get("exit_status") or "unknown")
            self._hand_over(run.derived.stop(raw_exit_status=status))

    # How it is done.

    def _make_reader(self, timeout_s: float) -> FrameReader:
        return FrameReader(
            roots=self._settings.data_roots,
            max_frame_bytes=self._settings.max_frame_bytes,
            timeout_s=timeout_s,
        )

    def _judged(self, judge: Callable[[], Verdict], ref: FrameRef) -> Verdict:
        verdict, failure = self._attempt_to(judge, ref)
        return verdict or self._unknown(ref, failure)

    def _publish(self, run: OpenRun, verdict: Verdict) -> None:
        verdict = run.ledger.take(verdict)
        ref = verdict.frame
        documents, failure = self._attempt_to(partial(self._compose, run, verdict), ref)
        if documents is None:  # its result does not fit: say so instead
            unknown = self._unknown(ref, failure)
            verdict = replace(unknown, revision=verdict.revision, final=verdict.final)
            documents, _ = self._attempt_to(partial(self._compose, run, verdict), ref)
        self.counters.count(verdict, published=documents is not None)
        self._hand_over(documents or [])

    def _unknown(self, ref: FrameRef, reason: str) -> Verdict:
        return unknown_verdict(ref, reason, self._analysis.analysis_id, self._arrived)

    def _compose(self, run: OpenRun, verdict: Verdict) -> list[NamedDocument]:
        """Compose the documents that publish a verdict."""
        first: list[NamedDocument] = []
        if run.derived is None:
            run.derived = DerivedRun(
                run.start,
                analysis_id=self._analysis.analysis_id,
                attempt=self._attempt,
                metadata=self._analysis.hashes,
                q=self._analysis.bins(verdict.frame.shape),
            )
            first = run.derived.start()
        return first + run.derived.event(verdict)

    def _hand_over(self, documents: list[NamedDocument]) -> None:
        for name, doc in documents:
            for sink in self._sinks:
                self._attempt_to(partial(sink.put, name, doc))

    def _attempt_to(
        self, action: Callable[[], T], frame: FrameRef | None = None
    ) -> tuple[T | None, str]:
        """Do it; the result, or None and what failed, which is logged.

        The one broad ``except`` of the house: a scan must not suffer because analysis
        failed, and one frame's failure must not cost the next one its verdict.
        """
        try:
            return action(), ""
        except RingwatchError as error:
            logger.error("%s", error)
            return None, str(error)
        except Exception as error:
            where = (
                f"run {frame.run_uid} frame {frame.index}" if frame else "a document"
            )
            logger.exception("analysis of %s failed", where)
            return None, f"analysis failed: {type(error).__name__}: {error}"

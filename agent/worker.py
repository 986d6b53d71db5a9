"""The worker: documents in, verdicts out, one thread, and nothing that stops it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.darks import DarkBook, Fetch
from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.inbox import Inbox, Item
from ringwatch.agent.nouns import FrameRef, Verdict, Word
from ringwatch.agent.results import DerivedRun, NamedDocument
from ringwatch.agent.run_analysis import RunAnalysis, unknown_verdict
from ringwatch.agent.sinks import Sink

__all__ = ["Counters", "Worker"]

logger = logging.getLogger(__name__)

_IDLE_POLL_S = 0.05
T = TypeVar("T")


@dataclass(slots=True)
class Counters:
    """What the worker has done so far.

    Attributes
    ----------
    announced, analysed, unknown : int
        Frames announced; with a verdict other than ``unknown``; with ``unknown``.
    malformed : int
        Documents left out.
    lost : int
        Frames whose verdict could not be published at all; never, but for a defect.
    last_index : int
        Index of the newest frame with a verdict, -1 before the first.
    last_word : str
        Its verdict.
    """

    announced: int = 0
    analysed: int = 0
    unknown: int = 0
    malformed: int = 0
    lost: int = 0
    last_index: int = -1
    last_word: str = ""


@dataclass(slots=True)
class _OpenRun:
    start: dict[str, Any]
    analysis: RunAnalysis
    derived: DerivedRun | None = None


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
    """

    def __init__(
        self,
        analysis: Analysis,
        inbox: Inbox,
        sinks: list[Sink],
        *,
        attempt: int = 1,
        fetch_dark: Fetch | None = None,
    ) -> None:
        settings = analysis.settings
        self._analysis = analysis
        self._inbox = inbox
        self._sinks = sinks
        self._attempt = attempt
        self._hold_s = settings.hold_s
        self._reader = FrameReader(
            roots=settings.data_roots,
            max_frame_bytes=settings.max_frame_bytes,
            timeout_s=settings.read_timeout_s,
        )
        self._darks = DarkBook(fetch_dark)
        self._announcer = Announcer(self, detector=settings.detector)
        self._runs: dict[str, _OpenRun] = {}
        self._arrived = time.monotonic()
        self.counters = Counters()
        self._thread = threading.Thread(
            target=self._work, name="ringwatch-worker", daemon=True
        )

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end after the inbox was closed; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def holds_frames(self) -> bool:
        """Whether frames wait for the event with their readbacks."""
        return self._announcer.holds_frames

    def _work(self) -> None:
        self._attempt_to(self._analysis.warm_up)
        while True:
            item = self._inbox.get(_IDLE_POLL_S)
            now = time.monotonic() if item is None else item.arrived
            if item is not None:
                self._arrived = item.arrived
                _, failure = self._attempt_to(partial(self._feed, item))
                self.counters.malformed += bool(failure)
            elif self._inbox.closed:
                break
            if self._announcer.holds_frames:
                release = partial(self._announcer.release_held, now - self._hold_s)
                self._attempt_to(release)
        self._attempt_to(self._announcer.release_held)
        self._attempt_to(self._announcer.abandon_runs)
        self._reader.close()

    def _feed(self, item: Item) -> None:
        self._announcer.feed(item.name, item.doc, item.arrived)

    # The announcer tells of runs and frames.

    def run_started(self, start: dict[str, Any]) -> None:
        """Open a run."""
        self._runs[start["uid"]] = _OpenRun(
            start=start,
            analysis=RunAnalysis(self._analysis, start, self._reader, self._darks),
        )

    def frame_announced(self, ref: FrameRef) -> None:
        """Give a frame its verdict, whatever happens."""
        run = self._runs[ref.run_uid]
        self.counters.announced += 1
        verdict, failure = self._attempt_to(
            partial(run.analysis.judge, ref, self._arrived), ref
        )
        if verdict is None:
            verdict = self._unknown(ref, failure)
        documents, failure = self._attempt_to(partial(self._compose, run, verdict), ref)
        if documents is None:  # its result does not fit: say so instead
            verdict = self._unknown(ref, failure)
            documents, _ = self._attempt_to(partial(self._compose, run, verdict), ref)
        self._count(verdict, published=documents is not None)
        self._hand_over(documents or [])

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Close a run."""
        run = self._runs.pop(stop["run_start"])
        self._darks.close_run(stop["run_start"])
        self._reader.close()
        if run.derived is not None:
            status = str(stop.get("exit_status") or "unknown")
            self._hand_over(run.derived.stop(raw_exit_status=status))

    def _unknown(self, ref: FrameRef, reason: str) -> Verdict:
        return unknown_verdict(ref, reason, self._analysis.analysis_id, self._arrived)

    def _compose(self, run: _OpenRun, verdict: Verdict) -> list[NamedDocument]:
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

    def _count(self, verdict: Verdict, *, published: bool) -> None:
        if not published:
            self.counters.lost += 1
        elif verdict.word is Word.UNKNOWN:
            self.counters.unknown += 1
        else:
            self.counters.analysed += 1
        self.counters.last_index = verdict.frame.index
        self.counters.last_word = verdict.word.value

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

"""The worker: documents in, verdicts out, one thread, and nothing that stops it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ringwatch.agent.analysis import Analysis, RunAnalysis, unknown_verdict
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.inbox import Inbox, Item
from ringwatch.agent.nouns import FrameRef, Verdict, Word
from ringwatch.agent.quality import VALUE_UNITS
from ringwatch.agent.results import DerivedRun
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
    last_index : int
        Index of the newest frame with a verdict, -1 before the first.
    last_word : str
        Its verdict.
    """

    announced: int = 0
    analysed: int = 0
    unknown: int = 0
    malformed: int = 0
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
        fetch_dark: Callable[[str], list[Any]] | None = None,
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

    def _work(self) -> None:
        while True:
            item = self._inbox.get(_IDLE_POLL_S)
            if item is not None:
                self._arrived = item.arrived
                self._attempt_to(partial(self._feed, item), instead=self._left_out)
            elif self._inbox.closed:
                break
            if self._announcer.holds_frames:
                self._announcer.release_held(self._hold_s)
        self._announcer.release_held(0.0)
        self._reader.close()

    def _feed(self, item: Item) -> None:
        self._announcer.feed(item.name, item.doc)

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
        arrived = self._arrived
        self.counters.announced += 1

        def give_up(reason: str) -> Verdict:
            return unknown_verdict(ref, reason, self._analysis.analysis_id, arrived)

        def publish_unknown(reason: str) -> None:
            self._publish(run, give_up(reason))

        verdict = self._attempt_to(
            lambda: run.analysis.judge(ref, arrived), instead=give_up, frame=ref
        )
        self._attempt_to(
            lambda: self._publish(run, verdict), instead=publish_unknown, frame=ref
        )

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Close a run."""
        run = self._runs.pop(stop["run_start"])
        self._darks.close_run(stop["run_start"])
        if run.derived is not None:
            status, reason = stop.get("exit_status", "success"), stop.get("reason", "")
            self._hand_over(run.derived.stop(status, reason))
        self._reader.close()

    def _publish(self, run: _OpenRun, verdict: Verdict) -> None:
        if run.derived is None:
            run.derived = DerivedRun(
                run.start,
                analysis_id=self._analysis.analysis_id,
                attempt=self._attempt,
                metadata=self._analysis.hashes(),
                q=self._analysis.bins(verdict.frame.shape),
                values=VALUE_UNITS,
            )
            self._hand_over(run.derived.start())
        self._hand_over(run.derived.event(verdict))
        if verdict.word is Word.UNKNOWN:
            self.counters.unknown += 1
        else:
            self.counters.analysed += 1
        self.counters.last_index = verdict.frame.index
        self.counters.last_word = verdict.word.value

    def _hand_over(self, documents: list[tuple[str, dict[str, Any]]]) -> None:
        for name, doc in documents:
            for sink in self._sinks:
                sink.put(name, doc)

    def _attempt_to(
        self,
        action: Callable[[], T],
        *,
        instead: Callable[[str], T],
        frame: FrameRef | None = None,
    ) -> T:
        """Do it; log what fails and do ``instead`` with the reason.

        The one broad ``except`` of the house: a scan must not suffer because analysis
        failed, and one frame's failure must not cost the next one its verdict.
        """
        try:
            return action()
        except RingwatchError as error:
            logger.error("%s", error)
            reason = str(error)
        except Exception as error:
            where = f"run {frame.run_uid} frame {frame.index}" if frame else "document"
            logger.exception("analysis of %s failed", where)
            reason = f"analysis failed: {type(error).__name__}: {error}"
        return instead(reason)

    def _left_out(self, reason: str) -> None:
        """Count a document that could not be used; the reason was logged."""
        self.counters.malformed += bool(reason)

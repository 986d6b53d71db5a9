"""Verdicts on their way out: composed as documents, handed to the sinks, counted."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.nouns import FrameRef, Verdict
from ringwatch.agent.results import DerivedRun, NamedDocument
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.counters import Counters
from ringwatch.agent.runs.ledger import FrameLedger
from ringwatch.agent.runs.open_run import OpenRun
from ringwatch.agent.runs.verdicts import unknown_verdict
from ringwatch.agent.sinks import Sink
from ringwatch.agent.spool.contents import FINAL_BEFORE
from ringwatch.agent.timings import Stopwatch

__all__ = ["Publication"]

_MOST_FINISHED = 10_000
_MOST_ABANDONED = 64


class Publication:
    """Publishes the verdicts of raw runs, each final one once.

    Parameters
    ----------
    analysis : Analysis
    sinks : list of Sink
        Given every derived document, in this order.
    attempt : int
        Number of this pass over a raw run, from 1.
    attempt_to : Attempts
        Does what may fail.

    Attributes
    ----------
    counters : Counters
    """

    def __init__(
        self,
        analysis: Analysis,
        sinks: list[Sink],
        *,
        attempt: int,
        attempt_to: Attempts,
    ) -> None:
        self._analysis = analysis
        self._sinks = sinks
        self._attempt = attempt
        self._attempt_to = attempt_to
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._abandoned: OrderedDict[str, tuple[FrameLedger, int]] = OrderedDict()
        self.counters = Counters()

    def announced(self, run: OpenRun, ref: FrameRef) -> None:
        """Count a frame, once."""
        self.counters.announced += run.ledger.announce(ref)

    def judged(
        self,
        judge: Callable[[], Verdict],
        ref: FrameRef,
        arrived: float,
        watch: Stopwatch,
    ) -> Verdict:
        """Verdict of a frame, ``unknown`` where judging fails."""
        verdict, failure = self._attempt_to(judge, ref)
        return verdict or self.unknown(ref, failure, arrived, watch)

    def unknown(
        self,
        ref: FrameRef,
        reason: str,
        arrived: float,
        watch: Stopwatch | None = None,
    ) -> Verdict:
        """Verdict of a frame of which nothing is known, and why.

        ``arrived`` is on the clock of ``time.monotonic``.
        """
        identity = self._analysis.analysis_id
        return unknown_verdict(ref, reason, identity, arrived, watch)

    def publish(self, run: OpenRun, verdict: Verdict, *, live: bool = True) -> None:
        """Publish one revision of a verdict, unless the final one is out already.

        ``live``: as its frame came, and not in a second pass.
        """
        ref = verdict.frame
        if run.ledger.is_final(ref):
            return
        identity = run.analysis.analysis.analysis_id
        if verdict.analysis_id != identity:  # nothing is known of it, but of which run
            verdict = replace(verdict, analysis_id=identity)
        verdict = run.ledger.take(verdict)
        documents, failure = self._attempt_to(partial(self._compose, run, verdict), ref)
        if documents is None:  # its result does not fit: say so instead
            verdict = replace(
                self.unknown(ref, failure, time.monotonic()),
                revision=verdict.revision,
                final=verdict.final,
                latency_ms=verdict.latency_ms,
                stages=verdict.stages,
            )
            documents, _ = self._attempt_to(partial(self._compose, run, verdict), ref)
        self.counters.count(verdict, published=documents is not None, live=live)
        self._hand_over(documents or [])

    def finish(self, run: OpenRun) -> None:
        """Publish the stop document of a run."""
        status = str((run.stop or {}).get("exit_status") or "unknown")
        if status == "abandoned":  # but it may go on one day
            self._abandoned[run.uid] = run.ledger, run.attempt or self._attempt
            while len(self._abandoned) > _MOST_ABANDONED:
                self._abandoned.popitem(last=False)
        else:
            self.remember([run.uid])
        if run.derived is not None:
            account = run.ledger.account
            self._hand_over(run.derived.stop(raw_exit_status=status, frames=account))

    def remember(self, raw_uids: Iterable[str]) -> None:
        """Take runs for finished: all their verdicts are out."""
        for uid in raw_uids:
            self._finished[uid] = None
            while len(self._finished) > _MOST_FINISHED:
                self._finished.popitem(last=False)

    def has_finished(self, raw_uid: str) -> bool:
        """Whether all verdicts of a run are out."""
        return raw_uid in self._finished

    def has_abandoned(self, raw_uid: str) -> bool:
        """Whether a run was closed because nothing more was heard of it."""
        return raw_uid in self._abandoned

    def take_up_again(self, run: OpenRun) -> OpenRun:
        """Let a run go on with what is final of it, if it was abandoned before."""
        known = self._abandoned.pop(run.uid, None)
        if known is not None:
            run.ledger, run.attempt = known[0], known[1] + 1
            run.final_before = run.ledger.finals
        return run

    def _compose(self, run: OpenRun, verdict: Verdict) -> list[NamedDocument]:
        """Compose the documents that publish a verdict."""
        first: list[NamedDocument] = []
        if run.derived is None:
            analysis = run.analysis.analysis
            before = run.final_before
            told = {FINAL_BEFORE: before} if before else {}
            run.derived = DerivedRun(
                run.start,
                analysis_id=analysis.analysis_id,
                attempt=run.attempt or self._attempt,
                metadata=analysis.hashes | told,
                q=self._q_of(verdict),
                learned=analysis.heads.fields,
            )
            first = run.derived.start()
        return first + run.derived.event(verdict)

    def _q_of(self, verdict: Verdict) -> NDArray[np.float64] | None:
        if verdict.pattern is not None:  # a descriptor may leave the shape open
            return verdict.pattern.q
        return self._analysis.bins(verdict.frame.shape)

    def _hand_over(self, documents: list[NamedDocument]) -> None:
        for name, doc in documents:
            for sink in self._sinks:
                self._attempt_to(partial(sink.put, name, doc))

"""The second pass: stopped runs whose frames are not all final, one frame at a time.

A run comes here because frames of it were left out under overload, because documents
of it were lost on the way, or because the agent was restarted. Its frames are gone over
from the first one on by a fold of their own; those that are final already are judged
for the fold's sake, but nothing is said of them again.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.darks import DarkBook, Fetch
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef, Verdict
from ringwatch.agent.runs.backfill import FetchRun, Frames, ReferredFrames, StoredFrames
from ringwatch.agent.runs.open_run import OpenRun
from ringwatch.agent.runs.publication import Publication
from ringwatch.agent.runs.run_analysis import RunAnalysis
from ringwatch.agent.timings import Stopwatch

__all__ = ["SecondPass"]

logger = logging.getLogger(__name__)

_NOT_KEPT = "it cannot be had again, and its provisional verdict was not kept"
_MOST_FETCHES = 4  # at a time: each holds a thread and connections
_VAIN_S = 5.0  # that nothing came from Tiled, when we are to end
_POLL_S = 0.05


class SecondPass:
    """Gives the frames of stopped runs their final verdicts.

    Parameters
    ----------
    analysis : Analysis
    publication : Publication
    fetch_dark : callable, optional
        See ``DarkBook``.
    fetch_run : callable, optional
        See ``FetchRun``; without it only files can be gone over again.
    darks : DarkBook
        With the dark runs that passed while the runs did.
    """

    def __init__(
        self,
        analysis: Analysis,
        publication: Publication,
        *,
        fetch_dark: Fetch | None = None,
        fetch_run: FetchRun | None = None,
        darks: DarkBook,
    ) -> None:
        self._analysis = analysis
        self._publication = publication
        self._fetch_dark, self._fetch_run = fetch_dark, fetch_run
        self._darks = darks
        self._runs: dict[str, OpenRun] = {}
        self.filled_in = 0

    @property
    def left(self) -> tuple[str, ...]:
        """Uids of the runs here."""
        return tuple(self._runs)

    @property
    def can_end(self) -> bool:
        """Whether any run here can come to its end: it stopped, or its frames come."""
        return any(run.stop or run.second is not None for run in self._waiting)

    @property
    def _waiting(self) -> tuple[OpenRun, ...]:
        return tuple(self._runs.values())  # others may ask while it changes

    @property
    def can_fetch(self) -> bool:
        """Whether runs can be fetched from Tiled."""
        return self._fetch_run is not None

    def find(self, uid: str) -> OpenRun | None:
        """The run ``uid``, if it waits here."""
        return self._runs.get(uid)

    def add(self, run: OpenRun, *, stored_soon: bool = True) -> None:
        """Take a run.

        Parameters
        ----------
        run : OpenRun
        stored_soon : bool
            Whether it has stopped, so that it should be stored to its end before long;
            a run that may still go on is waited for without limit.
        """
        if run.uid not in self._runs:
            self._runs[run.uid] = run
            run.frames = self._frames_of(run, stored_soon=stored_soon)

    @property
    def only_waits(self) -> bool:
        """Whether nothing can be done for any run here until Tiled has more of it."""
        return all(
            run.awaits_dark or (run.frames is not None and run.frames.waits)
            for run in self._waiting
        )

    def stopped(self, uid: str, stop: dict[str, Any]) -> bool:
        """Note that a run stopped; whether it waits here.

        From now on it should be stored to its end before long.
        """
        run = self._runs.get(uid)
        if run is None:
            return False
        run.stop = stop
        assert run.frames is not None
        run.frames.hurry(self._analysis.settings.backfill_patience_s)
        return True

    def step(self) -> bool:
        """Deal with one frame; whether there may be more at once."""
        waiting = self._waiting
        fetching = sum(run.frames is not None and run.frames.trying for run in waiting)
        for run in waiting:
            if fetching < _MOST_FETCHES and run.frames is not None:
                run.frames.begin()
                fetching += run.frames.trying
        return any(self._step(run) for run in waiting)

    def abandon(self, silent_since: float) -> None:
        """Take what is stored of runs for all of them, if they are not heard of.

        ``silent_since`` is on the clock of ``time.monotonic``.
        """
        for run in self._waiting:
            if run.stop is None and run.frames is not None and run.seen < silent_since:
                run.frames.hurry(self._analysis.settings.backfill_patience_s)

    def work_off(
        self, step: Callable[[], bool], given_up: threading.Event, *, kept: bool
    ) -> None:
        """Bring runs to their end, unless the next process can as well.

        Parameters
        ----------
        step : callable
            Deals with one frame by ``self.step``.
        given_up : Event
            Set when the time for it is over.
        kept : bool
            Whether a next process will know of these runs.
        """
        moved = time.monotonic()
        while self.can_end and not given_up.is_set():
            if step():
                moved = time.monotonic()
                continue
            if not self.only_waits:
                moved = time.monotonic()
            elif kept and time.monotonic() - moved > _VAIN_S:
                logger.warning("runs are left to the next start: Tiled has no more yet")
                return
            given_up.wait(_POLL_S)

    def close(self) -> None:
        """Fetch no more; what is not through stays as it is."""
        for run in self._runs.values():
            if run.frames is not None:
                run.frames.close()

    def _step(self, run: OpenRun) -> bool:
        assert run.frames is not None
        ref = run.next_ref or run.frames.poll()
        if ref is not None:
            if run.reader is None:
                self._begin(run)
            arrived = time.monotonic()
            watch = Stopwatch(arrived)
            with watch("read_ms"):
                ready = self._can_be_judged(run, ref)
            run.next_ref = None if ready else ref
            if run.next_ref is None:
                self._judge(run, ref, arrived, watch)
            return run.next_ref is None
        if run.frames.finished:
            try:
                self._end(run, run.frames.failure)
            finally:
                del self._runs[run.uid]
            return True
        return False

    def _begin(self, run: OpenRun) -> None:
        assert run.frames is not None
        run.start = run.frames.start or run.start
        settings = self._analysis.settings
        run.reader = FrameReader(
            roots=settings.data_roots,
            max_frame_bytes=settings.max_frame_bytes,
            timeout_s=settings.read_timeout_s,
        )
        darks = DarkBook(self._fetch_dark, passed=self._darks)
        run.dark_until = time.monotonic() + settings.backfill_patience_s
        run.second = RunAnalysis(self._analysis, run.start, run.reader, darks)

    @staticmethod
    def _can_be_judged(run: OpenRun, ref: FrameRef) -> bool:
        """Whether pixels and dark of a frame are there, or were waited for in vain."""
        assert run.reader is not None
        assert run.second is not None
        if not run.reader.ready(ref):
            return False
        late = time.monotonic() > run.dark_until
        run.awaits_dark = not late and run.second.awaits_dark(ref)
        return not run.awaits_dark

    def _judge(
        self, run: OpenRun, ref: FrameRef, arrived: float, watch: Stopwatch
    ) -> None:
        assert run.second is not None
        self._publication.announced(run, ref)
        judge = partial(run.second.judge, ref, arrived, watch=watch)
        verdict = self._publication.judged(judge, ref, arrived, watch)
        if not run.ledger.is_final(ref):
            self._publication.publish(run, replace(verdict, final=True), live=False)
            self.filled_in += 1

    def _frames_of(self, run: OpenRun, *, stored_soon: bool) -> Frames:
        refs = run.ledger.refs()
        if refs is not None or self._fetch_run is None:
            return ReferredFrames(refs or iter(()))
        settings = self._analysis.settings
        patience = settings.backfill_patience_s if stored_soon else math.inf
        return StoredFrames(
            run.uid, self._fetch_run, settings.detector, patience_s=patience
        )

    def _end(self, run: OpenRun, failure: str) -> None:
        """Close a run; what could not be had again keeps what was said last."""
        left = run.ledger.provisional
        if left:
            logger.error(
                "run %s: %d frames cannot be had again (%s): their provisional "
                "verdicts are final",
                run.uid,
                len(left),
                failure or "neither files nor Tiled have them",
                extra={"run_uid": run.uid},
            )
        for said in left:
            verdict = (
                said
                if isinstance(said, Verdict)
                else self._publication.unknown(said, _NOT_KEPT, time.monotonic())
            )
            self._publication.publish(run, replace(verdict, final=True), live=False)
        assert run.frames is not None
        run.stop = run.frames.stop or run.stop  # ours may only say that none came
        if run.reader is not None:
            run.reader.close()
        self._publication.finish(run)

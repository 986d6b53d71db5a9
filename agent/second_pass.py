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
from typing import Any, Protocol

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.backfill import FetchRun, Frames, ReferredFrames, StoredFrames
from ringwatch.agent.darks import DarkBook, Fetch
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef, Verdict
from ringwatch.agent.open_run import OpenRun
from ringwatch.agent.run_analysis import RunAnalysis

__all__ = ["SecondPass"]

logger = logging.getLogger(__name__)

_NOT_KEPT = "it cannot be had again, and its provisional verdict was not kept"
_VAIN_S = 5.0  # that nothing came from Tiled, when we are to end
_POLL_S = 0.05


class Publisher(Protocol):
    """Who judges and publishes for the second pass: the worker."""

    def announced(self, run: OpenRun, ref: FrameRef) -> None:
        """Count a frame, once."""

    def judged(self, judge: Callable[[], Verdict], ref: FrameRef) -> Verdict:
        """Verdict of a frame, ``unknown`` where judging fails."""

    def unknown(self, ref: FrameRef, reason: str) -> Verdict:
        """Verdict of a frame of which nothing is known, and why."""

    def publish(self, run: OpenRun, verdict: Verdict) -> None:
        """Publish one revision of a verdict."""

    def finish(self, run: OpenRun) -> None:
        """Publish the stop document of a run."""


class SecondPass:
    """Gives the frames of stopped runs their final verdicts.

    Parameters
    ----------
    analysis : Analysis
    publisher : Publisher
    fetch_dark : callable, optional
        See ``DarkBook``.
    fetch_run : callable, optional
        See ``FetchRun``; without it only files can be gone over again.
    """

    def __init__(
        self,
        analysis: Analysis,
        publisher: Publisher,
        *,
        fetch_dark: Fetch | None = None,
        fetch_run: FetchRun | None = None,
    ) -> None:
        self._analysis = analysis
        self._publisher = publisher
        self._fetch_dark, self._fetch_run = fetch_dark, fetch_run
        self._runs: dict[str, OpenRun] = {}
        self.filled_in = 0

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
        return all(run.frames is not None and run.frames.waits for run in self._waiting)

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
        return any(self._step(run) for run in self._waiting)

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
        ref = run.frames.poll()
        if ref is not None:
            self._judge(run, ref)
            return True
        if run.frames.finished:
            del self._runs[run.uid]
            self._end(run, run.frames.failure)
            return True
        return False

    def _judge(self, run: OpenRun, ref: FrameRef) -> None:
        assert run.frames is not None
        if run.second is None:
            run.start = run.frames.start or run.start
            settings = self._analysis.settings
            reader = FrameReader(
                roots=settings.data_roots,
                max_frame_bytes=settings.max_frame_bytes,
                timeout_s=0.0,  # live frames do not wait for these
            )
            darks = DarkBook(self._fetch_dark)
            run.second = RunAnalysis(self._analysis, run.start, reader, darks)
        self._publisher.announced(run, ref)
        judge = partial(run.second.judge, ref, time.monotonic())
        verdict = self._publisher.judged(judge, ref)
        if not run.ledger.is_final(ref):
            self._publisher.publish(run, verdict)
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
            )
        for said in left:
            verdict = (
                said
                if isinstance(said, Verdict)
                else self._publisher.unknown(said, _NOT_KEPT)
            )
            self._publisher.publish(run, replace(verdict, final=True))
        assert run.frames is not None
        run.stop = run.stop or run.frames.stop
        self._publisher.finish(run)

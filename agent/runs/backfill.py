"""Frames of a run for its second pass, where some were missed or shed.

The second pass goes over all frames in the order of their index with a fold of its own,
so that what becomes final is what a replay would say. It never gets in the way of live
frames: the worker asks for one frame at a time, when nothing else waits.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import (
    MALFORMED,
    DocumentError,
    RingwatchError,
    TiledAwayError,
)
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.results import NamedDocument

__all__ = ["FetchRun", "Frames", "ReferredFrames", "StoredFrames"]


logger = logging.getLogger(__name__)


class FetchRun(Protocol):
    """Gives the documents of a stored run."""

    def __call__(self, uid: str, *, whole: bool = True) -> Iterator[NamedDocument]:
        """Documents of the run ``uid``, from the start to the stop document.

        Raises ``ReplayError`` where it is not stored, or (if ``whole``) not to its end.
        """


_AHEAD = 16  # frames read before they are wanted
_RETRY_S = 2.0


class Frames(Protocol):
    """Frames of a run in order, as they can be had."""

    @property
    def start(self) -> dict[str, Any] | None:
        """Start document of the run, where it was fetched."""

    @property
    def stop(self) -> dict[str, Any] | None:
        """Stop document of the run, where it was fetched."""

    @property
    def finished(self) -> bool:
        """Whether there are no more."""

    @property
    def failure(self) -> str:
        """Why the rest cannot be had; empty where all could."""

    @property
    def waits(self) -> bool:
        """Whether what comes next is not stored yet, or Tiled is away."""

    @property
    def trying(self) -> bool:
        """Whether a thread fetches some right now."""

    def begin(self) -> None:
        """Fetch, unless that is under way, through, or was in vain a moment ago."""

    def poll(self) -> FrameRef | None:
        """Next frame; None where there is none yet, or none any more."""

    def hurry(self, patience_s: float) -> None:
        """Wait no longer than that, seconds, for what is not stored yet."""

    def close(self) -> None:
        """Stop looking for more."""


class ReferredFrames:
    """Frames of which the references are still known, their pixels in files."""

    failure = ""
    waits = trying = False
    start: dict[str, Any] | None = None
    stop: dict[str, Any] | None = None

    def __init__(self, refs: Iterator[FrameRef]) -> None:
        self._refs = refs
        self._next: FrameRef | None = next(refs, None)

    @property
    def finished(self) -> bool:
        """Whether there are no more."""
        return self._next is None

    def begin(self) -> None:
        """Nothing to fetch."""

    def poll(self) -> FrameRef | None:
        """Next frame."""
        ref, self._next = self._next, next(self._refs, None)
        return ref

    def hurry(self, patience_s: float) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing to stop."""


class StoredFrames:
    """Frames of a stored run, fetched by a thread of its own: a server may hang.

    Each ``begin`` is one try. Once the patience is over, what is stored of the run is
    taken for all of it.

    Parameters
    ----------
    uid : str
        Of the raw run.
    fetch : callable
        See ``FetchRun``. Asked at each try, until the run is stored to its end.
    detector : str or None
        As in ``Settings``.
    patience_s : float
        How long a run may take to be stored, seconds.
    """

    def __init__(
        self, uid: str, fetch: FetchRun, detector: str | None, *, patience_s: float
    ) -> None:
        self.failure = ""
        self.start: dict[str, Any] | None = None
        self.stop: dict[str, Any] | None = None
        self.waits = False
        self._uid, self._fetch, self._detector = uid, fetch, detector
        self._deadline = time.monotonic() + patience_s
        self._queue: queue.Queue[FrameRef | None] = queue.Queue(_AHEAD)
        self._stopping = threading.Event()
        self._finished = False
        self._told: dict[tuple[str, str], int] = {}  # frames handed on
        self._listener = _Collected()
        self._announcer = Announcer(self._listener, detector=detector)
        self._thread: threading.Thread | None = None
        self._next_try = 0.0
        self._through = False  # nothing is left to be fetched
        self._malformed = 0  # documents left out

    @property
    def finished(self) -> bool:
        """Whether there are no more."""
        return self._finished

    @property
    def trying(self) -> bool:
        """Whether a thread fetches some right now."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        """Fetch, unless that is under way, through, or was in vain a moment ago."""
        now = time.monotonic()
        in_vain = now < self._next_try
        if self.trying or self._through or in_vain or self._stopping.is_set():
            return
        self._next_try = now + _RETRY_S
        self._thread = threading.Thread(
            target=self._read, name="ringwatch-backfill", daemon=True
        )
        self._thread.start()

    def poll(self) -> FrameRef | None:
        """Next frame; None where there is none yet, or none any more."""
        try:
            ref = self._queue.get_nowait()
        except queue.Empty:
            return None
        self._finished = ref is None
        return ref

    def hurry(self, patience_s: float) -> None:
        """Wait no longer than that, seconds, for what is not stored yet."""
        self._deadline = min(self._deadline, time.monotonic() + patience_s)

    def close(self) -> None:
        """Stop looking; a call that hangs is left to itself."""
        self._stopping.set()

    def _read(self) -> None:
        """Try once: what was handed on before is left out."""
        began = time.monotonic()
        late = began > self._deadline
        try:
            for name, doc in self._fetch(self._uid, whole=not late):
                self.waits = False
                for ref in self._announced(name, doc):
                    self._put(ref)
                if self._stopping.is_set():
                    return
        except (RingwatchError, *MALFORMED) as error:
            away = isinstance(error, TiledAwayError)
            if away or not late:
                self._next_try = time.monotonic() + _RETRY_S
                self.waits = True
            if away:  # time in which Tiled could not be asked does not count
                self._deadline += self._next_try - began
            if away or not late:
                return
            self.failure = f"{error}" or type(error).__name__
        self._through = True
        self._put(None)

    def _announced(self, name: str, doc: dict[str, Any]) -> list[FrameRef]:
        if name == "start":  # a fetch that broke off begins anew
            self.start = doc
            self._listener = _Collected()
            self._announcer = Announcer(self._listener, detector=self._detector)
        if name == "stop":
            self.stop = doc
        try:
            self._announcer.feed(name, doc)
        except DocumentError as error:  # one that is malformed costs itself only
            if not self._malformed:
                uid = self._uid
                told = "run %s, as it is stored: %s"
                logger.error(told, uid, error, extra={"run_uid": uid})
            self._malformed += 1
        fresh = []
        for ref in self._listener.take():
            series = ref.stream, ref.data_key
            if ref.index == self._told.get(series, 0):
                self._told[series] = ref.index + 1
                fresh.append(ref)
        return fresh

    def _put(self, ref: FrameRef | None) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(ref, timeout=0.2)
            except queue.Full:
                continue
            return


class _Collected:
    """Listener that keeps the frames it is told of."""

    def __init__(self) -> None:
        self._refs: list[FrameRef] = []

    def run_started(self, start: dict[str, Any]) -> None:
        """Nothing to note."""

    def frame_announced(self, ref: FrameRef) -> None:
        """Keep the frame."""
        self._refs.append(ref)

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Nothing to note."""

    def take(self) -> list[FrameRef]:
        """What came since the last call."""
        found, self._refs = self._refs, []
        return found

"""The verdicts that reach this process, and whether the agent that gives them is well.

In the agent's own process it is a sink of it; a remote agent's documents are put in by
``RemoteVerdicts``. Plans, signals and suspenders all ask here::

    verdicts = Verdicts()
    agent = Agent(poni="detector.poni", sinks=(verdicts,))
    verdicts.watch(agent)              # knows at once when it is closed or dies
    RE.subscribe(agent)
    RE.subscribe(verdicts.announce)    # knows which frames still have no verdict
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ringwatch.plans.expected import Expected
from ringwatch.plans.heard import Heard
from ringwatch.plans.remembered import Remembered

__all__ = ["Verdicts", "Watched"]

logger = logging.getLogger(__name__)

_KEPT = 10_000
_MOST_KNOWN = 64  # runs, and streams of them
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_NEVER = "no agent was heard yet"


class Watched(Protocol):
    """An agent in this process, as far as it is watched."""

    @property
    def alive(self) -> bool:
        """Whether verdicts may be expected of it."""


class Verdicts:
    """Keeps the verdicts of the last frames, tells listeners of each, and watches.

    Any thread may ask, put and announce. Nothing here raises into a RunEngine or an
    agent.

    Parameters
    ----------
    patience_s : float
        Seconds after which a frame should have its verdict: an agent that lets one wait
        longer is in trouble.
    detector : str, optional
        As the agent's: whose images get verdicts, where a run has several.
    keep : int
        Verdicts remembered.
    """

    def __init__(
        self,
        *,
        patience_s: float = 10.0,
        detector: str | None = None,
        keep: int = _KEPT,
    ) -> None:
        if not patience_s > 0.0:
            raise ValueError(f"patience_s is {patience_s}: give seconds above 0")
        self.patience_s = patience_s
        self._heard: deque[Heard] = deque(maxlen=keep)
        self._points: Remembered[tuple[str, str, int], Heard] = Remembered(keep)
        self._listeners: list[Callable[[Heard], None]] = []
        self._lock = threading.Lock()
        self._raw: Remembered[str, str] = Remembered(_MOST_KNOWN)  # derived: raw run
        self._streams: Remembered[str, tuple[str, str]] = Remembered(_MOST_KNOWN)
        self._expected = Expected(detector)
        self._agent: Watched | None = None
        self._link: str | None = None  # trouble of the way here; None: never heard
        self._closed = False
        self._taken = 0

    # What plans ask.

    @property
    def latest(self) -> Heard | None:
        """The newest verdict; None before the first."""
        with self._lock:
            return self._heard[-1] if self._heard else None

    def of(self, run_uid: str, stream: str, seq_num: int) -> Heard | None:
        """What holds of a point: the verdict of its latest frame; None without one."""
        with self._lock:
            return self._points.get((run_uid, stream, seq_num))

    def __iter__(self) -> Iterator[Heard]:
        """All revisions that are remembered, in the order in which they came."""
        with self._lock:
            return iter(tuple(self._heard))

    @property
    def trouble(self) -> str:
        """Why no verdict may be waited for, in words; empty where the agent is well.

        It is well where it can be reached and no frame waits for longer than
        ``patience_s``. An agent that nobody ever heard is not.
        """
        with self._lock:
            away = self._why_away()
        oldest = self._expected.oldest
        if away or oldest is None:
            return away
        waited = time.monotonic() - oldest.told_at
        if waited <= self.patience_s:
            return ""
        _, stream, number = oldest.point
        return f"no verdict of point {number} ({stream}) for {waited:.1f} s"

    def _why_away(self) -> str:
        if self._closed:
            return "the agent was closed"
        if self._agent is not None and not self._agent.alive:
            return "the agent has ended"
        if self._link is None and self._agent is None:
            return _NEVER
        return self._link or ""

    def listen(self, listener: Callable[[Heard], None]) -> Callable[[], None]:
        """Have a function called with each verdict; how to end that.

        It is called in the thread that brings verdicts: it must be quick and must not
        raise.
        """
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    # Where verdicts come from: a sink of an agent, or what listens to a remote one.

    @property
    def sent(self) -> int:
        """Documents taken."""
        return self._taken

    @property
    def failed(self) -> int:
        """Always 0: a document is taken at once."""
        return 0

    @property
    def pending(self) -> int:
        """Always 0: a document is taken at once."""
        return 0

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Take a derived document; one that cannot be read is logged and left."""
        self._taken += 1
        try:
            heard = self._read(name, doc)
        except _MALFORMED as error:
            logger.error("a derived %s document cannot be read: %r", name, error)
            return
        if heard is None:
            return
        with self._lock:
            self._heard.append(heard)
            self._place(heard)
            listeners = tuple(self._listeners)
        self._expected.settle(heard)
        for listener in listeners:
            listener(heard)

    def flush(self, timeout: float) -> bool:
        """Nothing is ever pending."""
        return True

    def close(self, timeout: float = 0.0) -> bool:
        """No more verdicts will come: the agent was closed."""
        with self._lock:
            self._closed = True
        return True

    def watch(self, agent: Watched) -> None:
        """Watch an agent in this process; also one that follows another."""
        with self._lock:
            self._agent, self._closed = agent, False

    def note_link(self, trouble: str) -> None:
        """Say whether the agent can be reached: empty, or why it cannot."""
        with self._lock:
            self._link, self._closed = trouble, False

    # What the RunEngine does.

    def announce(self, name: str, doc: dict[str, Any]) -> None:
        """Note which frames are to be expected: ``RE.subscribe(verdicts.announce)``.

        Frames are those of streams with images. Never raises.
        """
        try:
            self._expected.announce(name, doc)
        except _MALFORMED as error:
            logger.error("a %s document cannot be read: %r", name, error)

    def _place(self, heard: Heard) -> None:
        point = heard.run_uid, heard.stream, heard.seq_num
        known = self._points.get(point)
        if known is None or heard.order >= known.order:
            self._points[point] = heard

    def _read(self, name: str, doc: dict[str, Any]) -> Heard | None:
        with self._lock:
            self._link = self._link or ""
            if name == "start":
                self._raw[doc["uid"]] = str(doc["raw_uid"])
            elif name == "descriptor":
                raw = self._raw.get(doc["run_start"], "")
                self._streams[doc["uid"]] = raw, str(doc["name"])
            elif name == "event":
                run_uid, stream = self._streams.get(doc["descriptor"], ("", ""))
                return Heard.of_event(doc["data"], run_uid, stream)
        return None

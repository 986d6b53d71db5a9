"""The agent: subscribe it to a RunEngine and it watches every frame."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.assembly import (
    fetches,
    finished,
    load_classifier,
    make_sinks,
    serve_metrics,
    serve_page,
    unfinished,
)
from ringwatch.agent.darks import Fetch
from ringwatch.agent.errors import (
    AgentClosedError,
    GeometryError,
)
from ringwatch.agent.inbox import GAP, Inbox
from ringwatch.agent.labelling import Classifies
from ringwatch.agent.metrics import AgentCollector
from ringwatch.agent.runs.counters import Counters
from ringwatch.agent.settings import Settings
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sinks import Sink
from ringwatch.agent.status_report import Report, report_of
from ringwatch.agent.worker import Worker

__all__ = ["COMPILES_S", "Agent", "load_classifier"]

logger = logging.getLogger(__name__)

_POLL_S = 0.05
COMPILES_S = 600.0
"""Compiling takes at most, on a slow machine."""
_COMPILING = (
    "compiled code is being loaded; on the very first use it is made, which takes a "
    "minute or two"
)
_MALFORMED = (TypeError, LookupError, AttributeError, ValueError)


class Agent:
    """A Bluesky callback that gives every detector frame a verdict.

    ``RE.subscribe(agent)`` costs the RunEngine microseconds a document; it never blocks
    and never raises. Analysis runs in a thread of its own.

    Parameters
    ----------
    settings : Settings or path, optional
        Settings, or a TOML file of them.
    classifier : str or object, optional
        As in ``Settings``, or anything with ``predict`` and ``identity``.
    sinks : tuple of Sink
        Further takers of the derived documents.
    attempt : int
        Number of this pass over a raw run: 1 live, 2 and more for replays.
    api_key : str, optional
        Of the Tiled server; by default the environment's ``TILED_API_KEY``.
    fetch_dark : callable, optional
        Gives the frames of a dark run by its uid, where it did not pass here; by
        default they are looked for on the Tiled server of the settings.
    **overrides
        Any field of ``Settings``: ``poni``, ``mask``, ``detector``, ``publish``,
        ``tiled`` ...

    Raises
    ------
    SettingsError
        Unknown or impossible settings, or the address for metrics is taken.
    GeometryError
        No geometry, or one that cannot be used.
    SinkError
        The 0MQ address is taken.

    Examples
    --------
    >>> agent = Agent(poni="detector.poni", detector="pilatus_image")
    >>> RE.subscribe(agent)
    """

    def __init__(
        self,
        settings: Settings | Path | str | None = None,
        *,
        classifier: Classifies | str | None = None,
        sinks: tuple[Sink, ...] = (),
        attempt: int = 1,
        api_key: str | None = None,
        fetch_dark: Fetch | None = None,
        **overrides: Any,
    ) -> None:
        if isinstance(classifier, str):
            overrides["classifier"] = classifier
            classifier = None
        if isinstance(settings, Settings):
            settings = load_settings(**settings.model_dump() | overrides)
        else:
            settings = load_settings(Path(settings) if settings else None, **overrides)
        if settings.poni is None:
            raise GeometryError(
                "the agent has no geometry: give it poni='detector.poni' (pyFAI-calib2 "
                "makes one from a frame of a calibrant)"
            )
        self.settings = settings
        self.analysis = Analysis(settings, classifier or load_classifier(settings))
        # 0MQ first: plans and people wait for it.
        own = make_sinks(settings, api_key)
        self._page = serve_page(self.analysis, api_key, own)
        if self._page is not None:
            own.append(self._page)
        self._sinks = [*own, *sinks]
        self._inbox = Inbox(
            max_bytes=settings.max_pending_bytes,
            max_items=settings.max_pending_documents,
        )
        fetch = fetches(settings, api_key, fetch_dark)
        self._worker = Worker(
            self.analysis,
            self._inbox,
            self._sinks,
            attempt=attempt,
            fetch_dark=fetch.dark,
            fetch_run=fetch.run,
        )
        if self._page is not None:
            worker = self._worker
            self._page.watch(worker.account_of, lambda: worker.oldest_s)
        self._refused = 0
        self._collector = AgentCollector(
            self.analysis,
            self._worker,
            self._inbox,
            self._sinks,
            lambda: self._refused,
        )
        self._metrics = serve_metrics(settings, self._collector, own)
        for left in unfinished(own, self.analysis):
            self._worker.resume(left)
        self._worker.remember(finished(own))
        self._warned = False
        self._worker.begin()

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take one Bluesky document. Never blocks, never raises."""
        try:
            accepted = self._inbox.put(name, doc)
        except _MALFORMED:
            self._refused += 1
            logger.error("malformed %r document left out: %.200r", name, doc)
            return
        if not accepted and not self._warned:
            self._warned = True
            logger.error("the agent is closed: its verdicts end here")

    def wait_idle(self, timeout: float = 30.0) -> bool:
        """Wait until the verdicts of all frames so far are out; whether they are.

        False early where Tiled takes nothing: a spool keeps what waits for it.

        Before the first frame: until compiled code is loaded (on the very first use it
        is compiled, which takes a minute or two: a warning says so where the time is
        over before).
        """
        deadline = time.monotonic() + timeout
        while not self._inbox.wait_idle(_POLL_S) or self._worker.waits:
            if time.monotonic() > deadline or not self._worker.alive:
                if not self._worker.ready:
                    logger.warning("no verdict yet: %s", _COMPILING)
                return False
            if self._worker.waits:
                time.sleep(_POLL_S)
        left = [s.flush(max(0.0, deadline - time.monotonic())) for s in self._sinks]
        return all(left)

    def feed(self, name: str, doc: dict[str, Any], *, patient: bool = True) -> None:
        """Take a document as a call does, but wait while the queue is full.

        Parameters
        ----------
        name, doc
            As Bluesky emits them.
        patient : bool
            Whether the source waits with us, as a replay does: then nothing is shed.

        Raises
        ------
        AgentClosedError
            Where the agent is closed.
        """
        try:
            while not self._inbox.offer(name, doc, _POLL_S, patient=patient):
                if self._inbox.closed or not self._worker.alive:
                    raise AgentClosedError(
                        "the agent is closed: make a new one to go on"
                    )
        except _MALFORMED:
            self._refused += 1
            raise

    def documents_lost(self, run_uid: str, why: str) -> bool:
        """Tell that documents of a run were lost on the way, after those fed so far.

        From here on its verdicts are provisional; the final ones come from Tiled. False
        once the agent is closed.
        """
        return self._inbox.put(GAP, {"run": run_uid, "why": why})

    def close(self, timeout: float = 30.0) -> bool:
        """Work off what waits, hand over the results, stop; whether all went out.

        The time counts from when compiled code is loaded: documents that came while it
        is compiled, on the very first use, are not given up for that.
        """
        if len(self._inbox) and not self._worker.ready:
            logger.warning("documents wait: %s", _COMPILING)
            patience = time.monotonic() + COMPILES_S
            while not self._worker.ready and self._worker.alive:
                if time.monotonic() > patience:
                    break
                time.sleep(_POLL_S)
        deadline = time.monotonic() + timeout
        self._inbox.close()
        ended = self._worker.join(timeout)
        if not ended:
            logger.error(
                "the worker did not finish within %.0f s: %d documents were not worked "
                "off",
                timeout,
                len(self._inbox),
            )
        left = [s.close(max(0.1, deadline - time.monotonic())) for s in self._sinks]
        if self._metrics is not None:
            self._metrics.close()
        refused = [sink for sink in self._sinks if sink.failed]
        return ended and not len(self._inbox) and all(left) and not refused

    @property
    def counters(self) -> Counters:
        """Frames announced, analysed and unknown, so far."""
        return self._worker.counters

    @property
    def alive(self) -> bool:
        """Whether verdicts may be expected: not closed, and the worker runs."""
        return self._worker.alive and not self._inbox.closed

    @property
    def report(self) -> Report:
        """How it is: a state, what is wrong with its remedy, numbers."""
        return report_of(self.metrics_url or "", self._collector.collect())

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Uids of raw runs that came, or were told of, and are not through yet."""
        waiting = self._inbox.runs  # first: what goes over to the worker is in both
        return tuple(dict.fromkeys((*self._worker.open_runs, *waiting)))

    @property
    def pending(self) -> int:
        """Documents that wait for the worker."""
        return len(self._inbox)

    @property
    def address(self) -> str | None:
        """0MQ address at which verdicts are published; None without."""
        return next(
            (str(s.address) for s in self._sinks if hasattr(s, "address")), None
        )

    @property
    def metrics_url(self) -> str | None:
        """Where metrics are served; None without."""
        return None if self._metrics is None else self._metrics.url

    @property
    def page_url(self) -> str | None:
        """Where the web page is; None without."""
        return None if self._page is None else self._page.url

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

"""Documents out of Tiled while others write them: for runs that we see nowhere else.

Each run is read from Tiled itself; websockets only say when to look (at intervals where
there are none). So nothing is lost when a connection is, and a gap in the numbers of
notices leaves none in the documents: the agent is not told of it.

What is said of a run while it goes on is provisional all the same. Tiled does not keep
which frame belongs to which event, and writers fill tables and arrays in batches. The
final verdicts come from the stored run, once it has stopped, in a second pass.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from ringwatch.agent.sources.audit import FEED_ERRORS, Gap
from ringwatch.agent.sources.tiled import abandoned
from ringwatch.agent.sources.tiled_asked import AskedRuns
from ringwatch.agent.sources.tiled_bells import Bells
from ringwatch.agent.sources.tiled_catalogue import NewRuns
from ringwatch.agent.sources.tiled_feeder import (
    Feeder,
    TiledSourceCounters,
    TiledSourceError,
)
from ringwatch.agent.sources.tiled_follow import FollowedRun
from ringwatch.agent.sources.tiled_server import await_container
from ringwatch.agent.tiled_client import ClientError, disconnect, is_address, public

# isort: split
import httpx

__all__ = ["TiledSource", "TiledSourceCounters", "TiledSourceError"]

logger = logging.getLogger(__name__)

MOST_RUNS = 64
SLOW_S = 5.0
"""Everything is looked at so often even while websockets work, seconds."""
PATIENCE_S = 600.0
"""How long a run may be unreadable on a server that answers, seconds."""
_RETRY_S = 2.0
_CLOSE_S = 1.0
_REASON = "it is read from Tiled while it is written: final verdicts come after it"
_SERVER_ERRORS = (httpx.HTTPError, ClientError, OSError)


class TiledSource:
    """Follows new and open runs of a catalogue, and feeds their documents in order.

    Memory is bounded: 64 runs at a time, of each one table and one slice of pixels.

    Parameters
    ----------
    uri : str
        Tiled server.
    feed : callable
        Given name and document, one by one; it may block, and may raise
        ``RingwatchError``. It must not change the document.
    container : str
        Of the raw runs.
    api_key : str, optional
        Secret. Without it the environment variable ``TILED_API_KEY`` counts.
    gap : callable, optional
        Given uid of a run and why what is fed of it is not all there is, or not in
        order for certain. Called after its start document was fed.
    detector, roots
        As in ``Settings``; frames in files elsewhere come through Tiled.
    derived : str, optional
        Container of our own results: open runs that are done with there are left alone.
    poll_s, abandon_after_s : float
        Seconds from look to look where no websockets are; seconds without news.
    comes_elsewhere : callable, optional
        Given the uid of a run, whether its documents come by another way. If given,
        only those of the others are followed that ``follow`` is told of.
    """

    def __init__(
        self,
        uri: str,
        feed: Callable[[str, dict[str, Any]], None],
        *,
        container: str = "raw",
        api_key: str | None = None,
        gap: Gap | None = None,
        detector: str | None = None,
        roots: tuple[Path, ...] = (Path("/"),),
        derived: str | None = None,
        poll_s: float = 1.0,
        abandon_after_s: float = 86_400.0,
        comes_elsewhere: Callable[[str], bool] | None = None,
    ) -> None:
        self._uri, self._api_key, self._container = uri, api_key, container
        self._ending, self._connected = threading.Event(), threading.Event()
        self._feeder = Feeder(feed, gap, self._ending)
        self.counters = self._feeder.counters
        self._detector, self._roots = detector, roots
        self._poll_s, self._abandon_after_s = poll_s, abandon_after_s
        self._runs: OrderedDict[str, FollowedRun] = OrderedDict()
        self._asked = AskedRuns(comes_elsewhere or self._runs.__contains__)
        self._only_asked = comes_elsewhere is not None
        now = time.time()
        self._news = NewRuns(begun=now, oldest=now - abandon_after_s, container=derived)
        self._bells = Bells(self.counters)
        self._listed = 0.0
        self._thread: threading.Thread | None = None
        self.addresses: tuple[str, ...] = (f"{public(uri)}/{container}",)

    def begin(self) -> None:
        """Start to watch. A server that is down is waited for.

        Raises
        ------
        TiledSourceError
            If the address is malformed, or where it runs already.
        """
        if not is_address(self._uri):
            raise TiledSourceError(
                f"{public(self._uri)!r} is no address of a Tiled server: give "
                "http://host:port"
            )
        if self._thread is not None:
            raise TiledSourceError("it runs already, or did: make a new one")
        self._thread = threading.Thread(
            target=self._watch, name="ringwatch-tiled-source", daemon=True
        )
        self._thread.start()

    def wait_connected(self, timeout: float) -> bool:
        """Whether the catalogue was read once, within ``timeout`` seconds."""
        return self._connected.wait(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Look no more and stop; from any thread.

        Whether nothing is left that was read but not fed. A server that hangs is left
        to itself after a second; a ``feed`` that blocks, after ``timeout`` seconds.
        """
        now = time.monotonic()
        patience, deadline = now + min(_CLOSE_S, timeout), now + timeout
        self._ending.set()
        self._bells.wake()
        self._bells.take_down()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        while thread.is_alive() and time.monotonic() < (
            deadline if self._feeder.feeding else patience
        ):
            thread.join(0.02)
        return not (thread.is_alive() and self._feeder.feeding)

    def follow(self, uid: str) -> None:
        """Follow a run under way, by its uid or a descriptor's; from any thread."""
        if self._asked.ask(uid):
            self._bells.wake()

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Runs whose stop has not come yet, oldest first."""
        return tuple(self._runs)

    @property
    def failed(self) -> bool:
        """Whether it fell silent though nobody closed it: a fault of its own."""
        thread = self._thread
        return not (thread is None or thread.is_alive() or self._ending.is_set())

    def __enter__(self) -> TiledSource:
        self.begin()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # The thread that reads and feeds.

    def _watch(self) -> None:
        where = self._uri, self._api_key, self._container
        runs = await_container(*where, self._is_patient)
        if runs is not None:
            try:
                self._follow(runs)  # until it ends
            finally:
                self._bells.take_down()
                disconnect(runs)

    def _is_patient(self, error: Exception) -> bool:
        """Tell why there is no catalogue; whether it is still wanted in a while."""
        why = f"{error}; it is tried again until it works"
        self._feeder.complain("server", why, type(error).__name__)
        return not self._ending.wait(_RETRY_S)

    def _follow(self, runs: Any) -> None:
        if not self._only_asked:
            self._bells.hang(runs, "")
        rung = {""}
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                self._look(runs, rung)
            except (*_SERVER_ERRORS, *FEED_ERRORS) as error:
                why = f"Tiled fails ({type(error).__name__}: {error}): what is new is "
                self._feeder.complain("server", why + "read when it answers again")
                self._ending.wait(_RETRY_S)
                rung = {"", *self._runs}
                continue
            if self._feeder.well("server"):
                self._bells.retry()
            # The server is asked for half of the time at most.
            self._ending.wait(min(1.0, time.monotonic() - began))
            rung = self._wait()

    def _wait(self) -> set[str]:
        """Where to look: where a bell rang, or everywhere after a while."""
        interval = SLOW_S if self._bells.work else self._poll_s
        rung = self._bells.wait(interval)
        if not rung:
            return {"", *self._runs}
        looked = {uid: run.looked for uid, run in self._runs.items()}
        looked[""] = self._listed
        late = time.monotonic() - SLOW_S
        return rung | {where for where, when in looked.items() if when < late}

    def _look(self, runs: Any, rung: set[str]) -> None:
        """Read what is new where a bell rang."""
        if "" in rung:
            self._listed = time.monotonic()
            news = () if self._only_asked else self._news.take(runs)
            for node in chain(self._asked.take(runs), news):
                rung = rung | {self._take_up(node)}
            self._connected.set()
        for run in [run for uid, run in self._runs.items() if uid in rung]:
            self._read(run)
            for node in run.nodes:
                self._bells.hang(node, run.uid)

    def _take_up(self, node: Any) -> str:
        run = FollowedRun(node, detector=self._detector, roots=self._roots)
        if len(self._runs) >= MOST_RUNS:
            oldest = next(iter(self._runs.values()))
            self._give_up(oldest, f"no stop came, and {MOST_RUNS} newer runs began")
        self._runs[run.uid] = run
        self.counters.runs += 1
        return run.uid

    def _read(self, run: FollowedRun) -> None:
        """Feed what is new of a run."""
        self.counters.looks += 1
        told, run.looked = run.told, time.monotonic()
        try:
            for name, doc in run.news():
                if self._ending.is_set():
                    return
                self._feeder.feed(name, doc)
                if name == "start" and not run.is_stored:
                    self._feeder.tell(run.uid, _REASON)
        except httpx.TransportError:
            raise  # all runs are on this server
        except (*_SERVER_ERRORS, *FEED_ERRORS) as error:
            self._failed(run, error)
        else:
            run.failing_since = None
            if run.told > told:
                run.heard = run.looked
            if run.over or run.looked - run.heard > self._abandon_after_s:
                self._forget(run)

    def _failed(self, run: FollowedRun, error: Exception) -> None:
        """Try again later, but not for ever: a run may be damaged."""
        if isinstance(error.__cause__, httpx.TransportError):
            raise error
        why = f"run {run.uid} cannot be read ({type(error).__name__}: {error})"
        self._feeder.complain(run.uid, why)
        run.failing_since = run.failing_since or run.looked
        if run.looked - run.failing_since > PATIENCE_S:
            self._give_up(run, why)

    def _give_up(self, run: FollowedRun, why: str) -> None:
        """Follow a run no longer, and leave it to the second pass."""
        self.counters.given_up += 1
        logger.error("Tiled source: run %s is given up: %s", run.uid, why)
        self._forget(run)
        if run.told:
            self._feeder.tell(run.uid, why)
            self._feeder.feed("stop", abandoned(run.uid, time.time(), why))

    def _forget(self, run: FollowedRun) -> None:
        self._runs.pop(run.uid, None)
        self._feeder.well(run.uid)
        self._bells.take_down(run.uid)

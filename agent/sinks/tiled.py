"""Results into Tiled: batched, in a thread of their own, never on the hot path."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.archive import FAILURES, Archive
from ringwatch.agent.sinks.queued import QueuedSink
from ringwatch.agent.sinks.stored_run import StoredRun
from ringwatch.agent.tiled_client import is_transient, public

# isort: split
import httpx

__all__ = ["TiledSink"]

LONGEST_BACKOFF_S = 10.0
HURRIED_BACKOFF_S = 0.5
MOST_ROWS = 500
MOST_TRIES = 5

logger = logging.getLogger(__name__)


class TiledSink(QueuedSink):
    """Stores derived runs in a container of a Tiled server, while they go on.

    A server that is down - at the start or later - costs nothing but time: documents
    wait in memory, up to ``limit`` of them, and are written in order once it is back.
    What the server refuses is given up and counted, with the rest of that run.

    Parameters
    ----------
    uri : str
        ``http://host:port``. Not contacted here but in the sink's thread.
    api_key : str, optional
        Secret. Without it the environment variable ``TILED_API_KEY`` counts. Never
        logged.
    container : str
        Where derived runs go; made if it is not there.
    batch : int
        Events that are written at once.
    interval : float
        Seconds after which fewer are written.
    limit : int
        Most documents pending; with 2000 bins each takes about 40 kB.

    Raises
    ------
    SinkError
        If ``uri`` is not an address of a Tiled server.
    """

    def __init__(
        self,
        uri: str,
        *,
        api_key: str | None = None,
        container: str = "analysis",
        batch: int = 250,
        interval: float = 1.0,
        limit: int = 4000,
    ) -> None:
        super().__init__(f"Tiled sink {public(uri)}", limit)
        self._archive = Archive(uri, api_key=api_key, container=container)
        self._batch, self._interval = batch, interval
        self._runs: dict[str, StoredRun] = {}  # by run uid
        self._of_descriptor: dict[str, str] = {}  # run uid by descriptor uid
        self._broken: set[str] = set()  # uids of runs that are given up
        self._backlog: deque[NamedDocument] = deque()
        self._waiting_since = 0.0
        self._retry_at = 0.0
        self._tries = 0
        self._begin()

    def _work(self, taken: list[NamedDocument]) -> float:
        now = time.monotonic()
        if taken and not self._backlog:
            self._waiting_since = now
        self._backlog.extend(taken)
        if self._hurried:
            self._retry_at = min(self._retry_at, now + HURRIED_BACKOFF_S)
        if now < self._retry_at:
            return self._retry_at - now
        # Asked before each: the first events of a run, which come along with its start,
        # wait for more. They decide for good in what portions a server keeps arrays.
        while self._due(now) and not self._late:
            if not self._write_head():
                return self._retry_at - time.monotonic()
        return self._interval

    def _end(self) -> None:
        self._archive.close()

    def _due(self, now: float) -> bool:
        """Whether to write now: hurried, enough, long enough, or more than events."""
        return bool(self._backlog) and (
            self._hurried
            or len(self._backlog) >= self._batch
            or now - self._waiting_since >= self._interval
            or any(name != "event" for name, _ in self._backlog)
        )

    def _write_head(self) -> bool:
        """Write the oldest documents; whether they are off the backlog."""
        head = self._head()
        name, uid = head[0][0], self._run_of(*head[0])
        if uid in self._broken:
            self._drop(head)
            return True
        try:
            self._write(name, uid, [doc for _, doc in head])
        except FAILURES as error:
            return self._fail(error, head, uid)
        if self._tries:
            logger.info("%s: back after %d attempts", self.name, self._tries)
        self._tries = 0
        for _ in head:
            self._backlog.popleft()
        self._settle(sent=len(head))
        return True

    def _head(self) -> list[NamedDocument]:
        """The oldest document; if an event, all that follow of the same descriptor."""
        first = self._backlog[0]
        head = [first]
        if first[0] == "event":
            for name, doc in list(self._backlog)[1:MOST_ROWS]:
                if name != "event" or doc["descriptor"] != first[1]["descriptor"]:
                    break
                head.append((name, doc))
        return head

    def _run_of(self, name: str, doc: dict[str, Any]) -> str:
        if name == "start":
            return str(doc["uid"])
        if name == "event":
            return self._of_descriptor.get(doc["descriptor"], "")
        if name == "descriptor":
            self._of_descriptor[doc["uid"]] = str(doc["run_start"])
        return str(doc["run_start"])

    def _write(self, name: str, uid: str, docs: list[dict[str, Any]]) -> None:
        if name == "start":
            self._runs[uid] = self._archive.open(docs[0])
        elif name == "descriptor":
            self._runs[uid].add_stream(docs[0])
        elif name == "event":
            self._runs[uid].append(docs)
        elif name == "stop":
            self._runs[uid].stop(docs[0])
            self._forget(uid)

    def _fail(self, error: Exception, head: list[NamedDocument], uid: str) -> bool:
        # A server that answers 500 to the same documents again and again will go on so.
        poison = isinstance(error, httpx.HTTPStatusError) and self._tries >= MOST_TRIES
        # Without a catalogue nothing is known of this run: whatever it was, try again.
        if not self._archive.ready or (is_transient(error) and not poison):
            delay = min(0.5 * 2**self._tries, LONGEST_BACKOFF_S)
            self._retry_at = time.monotonic() + delay
            if not self._tries:
                logger.warning(
                    "%s: %s; documents wait in memory (%d of at most %d)",
                    self.name,
                    self._archive.told(error),
                    self.pending,
                    self.limit,
                )
            self._tries += 1
            return False
        logger.error(
            "%s refused a %s document: %s; the rest of run %s is given up",
            self.name,
            head[0][0],
            self._archive.told(error),
            uid or "(unknown)",
        )
        if uid:
            self._broken.add(uid)
        self._tries = 0
        self._drop(head)
        return True

    def _drop(self, head: list[NamedDocument]) -> None:
        for name, doc in head:
            self._backlog.popleft()
            if name == "stop":
                self._forget(str(doc["run_start"]))
        self._settle(failed=len(head))

    def _forget(self, uid: str) -> None:
        self._runs.pop(uid, None)
        self._broken.discard(uid)
        self._of_descriptor = {
            descriptor: run
            for descriptor, run in self._of_descriptor.items()
            if run != uid
        }

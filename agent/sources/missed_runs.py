"""Raw runs of which nothing came here: those of the time when no agent was running."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ringwatch.agent.settings import Settings
from ringwatch.agent.sources.derived import is_analysed
from ringwatch.agent.sources.tiled_catalogue import start_of
from ringwatch.agent.tiled_client import connect, disconnect

# isort: split
import httpx
from tiled.queries import Key

from ringwatch.agent.errors import MALFORMED, ReplayError

__all__ = ["MARK_S", "CatchUp", "LastSeen", "Seen", "missed_runs", "not_through"]

MARK_S = 5.0
"""How often an agent notes that it is there, seconds."""
RETRY_S = 30.0

logger = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What an agent noted.

    Attributes
    ----------
    time : float
        Until when it was there, seconds since the epoch.
    open_runs : tuple of str
        Uids of raw runs that it was not through with.
    """

    time: float
    open_runs: tuple[str, ...]


class LastSeen:
    """A file that says until when an agent was there, and what it had not done yet.

    Parameters
    ----------
    path : Path
        Made, with its folder, by the first ``mark``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failing = False

    def read(self) -> Seen | None:
        """What the last agent noted; None where none was there before."""
        try:
            noted = json.loads(self._path.read_text())
            open_runs = tuple(str(uid) for uid in noted.get("open_runs", ()))
            return Seen(float(noted["time"]), open_runs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def mark(self, open_runs: Iterable[str], when: float | None = None) -> None:
        """Note that an agent is there, and which raw runs it is not through with.

        A disk that is full costs nothing: the next agent looks through a longer time.
        """
        noted = {"time": when or time.time(), "open_runs": list(open_runs)}
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(noted))
            fresh.replace(self._path)
        except OSError as error:
            if not self._failing:
                logger.error("%s cannot be written: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False


class CatchUp:
    """Tells an agent what the last one missed, and notes what this one would.

    Until Tiled has told what was missed, what the last one noted stays noted.

    Parameters
    ----------
    path : Path
        File of the notes.
    settings : Settings
    lost : callable
        Given uid and reason for each run: ``Agent.documents_lost``.
    open_runs : callable
        Gives the uids of raw runs that the agent is not through with.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        lost: Callable[[str, str], bool],
        open_runs: Callable[[], Iterable[str]],
    ) -> None:
        self._seen, self._settings = LastSeen(path), settings
        self._lost, self._open_runs = lost, open_runs
        self._noted = self._seen.read() if settings.tiled else None
        self._until = time.time()

    def begin(self, ending: threading.Event) -> None:
        """Ask Tiled in a thread of its own, until it tells or ``ending`` is set."""
        if self._noted is not None:
            look = partial(self._look, self._noted, ending)
            name = "ringwatch-catch-up"
            threading.Thread(target=look, name=name, daemon=True).start()

    def mark(self, when: float | None = None) -> None:
        """Note that the agent is, or was, there; ``when`` is by default now."""
        noted, open_runs = self._noted, self._open_runs()
        if noted is None:
            self._seen.mark(open_runs, when)
        else:
            both = dict.fromkeys((*noted.open_runs, *open_runs))
            self._seen.mark(both, noted.time)

    def _look(self, noted: Seen, ending: threading.Event) -> None:
        where = str(self._settings.tiled), os.environ.get("TILED_API_KEY")
        container = self._settings.tiled_container
        while not ending.is_set():
            try:
                left = not_through(*where, noted.open_runs, container=container)
                missed = missed_runs(
                    *where,
                    since=noted.time - MARK_S,
                    until=self._until,
                    raw_container=self._settings.raw_container,
                    container=container,
                )
            except ReplayError as error:
                logger.warning("%s: asked again in %.0f s", error, RETRY_S)
                ending.wait(RETRY_S)
                continue
            told = [self._lost(uid, "the agent was restarted") for uid in left]
            why = "no agent was running when it began"
            told += [self._lost(uid, why) for uid in missed]
            if all(told):  # else it was closed meanwhile
                self._noted = None
            return


def missed_runs(
    uri: str,
    api_key: str | None,
    *,
    since: float,
    until: float,
    raw_container: str,
    container: str,
) -> list[str]:
    """Uids of raw runs begun in a span of time that have no derived run, oldest first.

    ``since`` and ``until`` are in seconds since the epoch. Runs whose derived run waits
    in a spool are among them.

    Raises
    ------
    ReplayError
        Where Tiled cannot be asked.
    """
    with _tiled(uri, api_key) as root:
        if raw_container not in root:
            return []
        found = root[raw_container].search(Key("time") > since)
        found = found.search(Key("time") < until)
        starts = [start for run in found.values() if (start := start_of(run))]
        starts.sort(key=lambda start: float(start["time"]))
        known: set[Any] = set()
        if container in root:
            derived = root[container].search(Key("time") > since)
            known = {start_of(run).get("raw_uid") for run in derived.values()}
        return [str(start["uid"]) for start in starts if start["uid"] not in known]


def not_through(
    uri: str, api_key: str | None, uids: Iterable[str], *, container: str
) -> list[str]:
    """Those raw runs of which Tiled has no analysis that came to its end.

    Raises
    ------
    ReplayError
        Where Tiled cannot be asked.
    """
    with _tiled(uri, api_key) as root:
        return [uid for uid in uids if not is_analysed(root, container, uid)]


@contextmanager
def _tiled(uri: str, api_key: str | None) -> Iterator[Any]:
    try:
        root = connect(uri, api_key)
        try:
            yield root
        finally:
            disconnect(root)
    except (httpx.HTTPError, OSError, RuntimeError, *MALFORMED) as error:
        raise ReplayError(
            f"Tiled cannot be asked for missed runs ({type(error).__name__}: {error})"
        ) from error

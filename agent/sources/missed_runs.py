"""Raw runs of which nothing came here: those of the time when no agent was running."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from ringwatch.agent.tiled_client import connect, disconnect

# isort: split
import httpx
from tiled.queries import Key

from ringwatch.agent.errors import ReplayError

__all__ = ["LastSeen", "missed_runs"]

logger = logging.getLogger(__name__)


class LastSeen:
    """A file that says until when an agent was there.

    Parameters
    ----------
    path : Path
        Made, with its folder, by the first ``mark``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failing = False

    def read(self) -> float | None:
        """Seconds since the epoch; None where no agent was there before."""
        try:
            return float(json.loads(self._path.read_text())["time"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def mark(self) -> None:
        """Note that an agent is there now.

        A disk that is full costs nothing: the next agent looks through a longer time.
        """
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"time": time.time()}))
            fresh.replace(self._path)
        except OSError as error:
            if not self._failing:
                logger.error("%s cannot be written: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False


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

    ``since`` and ``until`` are in seconds since the epoch.

    Raises
    ------
    ReplayError
        Where Tiled cannot be asked.
    """
    try:
        root = connect(uri, api_key)
        try:
            if raw_container not in root:
                return []
            found = root[raw_container].search(Key("time") > since)
            found = found.search(Key("time") < until)
            starts = [run.metadata["start"] for run in found.values()]
            known = set()
            if container in root:
                derived = root[container].search(Key("time") > since)
                known = {run.metadata["start"]["raw_uid"] for run in derived.values()}
        finally:
            disconnect(root)
    except (httpx.HTTPError, OSError, RuntimeError, KeyError, ValueError) as error:
        raise ReplayError(
            f"Tiled cannot be asked for missed runs ({type(error).__name__}: {error})"
        ) from error
    starts.sort(key=lambda start: float(start["time"]))
    return [str(start["uid"]) for start in starts if start["uid"] not in known]

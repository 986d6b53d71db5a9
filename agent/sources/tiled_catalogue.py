"""New raw runs in a Tiled catalogue: those that came since the last look."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from ringwatch.agent.sources.derived import passes

# isort: split
# After our tiled_client, which sets Tiled's retries before Tiled is imported.
from tiled.client.constructors import from_context

__all__ = ["NewRuns", "start_of"]

PAGE = 20
MOST_AT_ONCE = 2000
MOST_KNOWN = 20_000


class NewRuns:
    """Finds runs by the order in which Tiled made them, not by their own clock.

    So a run is found that was stored late, or by a machine whose clock is wrong.

    Parameters
    ----------
    begun : float
        Runs that were over before this are nobody's business here, seconds since the
        epoch.
    oldest : float
        Runs that began before this are taken for abandoned where they have no stop.
    container : str, optional
        Of derived runs: runs that are done with there are not taken up again.
    """

    def __init__(
        self, *, begun: float, oldest: float, container: str | None = None
    ) -> None:
        self._begun, self._oldest, self._container = begun, oldest, container
        self._known: OrderedDict[str, None] = OrderedDict()
        self._first = True

    def take(self, runs: Any) -> Iterator[Any]:
        """Runs that were not given yet, oldest first.

        Raises
        ------
        httpx.HTTPError, ReplayError
            If the server fails; those not given are given next time.
        """
        fresh = self._fresh(runs)
        for key, node in reversed(fresh.items()):
            if self._is_wanted(runs, node):
                yield node
            self._known[key] = None
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        self._first = False

    def _fresh(self, runs: Any) -> dict[str, Any]:
        """Unknown runs, newest first."""
        found: dict[str, Any] = {}
        for first in range(0, MOST_AT_ONCE, PAGE):
            page = runs.items()[-1 - first : -1 - first - PAGE : -1]
            fresh = {key: node for key, node in page if key not in self._known}
            found |= fresh
            all_old = all(_began(node) < self._oldest for _, node in page)
            if len(page) < PAGE or len(fresh) < len(page) or (self._first and all_old):
                break
        return found

    def _is_wanted(self, runs: Any, node: Any) -> bool:
        began = _began(node)
        start = start_of(node)
        if not start:
            return False  # no run
        if not self._first or began >= self._begun:
            return True
        if node.metadata.get("stop") or began < self._oldest:
            return False
        if self._container is None:
            return True
        context = from_context(runs.context)
        derived = passes(context, self._container, start["uid"])
        return not any(run.metadata.get("stop") for run in derived)


def start_of(node: Any) -> Mapping[str, Any]:
    """The start document of a run in Tiled; empty where the node is no run."""
    start = node.metadata.get("start")
    named = isinstance(start, Mapping) and isinstance(start.get("uid"), str)
    return start if named else {}


def _began(node: Any) -> float:
    try:
        return float(start_of(node).get("time", time.time()))
    except (TypeError, ValueError):
        return time.time()

"""Runs that are looked for in a Tiled catalogue because somebody asked for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from ringwatch.agent.sources.tiled import run_of
from ringwatch.agent.sources.tiled_catalogue import start_of

__all__ = ["AskedRuns"]

MOST_ASKED = 64
MOST_DONE = 1000
MOST_SEEN = 200
PAGE = 20
LOOKS = 60


class AskedRuns:
    """Finds runs under way by their own uid, or by that of one of their descriptors.

    The latter is all that an event says of its run. It tells this run from those that
    are without a stop because their RunEngine crashed.

    Parameters
    ----------
    comes_elsewhere : callable
        Given the uid of a run, whether its documents come by another way: then it is
        not given.
    """

    def __init__(self, comes_elsewhere: Callable[[str], bool]) -> None:
        self._comes_elsewhere = comes_elsewhere
        self._asked: OrderedDict[str, int] = OrderedDict()  # looks left
        self._done: OrderedDict[str, None] = OrderedDict()

    def ask(self, uid: str) -> bool:
        """Look for a run; from any thread. Whether it was not asked for before.

        What is not in the catalogue yet is looked for ``LOOKS`` times.
        """
        if uid in self._done or uid in self._asked:
            return False
        self._asked[uid] = LOOKS
        while len(self._asked) > MOST_ASKED:
            self._asked.popitem(last=False)
        return True

    def take(self, runs: Any) -> Iterator[Any]:
        """Runs that were asked for, have begun and not stopped; each is given once.

        Raises
        ------
        httpx.HTTPError
            If the server fails; those not given are given next time.
        """
        for uid in tuple(self._asked):
            left = self._asked.pop(uid, 0) - 1  # others may ask meanwhile
            if left > 0:  # at the end, behind those that it may keep waiting
                self._asked[uid] = left
            node = run_of(runs, uid)
            if node is None:  # not "or": a run without streams is empty
                node = _with_descriptor(runs, uid)
            if node is None and left > 0:
                continue
            self._let_be(uid)
            run_uid = "" if node is None else start_of(node)["uid"]
            if self._is_wanted(run_uid, uid) and not node.metadata.get("stop"):
                yield node
            self._let_be(run_uid)

    def _is_wanted(self, run_uid: str, uid: str) -> bool:
        is_news = run_uid == uid or run_uid not in self._done
        return bool(run_uid) and is_news and not self._comes_elsewhere(run_uid)

    def _let_be(self, uid: str) -> None:
        self._asked.pop(uid, None)
        self._done[uid] = None
        while len(self._done) > MOST_DONE:
            self._done.popitem(last=False)


def _with_descriptor(runs: Any, uid: str) -> Any:
    """The run under way that has a descriptor of this uid, None where there is none."""
    for first in range(0, MOST_SEEN, PAGE):
        page = runs.items()[-1 - first : -1 - first - PAGE : -1]
        for _, node in page:
            is_open = start_of(node) and not node.metadata.get("stop")
            streams = node.base.values() if is_open else ()
            if any(uid in _descriptors(stream) for stream in streams):
                return node
        if len(page) < PAGE:
            break
    return None


def _descriptors(stream: Any) -> Iterator[str]:
    """Uids of a stream's descriptors: after the first, those that changed settings."""
    told = stream.metadata
    yield str(told.get("uid"))
    for later in told.get("_config_updates") or ():
        yield str(later.get("uid"))

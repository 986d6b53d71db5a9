"""Stored documents through an agent: as fast as it takes them, and all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from ringwatch.agent.agent import Agent
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.results import NamedDocument

__all__ = ["PATIENCE_S", "analyse_stored"]

PATIENCE_S = 120.0
"""How long nothing may move before a replay is given up, seconds.

Twice what the agent waits for a frame that is not in its file at the most patient
setting. There is no limit on the whole: a long run takes long.
"""

_POLL_S = 0.5


def analyse_stored(
    agent: Agent,
    documents: Iterable[NamedDocument],
    *,
    console: Console,
    patience_s: float = PATIENCE_S,
) -> None:
    """Feed documents to an agent until their verdicts are out, and close it.

    Nothing is shed: a full queue makes the reading wait. A terminal gets a bar.

    Parameters
    ----------
    agent : Agent
        Closed at the end, also after an error.
    documents : iterable of (name, document)
    console : rich.console.Console
        Where the bar goes.
    patience_s : float
        See ``PATIENCE_S``.

    Raises
    ------
    ReplayError
        If not all frames got a verdict, or not all verdicts went out.
    AgentClosedError
        If the agent was closed, or its worker died.
    """
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        Elapsed(),
    )
    drained = False
    try:
        with Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress:
            bar = _Bar(agent, progress)
            for name, doc in documents:
                agent.feed(name, doc)
                bar.fed()
            bar.end_is_known()
            drained = _wait(agent, bar, patience_s)
    finally:
        drained = agent.close() and drained
    counters = agent.counters
    if not drained or counters.lost:
        raise ReplayError(
            f"the replay is not complete: {counters.announced} frames were announced, "
            f"{counters.analysed + counters.unknown} have a verdict, "
            f"{agent.pending} documents wait; see the log for what failed or stood "
            "still, then replay again"
        )


class _Bar:
    """Documents worked off of those fed, and frames done of those announced."""

    def __init__(self, agent: Agent, progress: Progress) -> None:
        self._agent = agent
        self._progress = progress
        self._fed = 0
        self._task = progress.add_task("reading", total=None)

    def fed(self) -> None:
        self._fed += 1
        if self._fed % 10 == 0:  # a run of small documents costs less than its bar
            self.draw()

    def end_is_known(self) -> None:
        self._progress.update(self._task, total=self._fed)
        self.draw()

    def draw(self) -> None:
        counters = self._agent.counters
        done = counters.analysed + counters.unknown
        self._progress.update(
            self._task,
            completed=self._fed - self._agent.pending,
            description=f"{done} of {counters.announced} frames",
        )


def _wait(agent: Agent, bar: _Bar, patience_s: float) -> bool:
    """Wait until all verdicts are out or nothing moves any more; whether all are."""
    seen: Any = None
    moved = time.monotonic()
    while not agent.wait_idle(_POLL_S):
        bar.draw()
        counters = agent.counters
        state = (agent.pending, counters.announced, counters.analysed, counters.unknown)
        now = time.monotonic()
        if state != seen:
            seen, moved = state, now
        elif now - moved > patience_s:
            return False
        time.sleep(_POLL_S / 10)  # what cannot come out is told at once: no busy wait
    return True

"""Stored documents through an agent: at some pace, and all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
from rich.text import Text

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
_DRAW_S = 0.1


def analyse_stored(
    agent: Agent,
    documents: Iterable[NamedDocument],
    *,
    console: Console,
    patience_s: float = PATIENCE_S,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Feed documents to an agent until their verdicts are out, and close it.

    Nothing is shed: a full queue makes the reading wait. A terminal gets a bar with the
    frames done of all, where the source knows (``StoredDocuments``) how many there are.

    Parameters
    ----------
    agent : Agent
        Closed at the end, also after an error.
    documents : iterable of (name, document)
    console : rich.console.Console
        Where the bar goes.
    patience_s : float
        See ``PATIENCE_S``.
    stopped : callable
        Asked between documents: whether somebody wants the replay to end.

    Raises
    ------
    ReplayError
        If not all frames got a verdict, or not all verdicts went out.
    AgentClosedError
        If the agent was closed, or its worker died.
    """
    frames: int | None = getattr(documents, "frames", None)
    drained = False
    try:
        with Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            _Left(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress:
            bar = _Bar(agent, progress, frames)
            for name, doc in documents:
                if stopped():
                    raise ReplayError("the replay was interrupted")
                agent.feed(name, doc)
                bar.draw()
            if stopped():
                raise ReplayError("the replay was interrupted")
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


class _Left(TextColumn):
    """Seconds left, at the rate since the first verdict."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        if left is None:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        return Text(f"{minutes}:{seconds:02d} left", style="dim")


class _Bar:
    """Frames done of all, their rate, and the time left."""

    def __init__(self, agent: Agent, progress: Progress, frames: int | None) -> None:
        self._agent = agent
        self._progress = progress
        self._frames = frames
        self._drawn = 0.0
        self._first: tuple[float, int] | None = None  # when verdicts began to come
        self._task = progress.add_task("loading", total=frames or None)

    def draw(self) -> None:
        """Bring the bar up to date, a few times a second."""
        now = time.monotonic()
        if now - self._drawn < _DRAW_S:  # a run of small documents costs less
            return
        self._drawn = now
        counters = self._agent.counters
        done = counters.analysed + counters.unknown
        if not done:
            return
        total = max(self._frames or 0, counters.announced)
        self._first = self._first or (now, done)
        began, before = self._first
        said, left = f"{done} of {total} frames", None
        if done > before:
            rate = (done - before) / (now - began)
            said += f", {rate:.1f} frames/s"
            left = (total - done) / rate
        known = total if self._frames else None
        self._progress.update(
            self._task, completed=done, total=known, description=said, left=left
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

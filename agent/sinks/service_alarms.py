"""Alarms of the agent itself: a disk that is full, a Tiled that is away.

They are none of a frame's flags, and they depend on the day, so they stand in no
derived run. Each is a run of its own that has a start and a stop document only: while
it goes on the alarm is in force. Any Bluesky listener takes such a run without harm.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from event_model import ComposeRunBundle, compose_run

from ringwatch.agent.sinks import QueuedSink, Sink, State

__all__ = ["PURPOSE", "ServiceAlarms"]

PURPOSE = "alarm of the agent"
"""``purpose`` in the start document of an alarm."""
ON_AFTER_S = 2.0
OFF_AFTER_S = 2.0


@dataclass(slots=True)
class _Episode:
    """A trouble, since when it is there, and the run that tells of it."""

    since: float
    seen: float
    run: ComposeRunBundle | None = None


class ServiceAlarms:
    """Tells a sink when a trouble came to stay, and when it is over.

    A trouble of less than two seconds is not told, and one that is gone for less than
    two seconds is not over: a server that restarts rings once.

    Parameters
    ----------
    sink : Sink
        Where the alarms go: the one that people listen to.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._episodes: dict[str, _Episode] = {}

    def look(self, troubles: Mapping[str, str]) -> bool:
        """Take note of what is wrong now; about every second, from one thread.

        Parameters
        ----------
        troubles : mapping of str to str
            A sentence for each trouble, by a name that stays the same.

        Returns
        -------
        bool
            Whether to look again soon, since something began or is to end.
        """
        if isinstance(self._sink, QueuedSink) and self._sink.state is not State.OPEN:
            return False  # the agent ends, and this sink goes first
        now = time.monotonic()
        for name, reason in troubles.items():
            episode = self._episodes.setdefault(name, _Episode(now, now))
            episode.seen = now
            if episode.run is None and now - episode.since >= ON_AFTER_S:
                episode.run = compose_run(metadata=_told(name, reason))
                self._sink.put("start", dict(episode.run.start_doc))
        for name in tuple(self._episodes):
            episode = self._episodes[name]
            if name in troubles or now - episode.seen < OFF_AFTER_S:
                continue
            del self._episodes[name]
            if episode.run is not None:
                over = f"over after {episode.seen - episode.since:.0f} s"
                self._sink.put("stop", dict(episode.run.compose_stop(reason=over)))
        return bool(self._episodes)


def _told(name: str, reason: str) -> dict[str, str]:
    return {
        "purpose": PURPOSE,
        "alarm": name,
        "reason": reason,
        "agent": "ringwatch",
        "agent_version": version("ringwatch"),
    }

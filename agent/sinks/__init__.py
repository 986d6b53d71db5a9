"""Where results go. Each sink has its own queue and thread: none delays another.

The sinks themselves live in modules of their own (``sinks.zmq``, ``sinks.tiled``), so
that an agent without Tiled never imports Tiled.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ringwatch.agent.sinks.queued import QueuedSink, State
from ringwatch.agent.spool.contents import Contents

__all__ = ["KeepsRuns", "QueuedSink", "Sink", "State"]


class Sink(Protocol):
    """What the worker asks of a sink.

    Attributes
    ----------
    sent : int
        Documents handed over for good.
    failed : int
        Documents given up: queue full, sink closed, or refused by the far side.
    pending : int
        Documents accepted and neither sent nor failed yet.
    """

    @property
    def sent(self) -> int: ...  # noqa: D102

    @property
    def failed(self) -> int: ...  # noqa: D102

    @property
    def pending(self) -> int: ...  # noqa: D102

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Accept a document. Never blocks, never raises; the document is not copied."""

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until nothing is pending; whether it is so."""

    def close(self, timeout: float) -> bool:
        """Hand over what is pending, then stop; whether all of it went out in time."""


@runtime_checkable
class KeepsRuns(Protocol):
    """A sink that outlives its process: it knows what a former one left."""

    def unfinished(self) -> list[Contents]:
        """Derived runs that a former process did not stop."""

    def finished(self) -> list[str]:
        """Uids of raw runs analysed to their end whose results wait for Tiled."""

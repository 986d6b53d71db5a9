"""Documents of a Tiled source on their way to the agent, and what came so far."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ringwatch.agent.errors import AgentClosedError, RingwatchError
from ringwatch.agent.sources.audit import FEED_ERRORS, Gap

__all__ = ["Feeder", "TiledSourceCounters", "TiledSourceError"]

logger = logging.getLogger(__name__)


class TiledSourceError(RingwatchError):
    """Tiled cannot be watched."""


@dataclass(slots=True)
class TiledSourceCounters:
    """What came so far.

    Attributes
    ----------
    runs : int
        Runs taken up.
    fed, refused : int
        Documents handed on; those that the taker did not take.
    looks : int
        How often a run was looked at.
    notices : int
        Notices that came by websocket.
    gaps : int
        Gaps in their numbers, each made up for by a look.
    given_up : int
        Runs that could not be read to their end.
    """

    runs: int = 0
    fed: int = 0
    refused: int = 0
    looks: int = 0
    notices: int = 0
    gaps: int = 0
    given_up: int = 0


class Feeder:
    """Hands documents on; what goes wrong with one is counted and logged.

    Parameters
    ----------
    feed : callable
        Given name and document.
    gap : callable, optional
        See ``Gap``.
    ending : Event
        Set where the taker is closed.

    Attributes
    ----------
    feeding : bool
        Whether the taker is at work on a document right now.
    """

    def __init__(
        self,
        feed: Callable[[str, dict[str, Any]], None],
        gap: Gap | None,
        ending: threading.Event,
    ) -> None:
        self._feed, self._gap, self._ending = feed, gap, ending
        self._complained: dict[str, str] = {}
        self.feeding = False
        self.counters = TiledSourceCounters()

    def feed(self, name: str, doc: dict[str, Any]) -> None:
        """Hand a document on; returns once it is taken."""
        self.feeding = True
        try:
            self._feed(name, doc)
        except AgentClosedError:
            self._ending.set()
        except FEED_ERRORS as error:
            self.counters.refused += 1
            kind = f"{type(error).__name__} {name}"
            self.complain(kind, f"left out: a {name} document: {error!r:.500}")
        else:
            self.counters.fed += 1
        finally:
            self.feeding = False

    def tell(self, run_uid: str, why: str) -> None:
        """Tell of a gap."""
        if self._gap is not None:
            try:
                self._gap(run_uid, why)
            except FEED_ERRORS as error:
                logger.error("Tiled source: a gap was not taken note of: %s", error)

    def complain(self, kind: str, what: str, cause: str = "") -> None:
        """Log once a kind, until it went well again or has another cause."""
        if self._complained.get(kind) != cause and not self._ending.is_set():
            self._complained[kind] = cause
            logger.error("Tiled source: %s", what)

    def well(self, kind: str) -> bool:
        """It went well, so that the next trouble is news; whether there was any."""
        return self._complained.pop(kind, None) is not None

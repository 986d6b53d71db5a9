"""One raw run in the worker's hands, from its start to the end of its second pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.results import DerivedRun
from ringwatch.agent.runs.backfill import Frames
from ringwatch.agent.runs.ledger import FrameLedger
from ringwatch.agent.runs.run_analysis import RunAnalysis

__all__ = ["OpenRun"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenRun:
    """What the worker holds of a raw run.

    Attributes
    ----------
    start : dict
        Its start document.
    analysis : RunAnalysis
        The fold that sees its frames as they come.
    derived : DerivedRun or None
        Made with the first verdict.
    ledger : FrameLedger
    attempt : int
        Number of its derived run, where that is not the agent's own; else 0.
    final_before : list of (str, str, int, int)
        Frames that an attempt which was taken for abandoned gave their final verdicts.
    seen : float
        When its newest frame came, on the clock of ``time.monotonic``.
    stop : dict or None
        Its stop document, once that came.
    second : RunAnalysis or None
        The fold of the second pass, the ``frames`` that it goes over with its own
        ``reader``, and the ``next_ref`` whose pixels or dark are waited for.
    awaits_dark : bool
        Whether the second pass waits for a dark run.
    dark_until : float
        How long it does, on the same clock.
    """

    start: dict[str, Any]
    analysis: RunAnalysis
    derived: DerivedRun | None = None
    ledger: FrameLedger = field(default_factory=FrameLedger)
    attempt: int = 0
    final_before: list[tuple[str, str, int, int]] = field(default_factory=list)
    seen: float = 0.0
    stop: dict[str, Any] | None = None
    second: RunAnalysis | None = None
    frames: Frames | None = None
    reader: FrameReader | None = None
    next_ref: FrameRef | None = None
    awaits_dark: bool = False
    dark_until: float = 0.0

    def tear(self, why: str) -> None:
        """What comes of it is not final: storage knows better in the end."""
        told = "run %s: verdicts are provisional from here on: %s"
        logger.warning(told, self.uid, why, extra={"run_uid": self.uid})
        self.ledger.lose_documents(why)

    @property
    def uid(self) -> str:
        """The uid of the raw run."""
        return str(self.start["uid"])

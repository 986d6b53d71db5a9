"""Counters of an agent: what became of the frames it was told of."""

from __future__ import annotations

from dataclasses import dataclass

from ringwatch.agent.nouns import Verdict, Word

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """What the worker has done so far.

    Attributes
    ----------
    announced, analysed, unknown : int
        Frames announced; with a final verdict other than ``unknown``; with a final
        ``unknown``. What is left has no final verdict yet.
    shed : int
        Verdicts given without looking, or without a label, because frames came faster
        than they could be analysed.
    backfilled : int
        Frames whose final verdict came in a second pass.
    malformed : int
        Documents left out.
    lost : int
        Frames whose verdict could not be published at all; never, but for a defect.
    last_index : int
        Index of the newest frame with a verdict, -1 before the first.
    last_word : str
        Its verdict.
    """

    announced: int = 0
    analysed: int = 0
    unknown: int = 0
    shed: int = 0
    backfilled: int = 0
    malformed: int = 0
    lost: int = 0
    last_index: int = -1
    last_word: str = ""

    def count(self, verdict: Verdict, *, published: bool) -> None:
        """Count one verdict."""
        if not published:
            self.lost += 1
        elif verdict.final and verdict.word is Word.UNKNOWN:
            self.unknown += 1
        elif verdict.final:
            self.analysed += 1
        self.last_index = verdict.frame.index
        self.last_word = verdict.word.value

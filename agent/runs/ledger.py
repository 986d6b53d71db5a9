"""What became of each frame of one raw run: announced, judged, final.

A run is *whole* while one fold has seen every frame since its start, in order: its
verdicts are final as they come. The first frame that was missed or shed makes it
*holey*: from then on verdicts are provisional, until a second pass over the stored run
(``ringwatch.agent.runs.backfill``) has given each frame its final one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ringwatch.agent.nouns import FrameRef, LostLocator, MemoryLocator, Verdict
from ringwatch.agent.spans import Spans

__all__ = ["FrameKey", "FrameLedger", "key_of"]

FrameKey = tuple[str, str, int]
"""Stream, data key and index: with the run's uid the identity of a frame."""

MOST_REFS = 50_000
"""References kept of one run, some 600 bytes each; longer runs are read from Tiled."""

MOST_VERDICTS = 10_000
"""Provisional verdicts kept of one run, some 6 kB each."""


def key_of(ref: FrameRef) -> FrameKey:
    """Identity of a frame within its run."""
    return ref.stream, ref.data_key, ref.index


class FrameLedger:
    """Accounts for the frames of one raw run.

    Parameters
    ----------
    final : iterable of FrameKey
        Frames that had their final verdict before this process began.
    """

    def __init__(self, final: Iterable[FrameKey] = ()) -> None:
        self.hole = ""
        self._announced: dict[tuple[str, str], Spans] = defaultdict(Spans)
        self._refs: list[FrameRef] | None = []
        self._finals: dict[tuple[str, str], Spans] = defaultdict(Spans)
        self._provisional: dict[FrameKey, tuple[int, Verdict | FrameRef]] = {}
        for stream, data_key, index in final:
            self._finals[stream, data_key].add(index)
            self._announced[stream, data_key].add(index)

    @property
    def whole(self) -> bool:
        """Whether no frame was missed or shed so far."""
        return not self.hole

    def tear(self, reason: str) -> None:
        """Note why frames are missing; the first reason stays."""
        self.hole = self.hole or reason

    def lose_documents(self, reason: str) -> None:
        """Documents are missing: what frames there are only storage knows."""
        self.tear(reason)
        self._refs = None

    def announce(self, ref: FrameRef) -> bool:
        """Take a frame that was announced; whether it is news."""
        fresh = self._announced[ref.stream, ref.data_key].add(ref.index)
        if fresh and self._refs is not None:
            self._remember(ref)
        return fresh

    def _remember(self, ref: FrameRef) -> None:
        assert self._refs is not None
        if isinstance(ref.locator, MemoryLocator):
            lost = LostLocator(reason="its pixels were in memory only")
            ref = replace(ref, locator=lost)
        self._refs.append(ref)
        if len(self._refs) > MOST_REFS:
            self._refs = None

    def take(self, verdict: Verdict) -> Verdict:
        """Number the next revision of a frame's verdict, and note it."""
        ref = verdict.frame
        key = key_of(ref)
        earlier = self._provisional.pop(key, None)
        if earlier is not None:
            verdict = replace(verdict, revision=earlier[0] + 1)
        if verdict.final:
            self._finals[ref.stream, ref.data_key].add(ref.index)
        else:  # without its arrays: it may have to stand in for a final one
            whole = len(self._provisional) < MOST_VERDICTS
            kept = replace(verdict, pattern=None, corrected=None) if whole else ref
            self._provisional[key] = verdict.revision, kept
        return verdict

    def is_final(self, ref: FrameRef) -> bool:
        """Whether a frame has its final verdict."""
        return ref.index in self._finals[ref.stream, ref.data_key]

    @property
    def finals(self) -> list[tuple[str, str, int, int]]:
        """Frames with a final verdict: stream, data key, first and last index."""
        return [
            (*key, first, last)
            for key, spans in self._finals.items()
            for first, last in spans
        ]

    @property
    def account(self) -> dict[str, int]:
        """Frames ``announced`` so far, and those of them with a ``final`` verdict."""
        return {
            "announced": sum(map(len, tuple(self._announced.values()))),
            "final": sum(map(len, tuple(self._finals.values()))),
        }

    @property
    def provisional(self) -> tuple[Verdict | FrameRef, ...]:
        """Newest verdicts of the frames without a final one, arrays left out.

        Beyond ``MOST_VERDICTS`` of them the frames alone.
        """
        return tuple(kept for _, kept in self._provisional.values())

    def refs(self) -> Iterator[FrameRef] | None:
        """All frames in order, if none is missing and all pixels lie in files."""
        if self._refs is None or any(_out_of_reach(ref) for ref in self._refs):
            return None
        return iter(tuple(self._refs))


def _out_of_reach(ref: FrameRef) -> bool:
    """Whether only storage has the pixels that passed here."""
    return isinstance(ref.locator, LostLocator)

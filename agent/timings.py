"""How long a frame's verdict took, stage by stage: the one list of timing fields.

What differs from pass to pass by nature is named here and nowhere else: published
fields, metrics, and all that compares one pass with another take it from ``TIMINGS``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields
from typing import Literal, Self

__all__ = ["STAGES", "TIMINGS", "Stage", "Stages", "Stopwatch"]

Stage = Literal["read_ms", "reduce_ms", "flags_ms", "classify_ms"]
"""What a ``Stopwatch`` takes the time of; all else is the wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Milliseconds of a frame's stages; NaN for one that did not happen.

    Their sum is the latency.

    Attributes
    ----------
    wait_ms : float
        All that is in no other stage: from the arrival of the document until the
        frame's turn came, and on its way for frames before it, for a batch, a helper.
    read_ms : float
        Reading and decoding its pixels, waiting for a file that is still written, and
        finding its dark.
    reduce_ms : float
        From pixels to cake and pattern.
    flags_ms : float
        The flags, that is the fold over the frames of its run.
    classify_ms : float
        The classifier.
    """

    wait_ms: float = math.nan
    read_ms: float = math.nan
    reduce_ms: float = math.nan
    flags_ms: float = math.nan
    classify_ms: float = math.nan


STAGES = tuple(stage.name for stage in fields(Stages))
"""Names of the stages, in the order in which a frame goes through them."""

TIMINGS = ("latency_ms", *STAGES)
"""Fields of a published verdict that say how long it took, not what it says."""


class Stopwatch:
    """Takes the times of one frame's stages, some microseconds for all of them.

    A stage that is entered again goes on; one that fails has taken its time as well.

    Parameters
    ----------
    arrived : float
        When the frame's document came, on the clock of ``time.monotonic``.

    Examples
    --------
    >>> watch = Stopwatch(arrived)
    >>> with watch("read_ms"):
    ...     frame = reader.read(ref)
    >>> watch.stages(time.monotonic()).read_ms
    """

    __slots__ = ("_arrived", "_began_ns", "_taken_ns", "_timed")

    def __init__(self, arrived: float) -> None:
        self._arrived = arrived
        self._taken_ns: dict[str, int] = {}
        self._timed: Stage | None = None
        self._began_ns = 0

    def __call__(self, stage: Stage) -> Self:
        """Choose the stage that the next ``with`` block takes the time of."""
        self._timed = stage
        return self

    def __enter__(self) -> Self:
        self._began_ns = time.perf_counter_ns()
        return self

    def __exit__(self, *exception: object) -> None:
        taken = time.perf_counter_ns() - self._began_ns
        assert self._timed is not None
        self._taken_ns[self._timed] = self._taken_ns.get(self._timed, 0) + taken

    def add(self, stage: Stage, seconds: float) -> None:
        """Add a frame's share of what was done for several at once."""
        taken = self._taken_ns.get(stage, 0) + round(seconds * 1e9)
        self._taken_ns[stage] = taken

    def stages(self, now: float) -> Stages:
        """What was taken so far; all else until ``now``, on that clock, was the wait.

        It is given because the latency is taken by it too: between two looks at the
        clock the thread may lose its turn.
        """
        taken = {stage: ns * 1e-6 for stage, ns in self._taken_ns.items()}
        past = (now - self._arrived) * 1e3
        return Stages(wait_ms=max(past - sum(taken.values()), 0.0), **taken)

"""The nouns of the agent: what travels from a document to a verdict.

All are frozen; arrays are documented with shape and unit. Everything here is plain data
and numpy, so that plans may import it into the RunEngine's process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.cakes import (
    SECTORS,
    Cake,
    DarkMatch,
    EdgeSums,
    Outliers,
    Pattern,
)
from ringwatch.agent.flags import Flag, FlagState, Severity
from ringwatch.agent.timings import STAGES, Stages
from ringwatch.models.prediction import Prediction

__all__ = [
    "SECTORS",
    "Alarm",
    "Cake",
    "DarkMatch",
    "EdgeSums",
    "FileLocator",
    "Flag",
    "FlagState",
    "FrameRef",
    "Locator",
    "LostLocator",
    "MemoryLocator",
    "Outliers",
    "Pattern",
    "Quality",
    "Severity",
    "Verdict",
    "Word",
]


_EVERY = tuple(Flag)  # an Enum is slow to go through, and is so many times a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLocator:
    """Pixels that came inside an event document; shape (y, x)."""

    frame: NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocator:
    """Pixels in a file that may still be growing.

    Attributes
    ----------
    path : Path
        Absolute path as announced; the reader checks it against the allowed roots.
    mimetype : str
        ``application/x-hdf5``, or an image type that fabio reads.
    dataset : str
        Path of the dataset inside an HDF5 file, empty for others.
    start : int
        Where the frame starts in the dataset, in images: its leading axes count as one.
    """

    path: Path
    mimetype: str
    dataset: str = ""
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLocator:
    """Announced pixels that cannot be had; ``reason`` says why.

    ``shed`` ones were dropped here under overload: storage may have them.
    """

    reason: str
    shed: bool = False


Locator = MemoryLocator | FileLocator | LostLocator


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRef:
    """A frame as the documents announce it.

    A frame's identity is (run_uid, stream, data_key, index).

    Attributes
    ----------
    index : int
        Ordinal of the frame in its data key, from 0, never used again.
    seq_num : int
        Event number, from 1. A resumed RunEngine emits the same one twice; the later
        frame (larger ``index``) supersedes the earlier.
    time : float
        Of the event, seconds since the epoch; NaN where the pixels are announced ahead
        of their event, or without one (the arrival would differ in a replay).
    shape : tuple of int
        Announced (y, x), pixels; (0, 0) where the descriptor does not say.
    readbacks : dict
        Scalar values of the same event (I0, temperature, positions), by data key.
    """

    run_uid: str
    stream: str
    data_key: str
    index: int
    seq_num: int
    time: float
    locator: Locator
    shape: tuple[int, int] = (0, 0)
    readbacks: dict[str, float] = field(default_factory=dict)

    @classmethod
    def without_pixels(
        cls,
        run_uid: str,
        index: int,
        readbacks: Mapping[str, float] = MappingProxyType({}),
        *,
        time: float = math.nan,
    ) -> FrameRef:
        """A frame of which only what was reduced is there; arguments as above."""
        return cls(
            run_uid=run_uid,
            stream="primary",
            data_key="image",
            index=index,
            seq_num=index + 1,
            time=time,
            locator=LostLocator(reason=f"{run_uid}: only what was reduced is there"),
            readbacks=dict(readbacks),
        )


class Word(StrEnum):
    """The five words of a verdict, from best to worst known."""

    GOOD = "good"
    SUSPECT = "suspect"
    MISALIGNED = "misaligned"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What is worth calling somebody for.

    Attributes
    ----------
    flag : Flag
        Root cause.
    since : int
        Index of the first frame with it.
    episode : int
        How many times it came in this run, from 1.
    new : bool
        Whether it came with this frame, and for the first time in the run: then people
        are told, and not again.
    """

    flag: Flag
    since: int
    episode: int
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the flags say of one frame.

    Attributes
    ----------
    states : dict of Flag to FlagState
        Every flag of ``Flag``.
    why_not : dict of Flag to str
        Reason for each flag that is not evaluated.
    z : dict of Flag to float
        Size of the effect over its standard deviation, where a flag has one.
    values : dict of str to float
        Physical values by key, with the units of ``Flag``; also further keys such as
        ``beam_center_dy_px`` and ``beam_center_sigma_px``.
    severities : dict of Flag to Severity
        Severity of each raised flag.
    primary : Flag or None
        Root cause among the raised flags, None where none is raised.
    word : Word
        The verdict's word as far as the flags decide it.
    reason : str
        One sentence with number and unit.
    sentences : dict of Flag to str
        The same for each raised flag.
    alarm : Alarm or None
        In force after this frame.
    """

    states: dict[Flag, FlagState]
    why_not: dict[Flag, str]
    z: dict[Flag, float]
    values: dict[str, float]
    severities: dict[Flag, Severity]
    primary: Flag | None
    word: Word
    reason: str
    sentences: dict[Flag, str] = field(default_factory=dict)
    alarm: Alarm | None = None

    @property
    def raised(self) -> tuple[Flag, ...]:
        """Raised flags, by bit."""
        up = self.severities  # these and no others have one
        return tuple(flag for flag in _EVERY if flag in up) if up else ()

    @property
    def dq(self) -> int:
        """Bit mask of raised flags."""
        return sum(flag.mask for flag in self.raised)

    @property
    def dq_evaluated(self) -> int:
        """Bit mask of flags that could be evaluated."""
        absent = FlagState.NOT_EVALUATED
        return sum(1 << f.bit for f, s in self.states.items() if s is not absent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is published about one frame. Never the image.

    Attributes
    ----------
    frame : FrameRef
        Identity of the frame; its pixels are dropped (``LostLocator``).
    word : Word
        ``good`` only if the flags that a verdict needs were evaluated and clear.
    reason : str
        One sentence why.
    quality : Quality
    prediction : Prediction or None
        None where the classifier did not run.
    pattern : Pattern or None
        None where the frame could not be reduced.
    corrected : Pattern or None
        The same frame with the geometry that its own rings ask for, where that differs
        by little; information, never instead of ``pattern``.
    robust : Pattern or None
        The pattern without the sectors of its rings in which single spots or zingers
        stand out, where flags say that there are any; what the label is of.
    analysis_id : str
        Hash over weights, geometry, mask, dark policy, settings and version.
    revision : int
        From 0, rising.
    final : bool
        Exactly one revision of each frame is final.
    latency_ms : float
        From the arrival of the document to the verdict, milliseconds.
    stages : Stages
        What of it the stages took.
    learned : mapping
        What taught heads say, by published field; ``ringwatch.agent.learned.heads``.
    """

    frame: FrameRef
    word: Word
    reason: str
    quality: Quality
    prediction: Prediction | None
    pattern: Pattern | None
    analysis_id: str
    corrected: Pattern | None = None
    robust: Pattern | None = None
    revision: int = 0
    final: bool = True
    latency_ms: float = 0.0
    stages: Stages = field(default_factory=Stages)
    learned: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def timings(self) -> dict[str, float]:
        """Latency and stages by the names of ``TIMINGS``, milliseconds."""
        stages = {name: float(getattr(self.stages, name)) for name in STAGES}
        return {"latency_ms": float(self.latency_ms), **stages}

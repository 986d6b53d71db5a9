"""The nouns of the agent: what travels from a document to a verdict.

All are frozen; arrays are documented with shape and unit. Everything here is plain data
and numpy, so that plans may import it into the RunEngine's process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.flags import Flag, FlagState, Severity
from ringwatch.models.prediction import Prediction

__all__ = [
    "SECTORS",
    "Cake",
    "FileLocator",
    "Flag",
    "FlagState",
    "FrameRef",
    "Locator",
    "LostLocator",
    "MemoryLocator",
    "Pattern",
    "Quality",
    "Severity",
    "Verdict",
    "Word",
]

Floats = NDArray[np.float64]

SECTORS = 32
"""Azimuthal sectors of a cake, counted from chi = -180 degrees. Even, so that Friedel
pairs fall into sectors that face each other."""


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
    """Announced pixels that cannot be had; ``reason`` says why."""

    reason: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cake:
    """Moments of one frame per (q bin, azimuthal sector): one pass over the pixels.

    Only usable pixels count: not masked, finite, no marker of an invalid pixel, and no
    negative integer. Markers are the largest value of an unsigned type, and -1 and -2,
    which a Pilatus writes into gaps and dead pixels. In a frame of floating point they
    are markers only if no other value is negative: where some are, a dark was
    subtracted, and -1 is a count. Raw counts, before any dark is subtracted here.

    Attributes
    ----------
    pixels : (n_q, 32) int64
        Usable pixels of this frame.
    total : (n_q, 32) float64
        Sum of the counts; exact for integers as long as a cell's sum is below 2^53.
    total_sq : (n_q, 32) float64
        Sum of the squared counts; exact likewise.
    maximum : (n_q, 32) float64
        Largest count, 0 where no pixel is usable.
    zeros, saturated : (n_q, 32) int64
        Usable pixels that are 0; pixels at or above the saturation value (those at the
        largest value of an unsigned type count here too, but in no sum).
    norm : (n_q, 32) float64
        Sum over usable pixels of solid angle times polarization, 1.
    dark : (n_q, 32) float64
        Sum of the dark frame over the same usable pixels; 0 without a dark.
    negative, non_finite, marked, masked : int
        Pixels of the frame (outside the mask) that are negative (markers apart), NaN or
        infinite, or marked invalid by the detector; and pixels under the mask.
    masked_total : float
        Sum of the finite, positive counts under the mask.
    shape : tuple of int
        (y, x) of the frame.
    checksum : int
        CRC-32 of the raw bytes.
    """

    pixels: NDArray[np.int64]
    total: NDArray[np.float64]
    total_sq: NDArray[np.float64]
    maximum: NDArray[np.float64]
    zeros: NDArray[np.int64]
    saturated: NDArray[np.int64]
    norm: NDArray[np.float64]
    dark: NDArray[np.float64]
    negative: int
    non_finite: int
    marked: int
    masked: int
    masked_total: float
    shape: tuple[int, int]
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One-dimensional powder pattern.

    Attributes
    ----------
    q : (n,) float64
        Bin centres, 1/Angstrom.
    intensity : (n,) float64
        Dark-subtracted counts over normalisation, counts per pixel at normal incidence;
        0 where nothing was measured.
    sigma : (n,) float64
        Standard deviation of ``intensity`` by Poisson statistics, same unit.
    coverage : (n,) float64
        Usable pixels over all pixels that the geometry puts into the bin, 0..1.
    """

    q: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    coverage: NDArray[np.float64]

    def measured(self) -> tuple[Floats, Floats, Floats | None]:
        """Points (m,) as a classifier takes them; no sigma where one is not finite."""
        used = self.coverage > 0
        sigma = self.sigma[used] if np.isfinite(self.sigma[used]).all() else None
        return self.q[used], self.intensity[used], sigma


class Word(StrEnum):
    """The five words of a verdict, from best to worst known."""

    GOOD = "good"
    SUSPECT = "suspect"
    MISALIGNED = "misaligned"
    BAD = "bad"
    UNKNOWN = "unknown"


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
    """

    states: dict[Flag, FlagState]
    why_not: dict[Flag, str]
    z: dict[Flag, float]
    values: dict[str, float]
    severities: dict[Flag, Severity]
    primary: Flag | None
    word: Word
    reason: str

    @property
    def raised(self) -> tuple[Flag, ...]:
        """Raised flags, by bit."""
        return tuple(f for f in Flag if self.states.get(f) is FlagState.RAISED)

    @property
    def dq(self) -> int:
        """Bit mask of raised flags."""
        return sum(flag.mask for flag in self.raised)

    @property
    def dq_evaluated(self) -> int:
        """Bit mask of flags that could be evaluated."""
        return sum(
            flag.mask
            for flag in Flag
            if self.states.get(flag, FlagState.NOT_EVALUATED)
            is not FlagState.NOT_EVALUATED
        )


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
    analysis_id : str
        Hash over weights, geometry, mask, dark policy, settings and version.
    revision : int
        From 0, rising.
    final : bool
        Exactly one revision of each frame is final.
    latency_ms : float
        From the arrival of the document to the verdict, milliseconds.
    """

    frame: FrameRef
    word: Word
    reason: str
    quality: Quality
    prediction: Prediction | None
    pattern: Pattern | None
    analysis_id: str
    revision: int = 0
    final: bool = True
    latency_ms: float = 0.0

"""A fault to be injected: at which amplitudes, and what must be named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringwatch.simulated_beamline.conditions import Fault

__all__ = ["FIRST", "Case"]

FIRST = 3
"""Sound frames of a run before the fault: they make the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault at several amplitudes.

    Attributes
    ----------
    flag : str
        Name of the flag that must be raised, and named as the root cause.
    unit : str
        Of the amplitude.
    amplitudes : tuple of float
        From small to large.
    target : float or None
        The amplitude that the issue asks to be seen in 95 of 100 frames.
    make : callable
        From an amplitude and a direction (0..1) to the fault, in force from frame
        ``FIRST`` on.
    pixels : bool
        Whether it takes frames, pixel by pixel; else cakes do.
    patience : int
        Faulty frames within which the flag may come.
    readbacks : callable or None
        From an amplitude to further readbacks of faulty frames; those of the sound ones
        come at amplitude 0.
    word : str
        What the verdict must be; empty where several may.
    settings : mapping
        Of ``QualitySettings``, beside the saturation value.
    stage : mapping
        Of the stage: its mask's margin, the detector's dark counts.
    from_start : bool
        Whether the first frames are faulty as well, so that no reference helps.
    per_edge : bool
        Whether ``make`` wants the amplitude times the detector's edge in pixels.
    geometry : str
        Key of ``BENCH_GEOMETRIES`` instead of the scene's, where the fault asks for it.
    """

    flag: str
    unit: str
    amplitudes: tuple[float, ...]
    target: float | None
    make: Callable[[float, float], Fault]
    pixels: bool = False
    patience: int = 1
    readbacks: Callable[[float], dict[str, float]] | None = None
    word: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)
    from_start: bool = False
    per_edge: bool = False
    geometry: str = ""

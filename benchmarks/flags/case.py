"""A fault to be injected: at which amplitudes, and what must be named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringwatch.simulated_beamline.conditions import Fault
from ringwatch.simulated_beamline.geometry import Geometry

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
        In rising order; of shares left the smallest are the strongest faults.
    no_fault : float or None
        The amplitude that is no fault, tried as well so that a flag that is stuck on
        shows: 0, or 1 of a share left. None where there is none.
    target : float or None
        The amplitude that the issue asks to be seen in 95 of 100 frames.
    make : callable
        From an amplitude and a direction (0..1), and with ``per_edge`` the shorter edge
        of the detector in pixels, to the fault, in force from frame ``sound`` on.
    pixels : bool
        Whether it takes frames, pixel by pixel; else cakes do.
    patience : int
        Faulty frames within which the flag may come.
    readbacks : callable or None
        From where the detector really stands to further readbacks, all true.
    components : tuple of str
        Keys of the values that say how large the fault is, one for each component.
    injected : callable or None
        From an amplitude and a direction to what these components should be.
    word : str
        What the verdict must be; empty where several may.
    settings : mapping
        Of ``QualitySettings``, beside the saturation value.
    stage : mapping
        Of the stage: its mask's margin, the detector's dark counts.
    from_start : bool
        Whether the first frames are faulty as well, so that no reference helps.
    per_edge : bool
        Whether ``make`` wants the detector's edge as well.
    per_rate : bool
        Whether it wants the true rate of the brightest pixels, counts per second.
    sound : int
        Sound frames before the fault; where the flag learns what is usual, more.
    counts : float
        Expected counts of a frame instead of the scene's, where the amplitude itself
        says how many there are; 0: the scene's.
    trials : int
        For each amplitude, where a trial is long; 0: as many as of all others.
    geometry : str
        Key of ``BENCH_GEOMETRIES`` instead of the scene's, where the fault asks for it.
    """

    flag: str
    unit: str
    amplitudes: tuple[float, ...]
    target: float | None
    make: Callable[..., Fault]
    no_fault: float | None = None
    pixels: bool = False
    patience: int = 1
    readbacks: Callable[[Geometry], dict[str, float]] | None = None
    components: tuple[str, ...] = ()
    injected: Callable[[float, float], tuple[float, ...]] | None = None
    word: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)
    from_start: bool = False
    per_edge: bool = False
    per_rate: bool = False
    sound: int = FIRST
    counts: float = 0.0
    trials: int = 0
    geometry: str = ""

    def made(
        self, amplitude: float, turn: float, edge: int, rate: float = 1.0
    ) -> Fault:
        """The fault at an amplitude in a direction, on a detector of that edge.

        ``rate`` is the true one of the brightest pixels, counts per second.
        """
        asked = ((edge,) if self.per_edge else ()) + ((rate,) if self.per_rate else ())
        return self.make(amplitude, turn, *asked)

    def recovered(
        self, values: Mapping[str, float], amplitude: float, turn: float
    ) -> float:
        """Found over injected, along what was injected; NaN where that is nothing."""
        if self.injected is None or amplitude == self.no_fault:
            return math.nan
        due = self.injected(amplitude, turn)
        found = [values.get(key, math.nan) for key in self.components]
        along = sum(f * d for f, d in zip(found, due, strict=True))
        return along / sum(d * d for d in due)

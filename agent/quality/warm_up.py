"""Loads the compiled code of all flags ahead of the first frame, which would pay.

Code that only faults reach counts as well: else the first misaligned frame of a night
waits until it is there, and labels are shed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS, FrameRef
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.fold import QualityFold
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.reduction import Reduction

__all__ = ["warm_up_flags"]

Frame = NDArray[np.integer[Any]]
Fault = Callable[[Frame], Frame]

_DTYPES = (np.uint16, np.uint32, np.int32)
_EVERY = 29  # bins from ring to ring
_RING = 0.8  # standard deviation of a ring, bins: narrow enough to look for ice beside
_SIDE = 256  # pixels: compiled code asks for types, not for sizes
_PIXEL_M, _DISTANCE_M, _WAVELENGTH_M = 2e-4, 0.2, 2e-11


@lru_cache
def warm_up_flags() -> None:
    """Judge drawn frames of a small detector, of each type that detectors give."""
    _warm_up(_DTYPES[0], _FAULTS)
    for dtype in _DTYPES[1:]:  # only the passes over pixels differ
        _warm_up(dtype, (_saturated,))


def _warm_up(dtype: type[np.integer[Any]], faults: tuple[Fault, ...]) -> None:
    """Judge a run of frames of one type: a reference, and one frame of each fault."""
    # A counting detector, a plate: what is evaluated with such settings only.
    settings = QualitySettings(dead_time_s=1e-7, flat_plate=True)
    edge = np.zeros((_SIDE, _SIDE), bool)
    edge[:8] = True  # a mask, so that its edge is looked at
    middle = _SIDE / 2 * _PIXEL_M
    geometry = AzimuthalIntegrator(
        dist=_DISTANCE_M,
        poni1=middle,
        poni2=middle,
        wavelength=_WAVELENGTH_M,
        detector=Detector(_PIXEL_M, _PIXEL_M, max_shape=(_SIDE, _SIDE)),
    )
    binning = Binning.from_geometry(geometry, (_SIDE, _SIDE), mask=edge)
    reduction = Reduction(binning)
    bins = (binning.cell // SECTORS).astype(np.int64) % binning.q.size
    away = (bins + _EVERY // 2) % _EVERY - _EVERY // 2
    rings = np.exp(-0.5 * (away / _RING) ** 2).reshape(binning.shape)
    fold = QualityFold(settings, binning)
    rng = np.random.default_rng(0)
    for _ in range(2):  # bright ones have a pass of their own, from the second on
        reduction.cake(np.full(binning.shape, 10_000, dtype), look_again=False)
    dark = reduction.prepare_dark([rng.poisson(3.0, binning.shape).astype(dtype)])
    readbacks = {"i0": 1.0, "temperature": 100.0, "exposure_time": 1.0}
    for index, spoil in enumerate((*_REFERENCE, *faults)):
        frame = rng.poisson(8.0 + 100.0 * rings).astype(dtype)
        frame[20, 20:22] = 9000  # an outlier to look at again
        frame = spoil(frame)
        used = dark if index % 2 else None
        cake = reduction.cake(frame, used)
        facts = FrameFacts(
            ref=FrameRef.without_pixels("warm-up", index, readbacks),
            cake=cake,
            pattern=reduction.pattern(cake, used),
            dtype=frame.dtype,
            dark_frames=used.frames if used else 0,
        )
        fold.examine(facts)
        reduction.robust_pattern(cake, used)


def _sound(frame: Frame) -> Frame:
    return frame


def _moved(frame: Frame) -> Frame:
    return np.roll(frame, 3, axis=1)


def _saturated(frame: Frame) -> Frame:
    frame[40:42, 40:42] = np.iinfo(frame.dtype).max
    return frame


def _half_read(frame: Frame) -> Frame:
    frame[_SIDE // 2 :] = 0
    return frame


def _stuck(frame: Frame) -> Frame:
    frame[:, : _SIDE // 4] = 7  # a module that does not scatter as counts do
    return frame


def _without_rings(frame: Frame) -> Frame:
    return np.minimum(frame, 8)


_REFERENCE = (_sound, _sound, _sound)
_FAULTS = (_sound, _moved, _saturated, _half_read, _stuck, _without_rings)

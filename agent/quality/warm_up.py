"""Loads the compiled code of all flags ahead of the first frame, which would pay."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS, FrameRef
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.fold import QualityFold
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.reduction import Reduction

__all__ = ["warm_up_flags"]

_FRAMES = 6  # three make the reference, the others are compared with it
_DTYPES = (np.uint16, np.uint32, np.int32)
_EVERY = 29  # bins from ring to ring
_SIDE = 256  # pixels: compiled code asks for types, not for sizes
_PIXEL_M, _DISTANCE_M, _WAVELENGTH_M = 2e-4, 0.2, 2e-11


@lru_cache
def warm_up_flags() -> None:
    """Judge drawn frames of a small detector, of each type that detectors give."""
    for dtype in _DTYPES:
        _warm_up(dtype)


def _warm_up(dtype: type[np.integer[Any]]) -> None:
    """Judge frames of one type, the last without its rings."""
    settings = QualitySettings()
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
    rings = np.exp(-0.5 * (away / 1.7) ** 2)
    fold = QualityFold(settings, binning)
    rng = np.random.default_rng(0)
    for _ in range(2):  # bright ones have a pass of their own, from the second on
        reduction.cake(np.full(binning.shape, 10_000, dtype), look_again=False)
    dark = reduction.prepare_dark([rng.poisson(3.0, binning.shape).astype(dtype)])
    readbacks = {"i0": 1.0, "temperature": 100.0, "exposure_time": 1.0}
    for index in range(_FRAMES):
        bright = 0.0 if index == _FRAMES - 1 else 100.0
        frame = rng.poisson(8.0 + bright * rings).astype(dtype).reshape(binning.shape)
        frame[20, 20:22] = 9000  # an outlier to look at again
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

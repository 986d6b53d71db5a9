"""Loads the compiled code of all flags ahead of the first frame, which would pay."""

from __future__ import annotations

import math

import numpy as np

from ringwatch.agent.geometry import MASKED_CELL
from ringwatch.agent.nouns import SECTORS, FrameRef, LostLocator
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.fold import QualityFold
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.reduction import Reduction

__all__ = ["warm_up_flags"]

_FRAMES = 6  # three make the reference, the others are compared with it
_EVERY = 29  # bins from ring to ring


def warm_up_flags(reduction: Reduction, settings: QualitySettings) -> None:
    """Judge a few drawn frames of the geometry, the last without its rings.

    Parameters
    ----------
    reduction : Reduction
        For the frames that are to come.
    settings : QualitySettings
    """
    binning = reduction.binning
    bins = np.where(binning.cell == MASKED_CELL, 0, binning.cell // SECTORS)
    away = (bins.astype(np.int64) + _EVERY // 2) % _EVERY - _EVERY // 2
    rings = np.exp(-0.5 * (away / 1.7) ** 2)
    fold = QualityFold(settings, binning)
    rng = np.random.default_rng(0)
    dark = reduction.prepare_dark([rng.poisson(3.0, binning.shape).astype(np.uint16)])
    for index in range(_FRAMES):
        last = index == _FRAMES - 1
        mean = 8.0 + (0.0 if last else 1.0) * 100.0 * rings
        frame = rng.poisson(mean).astype(np.uint16).reshape(binning.shape)
        frame[:2, :2] = 9000  # an outlier to look at again
        used = dark if index % 2 else None
        cake = reduction.cake(frame, used)
        facts = FrameFacts(
            ref=FrameRef(
                run_uid="warm-up",
                stream="primary",
                data_key="image",
                index=index,
                seq_num=index + 1,
                time=math.nan,
                locator=LostLocator(reason="drawn to load compiled code"),
                readbacks={"i0": 1.0, "temperature": 100.0, "exposure_time": 1.0},
            ),
            cake=cake,
            pattern=reduction.pattern(cake, used) if binning.has_geometry else None,
            dtype=frame.dtype,
            dark_frames=used.frames if used else 0,
        )
        fold.examine(facts)

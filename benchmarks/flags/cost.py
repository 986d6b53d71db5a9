"""What the flags cost beside the reduction that they live on."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from ringwatch.agent.geometry import MASKED_CELL
from ringwatch.agent.nouns import Cake
from ringwatch.agent.quality.readout.totals import Totals
from ringwatch.agent.reduction import Reduction
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.simulated_beamline.faults import DetectorShift

__all__ = ["measure_cost"]

_WARM = 6
_MOVES = (0.0, 0.4, 2.0)  # px


def measure_cost(
    *,
    repeats: int = 30,
    scenes: tuple[str, ...] = ("cheap", "reference"),
    dtypes: tuple[str, ...] = ("uint16", "uint32"),
) -> list[dict[str, Any]]:
    """Time reduction and flags, in turns, on frames of 1 and of 4 Mpx.

    ``reduction`` is frame to cake and pattern, without the second look at single
    pixels; ``flags`` is that look and all of ``QualityFold.examine``. One thread. On
    sound frames, and (uint16) on frames of a detector that has moved: the larger the
    move, the more often its rings are read anew about another centre.

    Returns
    -------
    list of dict
        Medians in milliseconds, and the ratio of flags to reduction.
    """
    return [
        _measure(geometry, dtype, moved, repeats)
        for geometry in scenes
        for dtype in dtypes
        for moved in (_MOVES if dtype == "uint16" else _MOVES[:1])
    ]


def _measure(
    geometry: str, dtype: str, moved_px: float, repeats: int
) -> dict[str, Any]:
    """One size and type of frame; all but the first six have moved."""
    stage = Stage(Scene(geometry=geometry, counts=1e7), seed=1)
    sound, moved = (
        [stage.frame(expected).astype(dtype) for _ in range(8)]
        for expected in (
            stage.experiment.expected(stage.experiment.conditions(faults))
            for faults in ((), (DetectorShift(first=0, dx_px=moved_px),))
        )
    )
    masked = int(np.flatnonzero(stage.binning.cell == MASKED_CELL)[0])
    fold, reduction = stage.fold(), stage.reduction
    taken: list[tuple[float, float, float]] = []
    for index in range(repeats + _WARM):
        frames = sound if index < _WARM else moved
        frame = frames[index % len(frames)].copy()
        frame.reshape(-1)[masked] = index + 1  # else it repeats an earlier one
        began = time.perf_counter()
        plain = reduction.cake(frame, look_again=False)
        pattern = reduction.pattern(plain)
        reduced = time.perf_counter()
        cake = reduction.cake(frame)
        looked = time.perf_counter()
        readbacks = {"detector_frame_number": float(index), "i0": 1e6}
        facts = stage.facts(cake, index, readbacks, pattern=pattern)
        ready = time.perf_counter()
        Totals.of_cake(cake)  # done again: the facts were made before the clock began
        fold.examine(facts)
        judged = time.perf_counter()
        taken.append((reduced - began, looked - reduced, judged - ready))
    reduce_ms, both_ms, judge_ms = (
        statistics.median(column) * 1e3 for column in zip(*taken[_WARM:], strict=True)
    )
    # The look is the difference of two long times: of their medians, not of pairs.
    look_ms = max(both_ms - (reduce_ms - _time_pattern(reduction, plain)), 0.0)
    return {
        "geometry": geometry,
        "dtype": dtype,
        "pixels": int(sound[0].size),
        "moved_px": moved_px,
        "reduction_ms": reduce_ms,
        "second_look_ms": look_ms,
        "judging_ms": judge_ms,
        "flags_over_reduction": (look_ms + judge_ms) / reduce_ms,
    }


def _time_pattern(reduction: Reduction, cake: Cake, repeats: int = 20) -> float:
    """Median time from cake to pattern, ms."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        reduction.pattern(cake)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3

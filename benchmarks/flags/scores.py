"""What the trials of one amplitude of a fault add up to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.case import Case
from ringwatch.models.calibration import wilson_interval
from ringwatch.simulated_beamline.conditions import Fault

__all__ = ["score", "worst_direction"]

Outcome = dict[str, Any]


def score(case: Case, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts and shares with Wilson intervals, delays, causes, and what was found.

    Parameters
    ----------
    case : Case
    outcomes : sequence of dict
        Of the trials.
    """
    return dict(_scores(case, outcomes))


def worst_direction(
    faults: Sequence[Fault], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Recall of the direction that is seen least; equal faults are one direction."""
    tried: dict[Fault, list[bool]] = {}
    for outcome in outcomes:
        tried.setdefault(faults[outcome["direction"]], []).append(outcome["seen"])
    worst = min(tried.values(), key=lambda seen: (sum(seen) / len(seen), -len(seen)))
    return {
        "directions": len(tried),
        "worst_seen": sum(worst),
        "worst_trials": len(worst),
    }


def _scores(case: Case, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Any]]:
    seen = [o for o in outcomes if o["seen"]]
    named = sum(o["cause"] == case.flag for o in seen)
    worded = sum(not case.word or o["word"] == case.word for o in seen)
    yield "trials", len(outcomes)
    yield "seen", len(seen)
    yield "recall", len(seen) / len(outcomes)
    yield "recall_95", list(wilson_interval(len(seen), len(outcomes)))
    yield "named", named
    yield "named_share", named / len(seen) if seen else None
    yield "word_share", worded / len(seen) if seen else None
    yield "delays", dict(Counter(str(o["delay"]) for o in seen))
    yield "delay_median", _median([o["delay"] for o in seen])
    yield "causes", dict(Counter(o["cause"] for o in outcomes))
    yield "words", dict(Counter(o["word"] for o in outcomes))
    measured = "recovered" if case.injected else "value"
    values = [o[measured] for o in outcomes]
    yield f"{measured}_median", _median(values)
    yield f"{measured}_scatter", _scatter(values)
    simple = Counter(b for o in outcomes for b in o["simple"])
    yield "baselines", {b: simple[b] / len(outcomes) for b in Baselines.NAMES}


def _median(values: list[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else None


def _scatter(values: list[float]) -> float | None:
    """Standard deviation of a single trial, from the median absolute deviation.

    None where fewer than half of the trials told a value: of the others one knows less.
    """
    middle = _median(values)
    if middle is None or 2 * sum(map(math.isfinite, values)) < len(values):
        return None
    return 1.4826 * (_median([abs(value - middle) for value in values]) or 0.0)

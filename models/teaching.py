"""From taught frames to a flag with a threshold and a measured false-alarm rate.

The rate is measured on runs that a head has not seen: stored runs are shared out to
four parts, and a head that learned from three of them is counted on the fourth. What is
handed back learned from all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.heads import FlagHead, Trace, stored_scores
from ringwatch.models.lines_and_haze import EvenGrid

__all__ = ["FalseAlarms", "TaughtFlag", "rings", "teach_flag", "upper_limit"]

Floats = NDArray[np.float64]

PARTS = 4
_OF_A_RUN = 4  # patterns of a stored run that are learned from
_MOST = 600  # of all runs
_TAIL = 0.1  # share of the scores from which the tail is taken
_LEAST_SHARE, _MOST_SHARE = 1e-6, 0.05
_SPENT = 0.1  # of the accepted rate, if recall allows: other samples will come
_WEAKER, _RAISED = 0.6, 0.95  # recall allows it if so much of the trace is still raised


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """What a head raised in frames that nobody says have what was taught.

    Attributes
    ----------
    runs, frames : int
        That were looked at.
    hours : float
        That they last at the stated rate of frames.
    alarms : int
        As the alarms of built-in flags are called: when two frames in a row are raised,
        once a run.
    raised : int
        Frames.
    per_hour, upper_95 : float
        Alarms an hour, and the rate that 95 of 100 such counts would exceed.
    """

    runs: int
    frames: int
    hours: float
    alarms: int
    raised: int
    per_hour: float
    upper_95: float

    @classmethod
    def of(cls, scores: Sequence[Floats], rate_hz: float) -> FalseAlarms:
        """Count in runs of scores (B,), raised where >= 0; NaN is not evaluated."""
        frames = sum(len(each) for each in scores)
        hours, alarms = frames / rate_hz / 3600.0, sum(map(rings, scores))
        return cls(
            runs=len(scores),
            frames=frames,
            hours=hours,
            alarms=alarms,
            raised=sum(int((each >= 0.0).sum()) for each in scores),
            per_hour=alarms / hours if hours else math.inf,
            upper_95=upper_limit(alarms) / hours if hours else math.inf,
        )


def rings(scores: Floats) -> bool:
    """Whether a run of scores (B,) rings: two frames in a row are raised."""
    raised = scores >= 0.0
    return bool((raised[1:] & raised[:-1]).any())


def upper_limit(count: int, confidence: float = 0.95) -> float:
    """The largest mean of a Poisson count that leaves so few a chance of 5 %.

    N. Gehrels, Astrophys. J. 303, 336 (1986), eq. 1; 3.0 for none.
    """
    low, high = float(count), count + 10.0 * math.sqrt(count + 1.0) + 10.0
    for _ in range(60):
        mean = 0.5 * (low + high)
        terms = [
            k * math.log(mean) - math.lgamma(k + 1) - mean for k in range(count + 1)
        ]
        if math.fsum(map(math.exp, terms)) > 1.0 - confidence:
            low = mean
        else:
            high = mean
    return high


@dataclass(frozen=True, kw_only=True)
class TaughtFlag:
    """A head, and what is known of it.

    Attributes
    ----------
    head : FlagHead
    alarms : FalseAlarms
        Of heads that learned from other runs.
    recall_added : float
        Share of stored patterns, of such other runs, that are raised once what was
        taught is put on them, as strong as it was taught. Says whether that can be
        told at all; not whether it looks the same in another sample.
    recall_taught : float
        Share of the taught frames themselves.
    """

    head: FlagHead
    alarms: FalseAlarms
    recall_added: float
    recall_taught: float

    def card(self) -> dict[str, object]:
        """All but the head, for a file."""
        return {
            "false_alarms": asdict(self.alarms),
            "recall_added": self.recall_added,
            "recall_taught": self.recall_taught,
        }


def teach_flag(
    q: Floats,
    taught: Floats,
    without: Floats,
    stored: Sequence[Floats],
    *,
    per_hour: float = 1.0,
    rate_hz: float = 10.0,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> TaughtFlag:
    """Teach a flag.

    Parameters
    ----------
    q : (n,) float64
        1/Angstrom, of all patterns.
    taught : (B, n) float64
        Some twenty patterns that have it.
    without : (B, n) float64
        Patterns of the same sample that do not have it.
    stored : sequence of (B, n) float64
        Runs that do not have it, of as many samples as there are; four or more.
    per_hour, rate_hz : float
        False alarms an hour that are accepted, at so many frames a second.
    seed : int
    progress : callable
        Told (done, of) steps.

    Raises
    ------
    ValueError
        Where there are too few frames or runs, or these share no q range.
    """
    if len(taught) < 3 or len(without) < 3 or len(stored) < PARTS:
        raise ValueError(
            f"{len(taught)} taught frames, {len(without)} without, {len(stored)} "
            f"stored runs: 3, 3 and {PARTS} are needed at least, better 20, 20 and 20"
        )
    grid = EvenGrid.covering(q, np.concatenate([taught[:1], *(r[:1] for r in stored)]))
    trace = Trace.between(
        grid, _usable(grid.resample(q, taught)), _usable(grid.resample(q, without))
    )
    runs = [_usable(grid.resample(q, run)) for run in (without, *stored)]
    runs = [run for run in runs if len(run)]
    few = [_spread_out(run, max(1, min(_OF_A_RUN, _MOST // len(runs)))) for run in runs]
    frames = float(np.mean([len(run) for run in runs]))
    # The frames of a run are alike: it is runs that raise a false alarm or do not.
    share = per_hour * frames / rate_hz / 3600.0
    found: list[Floats] = []
    added: list[Floats] = []
    for part in range(PARTS):
        own = [each for i, each in enumerate(few) if i % PARTS != part]
        head = _with_threshold(trace, own, share, seed)
        held_out = [run for i, run in enumerate(runs) if i % PARTS == part]
        found += [head.score_even(run) - head.threshold for run in held_out]
        for run in few[part::PARTS]:
            high = head.score_even(trace.added(run, np.ones(len(run))))
            added.append(high - head.threshold)
        progress(part + 1, PARTS + 1)
    head = _with_threshold(trace, few, share, seed)
    progress(PARTS + 1, PARTS + 1)
    return TaughtFlag(
        head=head,
        alarms=FalseAlarms.of(found, rate_hz),
        recall_added=float((np.concatenate(added) >= 0.0).mean()),
        recall_taught=float((head.score(q, taught) >= 0.0).mean()),
    )


def _with_threshold(
    trace: Trace, runs: Sequence[Floats], share: float, seed: int
) -> FlagHead:
    """Learn from runs, and spend as little of the accepted rate as recall allows."""
    every = np.concatenate(runs)
    head = FlagHead.fit(trace, every, seed=seed)
    full, weaker = (
        head.score_even(trace.added(every, np.full(len(every), strength)))
        for strength in (1.0, _WEAKER)
    )
    # A copy that came to lie on the trace is what was taught, and no false alarm.
    typical = float(np.median(full))
    scores = stored_scores(head, runs, seed=seed)
    told = np.concatenate([each for each in scores if np.median(each) < typical])
    enough = float(np.quantile(weaker, 1.0 - _RAISED))
    low, high = (tail_threshold(told, part * share) for part in (1.0, _SPENT))
    # Where what was taught stands clear of all else, the threshold stands between them.
    threshold = max(enough, low) if enough < high else 0.5 * (enough + high)
    return replace(head, threshold=threshold)


def tail_threshold(scores: Floats, share: float) -> float:
    """The score that a share of such scores exceeds, beyond those that were seen.

    Above its ninth decile the distribution is taken for a generalised Pareto one with
    the moments of the excesses (J. R. M. Hosking and J. R. Wallis, Technometrics 29,
    339 (1987), eq. 4), its shape between -0.5 and 0.
    """
    share = min(max(share, _LEAST_SHARE), _MOST_SHARE)
    start = float(np.quantile(scores, 1.0 - _TAIL))
    excess = scores[scores > start] - start
    mean, variance = float(excess.mean()), float(excess.var())
    shape = min(max(0.5 * (1.0 - mean**2 / max(variance, 1e-12)), -0.5), 0.0)
    scale = mean * (1.0 - shape)
    if shape > -1e-3:
        return start + scale * math.log(_TAIL / share)
    return start + scale / shape * ((share / _TAIL) ** -shape - 1.0)


def _usable(x: Floats) -> Floats:
    return x[np.isfinite(x).all(axis=1)]


def _spread_out(x: Floats, number: int) -> Floats:
    """So many rows, evenly spread."""
    return x[np.unique(np.linspace(0, len(x) - 1, number).astype(int))]

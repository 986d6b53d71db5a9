"""A flag that a person taught: from some twenty frames, against all that is stored.

What the taught frames have that the frames before them lack is a pattern of its own,
the trace. Light adds up: put onto every other stored pattern, and onto copies of these
whose cells are larger or smaller, the trace makes positives of many materials out of
twenty frames of one. A logistic regression then weighs where the trace shows: contrast
and height of its lines, each as a share of what was taught and none for more than all
of it, and the haze. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.lines_and_haze import EvenGrid, stretched
from ringwatch.models.logistic import fit_logistic

__all__ = ["FlagHead", "Trace", "stored_scores"]

Floats = NDArray[np.float64]

COPIES = 10
"""Stretched copies of each stored pattern."""
_RIDGE = 1e-3
_STRENGTHS = 0.5, 1.6  # of the trace, drawn evenly in its logarithm
_SIGNIFICANT = 6.0
_FLOOR = 0.15  # of a line's height: what is lower is not there
_CONTRAST, _HEIGHT = 0.1, 0.15  # of the trace's largest: smaller points say little


@dataclass(frozen=True)
class Trace:
    """What the taught frames have more than those without.

    Attributes
    ----------
    grid : EvenGrid
    more : (POINTS,) float64
        In units of the mean of a pattern without it.
    sigma : (POINTS,) float64
        Its standard deviation.
    """

    grid: EvenGrid
    more: Floats
    sigma: Floats

    @classmethod
    def between(cls, grid: EvenGrid, taught: Floats, without: Floats) -> Trace:
        """From patterns (B, POINTS) with and without what is taught, same sample.

        Both are known up to a factor (the beam): the trace is taken to be nil where it
        is smallest, in a tenth of the range.
        """
        high, low = taught.mean(axis=0), without.mean(axis=0)
        ratio = grid.haze(high[None])[0] / np.maximum(grid.haze(low[None])[0], 1e-9)
        factor = 1.0 / max(float(np.quantile(ratio, 0.1)), 1e-9)
        spread = taught.var(axis=0) * factor**2 / len(taught)
        spread += without.var(axis=0) / len(without)
        # A handful of frames underestimates the scatter of a point now and then.
        least = 0.25 * np.median(spread)
        return cls(grid, factor * high - low, np.sqrt(np.maximum(spread, least)))

    def added(self, x: Floats, strengths: Floats) -> Floats:
        """Patterns (B, POINTS) with the trace on them, (B,) times as strong."""
        out = np.maximum(x + strengths[:, None] * self.more, 0.0)
        return np.asarray(out / np.maximum(out.mean(axis=1, keepdims=True), 1e-9))


@dataclass(frozen=True)
class FlagHead:
    """A taught flag.

    Attributes
    ----------
    grid : EvenGrid
    contrast_at, contrast : (a,)
        Points of the grid, and what the trace has there over its neighbours.
    height_at, height : (b,)
        The same over its haze.
    mean, scale, weights : (d,)
        The log odds are ``weights @ (features - mean) / scale``.
    bias : float
        Added to that.
    threshold : float
        Log odds from which on the flag is raised.
    """

    grid: EvenGrid
    contrast_at: NDArray[np.int64]
    contrast: Floats
    height_at: NDArray[np.int64]
    height: Floats
    mean: Floats
    scale: Floats
    weights: Floats
    bias: float
    threshold: float = 0.0

    @classmethod
    def fit(cls, trace: Trace, stored: Floats, *, seed: int = 0) -> FlagHead:
        """Learn to tell stored patterns (B, POINTS) from themselves with the trace.

        The threshold is still 0, even odds: see ``stored_scores``.

        Raises
        ------
        ValueError
            Where fewer than eight stored patterns are given.
        """
        if len(stored) < 8:
            raise ValueError(
                f"{len(stored)} stored patterns: 8 or more without what is taught are "
                "needed, of several runs"
            )
        rng = np.random.default_rng([20261123, seed])
        blank = cls._blank(trace)
        negative = with_copies(stored, trace.grid, rng, COPIES)
        low, high = np.log(_STRENGTHS)
        strengths = np.exp(rng.uniform(low, high, len(negative)))
        kinds = negative, trace.added(negative, strengths)
        x = np.concatenate([blank.features(each) for each in kinds])
        y = np.arange(len(x)) >= len(negative)
        mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
        weights, bias = fit_logistic((x - mean) / scale, y, _RIDGE)
        return replace(blank, mean=mean, scale=scale, weights=weights, bias=bias)

    @classmethod
    def _blank(cls, trace: Trace) -> FlagHead:
        """Where to look, not yet what it means."""
        grid, more = trace.grid, trace.more
        contrast = grid.contrast(more[None])[0]
        height = more - grid.haze(more[None])[0]
        sharp = np.abs(contrast) > _SIGNIFICANT * 1.25 * trace.sigma
        sharp &= np.abs(contrast) > _CONTRAST * np.abs(contrast).max()
        tall = height > np.maximum(
            _SIGNIFICANT * trace.sigma, _HEIGHT * float(height.max())
        )
        return cls(
            grid=grid,
            contrast_at=np.flatnonzero(sharp),
            contrast=contrast[sharp],
            height_at=np.flatnonzero(tall),
            height=height[tall],
            mean=np.zeros(0),
            scale=np.ones(0),
            weights=np.zeros(0),
            bias=0.0,
        )

    def features(self, x: Floats) -> Floats:
        """What the head looks at in patterns (B, POINTS): (B, d)."""
        grid = self.grid
        haze = grid.haze(x)
        contrast = grid.contrast(x)[:, self.contrast_at] / self.contrast
        height = (x - haze)[:, self.height_at] / self.height
        # No line may speak for more than itself: a sample's own peak is no evidence;
        # and all must be there: the logarithm and the lowest third speak for that.
        contrast, height = np.clip(contrast, -1.0, 1.0), np.clip(height, -0.2, 1.2)
        return np.concatenate(
            [
                contrast,
                height,
                np.log(_FLOOR + np.maximum(height, 0.0)),
                *_lowest(contrast),
                *_lowest(height),
                grid.knots(haze),
            ],
            axis=1,
        )

    def score(self, q: Floats, intensity: Floats) -> Floats:
        """Log odds over the threshold (B,) of patterns (B, n); raised where >= 0.

        NaN where a pattern does not cover the head's q range: not evaluated.
        """
        x = self.grid.resample(q, intensity)
        # One by one, so that a pattern's score is the same bits in any batch.
        scores = [self.score_even(row[None]) for row in x]
        return np.concatenate([np.zeros(0), *scores]) - self.threshold

    def score_even(self, x: Floats) -> Floats:
        """Log odds (B,) of patterns (B, POINTS) on the head's grid."""
        with np.errstate(invalid="ignore"):
            z = (self.features(x) - self.mean) / self.scale
        return np.asarray(z @ self.weights + self.bias)

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        """For a file."""
        return {
            "grid": np.array([self.grid.q_min, self.grid.q_max]),
            "contrast_at": self.contrast_at,
            "contrast": self.contrast,
            "height_at": self.height_at,
            "height": self.height,
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.weights,
            "bias_and_threshold": np.array([self.bias, self.threshold]),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, NDArray[np.generic]]) -> FlagHead:
        """From a file.

        Raises
        ------
        ValueError
            Where one is missing or they do not fit each other.
        """
        try:
            given = {name: np.asarray(tensors[name]) for name in _TENSORS}
        except KeyError as error:
            raise ValueError(f"no tensor {error} of a taught flag") from error
        low, high = given.pop("grid").astype(float)
        bias, threshold = given.pop("bias_and_threshold").astype(float)
        head = cls(
            grid=EvenGrid(float(low), float(high)),
            bias=float(bias),
            threshold=float(threshold),
            **given,
        )
        sizes = {len(head.mean), len(head.scale), len(head.weights)}
        found = head.features(np.ones((1, head.grid.q.size))).shape[1]
        if sizes != {found}:
            raise ValueError(f"weights of {sizes} features where there are {found}")
        return head


_TENSORS = (
    *("grid", "contrast_at", "contrast", "height_at", "height"),
    *("mean", "scale", "weights", "bias_and_threshold"),
)


def _lowest(shares: Floats) -> list[Floats]:
    """Mean of the lowest third and of all shares (B, a), each (B, 1); [] for a = 0."""
    number = shares.shape[1]
    if not number:
        return []
    third = max(1, number // 3)
    low = np.partition(shares, third - 1, axis=1)[:, :third]
    return [low.mean(axis=1, keepdims=True), shares.mean(axis=1, keepdims=True)]


def with_copies(
    stored: Floats, grid: EvenGrid, rng: np.random.Generator, number: int
) -> Floats:
    """Patterns (B, POINTS) and so many stretched copies of each."""
    copies = [stretched(stored, grid, rng) for _ in range(number)]
    return np.concatenate([stored, *copies])


def stored_scores(
    head: FlagHead, stored: Sequence[Floats], *, seed: int = 0
) -> list[Floats]:
    """Log odds of stored runs, each (B, POINTS), and of stretched copies of each.

    A run whose cells are larger or smaller stands for one of another material: of these
    a few stored runs make many, and how high their scores reach sets the threshold.
    """
    rng = np.random.default_rng([20261124, seed])
    scores = []
    for run in stored:
        both = with_copies(run, head.grid, rng, COPIES)
        scores += np.split(head.score_even(both), COPIES + 1)
    return scores

"""Beamtimes drawn as patterns, and how far embeddings lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.benchmarks.pattern_runs import Blend, draw, expected_pattern, material
from ringwatch.models.classifier import Classifier
from ringwatch.models.clusters import find_clusters, seen_phases

__all__ = ["BACKGROUND", "COUNTS", "auroc", "drawn", "scale"]

COUNTS = 3e5, 5e6
"""Of a frame; drawn evenly in the logarithm."""
BACKGROUND = 0.25, 0.55
"""Share of the counts that is no ring."""

Floats = NDArray[np.float64]


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Share of pairs, one of each kind, in which the positive one scores higher."""
    high, low = scores[positive], scores[~positive]
    above = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    return float(above)


def drawn(trials: int, seed: int) -> dict[str, Any]:
    """The same of beamtimes drawn as patterns; a row of the table."""
    rng = np.random.default_rng(seed)
    classifier = Classifier.load(backend="onnx")
    areas, two, frames = [], 0, 0
    for _ in range(trials):
        numbers = rng.choice(100, 6, replace=False)
        known, new = numbers[:4], numbers[4:]
        seen = [_seen_run(classifier, n, rng) for n in known for _ in range(2)]
        phases = seen_phases(seen)
        assert phases is not None
        later = [_seen_run(classifier, n, rng) for n in known]
        later += [_seen_run(classifier, n, rng) for n in new for _ in range(3)]
        clusters, novelty = find_clusters(later, phases)
        is_new = np.arange(len(novelty)) >= sum(map(len, later[:4]))
        areas.append(auroc(novelty, is_new))
        two += len(clusters) == 2
        frames += len(novelty)
    return {
        "beamtimes": trials,
        "frames": frames,
        "auroc_median": float(np.median(areas)),
        "auroc_worst": float(np.min(areas)),
        "auroc_0.9": sum(a >= 0.9 for a in areas),
        "two_clusters": two,
    }


def _seen_run(
    classifier: Classifier, number: int, rng: np.random.Generator, frames: int = 16
) -> Floats:
    """Embeddings (frames, 64) of a run of one material."""
    low, high = np.log(COUNTS)
    expected = expected_pattern(
        Blend(((material(int(number)), 1.0),)),
        counts=float(np.exp(rng.uniform(low, high))),
        background=float(rng.uniform(*BACKGROUND)),
        temperature=float(rng.uniform(290.0, 420.0)),
    )
    seen = draw(expected, frames, rng)
    said: Any = classifier.predict(seen.q, seen.intensity, seen.sigma)
    return np.array([each.embedding for each in said], np.float64)


def scale(materials: int, seed: int) -> dict[str, Any]:
    """How far embeddings lie apart; a row of the table."""
    rng = np.random.default_rng(seed)
    classifier = Classifier.load(backend="onnx")
    twice = [
        [_seen_run(classifier, n, rng) for _ in range(2)] for n in range(materials)
    ]
    frames = [
        np.linalg.norm(run - run.mean(axis=0), axis=1) for r in twice for run in r
    ]
    means = np.array([[run.mean(axis=0) for run in runs] for runs in twice])
    same = np.linalg.norm(means[:, 0] - means[:, 1], axis=1)
    others = np.linalg.norm(means[:, None, 0] - means[None, :, 1], axis=2)
    np.fill_diagonal(others, np.inf)
    return {
        "materials": materials,
        "frame_to_mean": float(np.median(np.concatenate(frames))),
        "same_other_run_median": float(np.median(same)),
        "same_other_run_p95": float(np.quantile(same, 0.95)),
        "other_median": float(np.median(others[np.isfinite(others)])),
        "nearest_other_median": float(np.median(others.min(axis=1))),
        "nearest_other_p5": float(np.quantile(others.min(axis=1), 0.05)),
    }

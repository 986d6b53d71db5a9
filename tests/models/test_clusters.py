"""Phases told apart in the embedding, and clusters of what is none of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.models.class_heads import ClassHead, Scatter
from ringwatch.models.clusters import find_clusters, seen_phases

Floats = NDArray[np.float64]
SIZE = 64


def run_of(phase: int, seed: int, frames: int = 12) -> Floats:
    """Frames of a phase: 4 to 5 from the others, scattered as the network's are."""
    rng = np.random.default_rng([phase, 9])
    place = rng.normal(size=SIZE)
    noise = np.random.default_rng([phase, seed])
    shift = noise.normal(size=SIZE) * 0.6 / 8.0
    middle = 3.3 * place / np.linalg.norm(place) + shift
    return middle + noise.normal(size=(frames, SIZE)) / 8.0


def test_new_phases_make_as_many_clusters() -> None:
    seen = [run_of(phase, seed) for phase in range(4) for seed in (1, 2)]
    known = seen_phases(seen)
    assert known is not None
    assert len(known.names) == 4
    later = [run_of(p, seed) for p in (0, 7, 1, 8, 7, 2, 8) for seed in (3,)]
    clusters, novelty = find_clusters(later, known)
    assert [len(each.members) for each in clusters] == [24, 24]
    new = np.repeat([False, True, False, True, True, False, True], 12)
    assert sorted(np.concatenate([c.members for c in clusters])) == list(
        np.flatnonzero(new)
    )
    assert novelty[new].min() > novelty[~new].max()
    assert all(each.example in each.members for each in clusters)


def test_nothing_known_and_nothing_there() -> None:
    clusters, novelty = find_clusters([run_of(1, 1), run_of(2, 1)])
    assert [len(each.members) for each in clusters] == [12, 12]
    assert np.isinf(novelty).all()
    absent = np.full((5, SIZE), np.nan)
    clusters, novelty = find_clusters([absent])
    assert clusters == []
    assert np.isnan(novelty).all()


def test_many_frames_are_clustered_as_few_are() -> None:
    many = [run_of(phase, 1, frames=900) for phase in (1, 2)]
    clusters, _ = find_clusters(many)
    assert sorted(len(each.members) for each in clusters) == [900, 900]


def test_none_of_these_is_an_answer() -> None:
    x = np.concatenate([run_of(1, 1), run_of(2, 1)])
    head = ClassHead.fit(x, ["a"] * 12 + ["b"] * 12)
    assert head.classify(run_of(1, 5)) == ["a"] * 12
    assert head.classify(run_of(2, 5)) == ["b"] * 12
    assert head.classify(run_of(9, 5)) == [""] * 12
    assert head.classify(np.full((1, SIZE), np.nan)) == [""]
    kept = ClassHead.of_tensors(head.names, head.to_tensors())
    np.testing.assert_array_equal(kept.distances(x), head.distances(x))


def test_what_does_not_fit_is_refused() -> None:
    head = ClassHead.fit(run_of(1, 1), ["a"] * 12)
    with pytest.raises(ValueError, match="do not fit"):
        ClassHead.of_tensors(["a", "b"], head.to_tensors())
    with pytest.raises(ValueError, match="no named pattern"):
        ClassHead.fit(np.full((2, SIZE), np.nan), ["a", "a"])


def test_a_transition_does_not_widen_the_scatter() -> None:
    still = Scatter.of_runs([run_of(1, 1, 40)])
    turned = Scatter.of_runs([np.concatenate([run_of(1, 1, 20), run_of(2, 1, 20)])])
    apart = run_of(1, 1).mean(axis=0) - run_of(2, 1).mean(axis=0)
    lengths = [np.linalg.norm(s.whiten(apart[None])) for s in (still, turned)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.15)

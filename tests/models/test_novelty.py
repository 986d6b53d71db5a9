"""Novelty: what is no single crystalline phase, simulated, learned and measured."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.crystals import CrystalGenerator, Peaks
from ringwatch.models.diffraction import Reflections
from ringwatch.models.disturbances.foreign_patterns import (
    _container,
    _halo,
    _leak,
    mixture,
    without_crystal,
)
from ringwatch.models.evaluation.datasets import Facts, LabelledPattern, RealStructure
from ringwatch.models.evaluation.novelty_check import (
    Area,
    Scored,
    area_under_curve,
    mixed,
    summed,
)
from ringwatch.models.inputs import InputGrid
from ringwatch.models.novelty import NoveltyHead, features
from ringwatch.models.training.head_training import Examples, fit_novelty


def test_features_are_hidden_layer_energy_and_entropy():
    even = np.zeros((1, 4), np.float32)
    sure = np.array([[1000.0, 0, 0, 0]], np.float32)
    hidden = np.array([[1.0, 2.0]], np.float32)
    np.testing.assert_allclose(
        features(even, hidden), [[1, 2, np.log(4), np.log(4)]], rtol=1e-6
    )
    np.testing.assert_allclose(features(sure, hidden), [[1, 2, 1000, 0]], atol=1e-3)


def test_a_head_by_hand():
    head = NoveltyHead(
        mean=np.array([1.0, 0, 0], "f4"),
        scale=np.array([2.0, 1, 1], "f4"),
        first=np.array([[1.0], [0], [0]], "f4"),
        first_bias=np.array([0.5], "f4"),
        last=np.array([[1.0, 0, -1]], "f4"),
        last_bias=np.zeros(3, "f4"),
    )
    hidden = np.array([[5.0], [-9.0]], "f4")  # 2.5 inside; rectified to 0
    logits = np.zeros((2, 230), "f4")
    p = head.probabilities(logits, hidden)
    e = np.exp([2.5, 0, -2.5])
    np.testing.assert_allclose(p[0], e / e.sum(), rtol=1e-6)
    np.testing.assert_allclose(p[1], 1 / 3, rtol=1e-6)
    score = head.score(logits, hidden)
    np.testing.assert_allclose(score, [np.log((1 + e[2]) / e[0]), np.log(2)], rtol=1e-5)
    far = head.score(logits, np.array([[1e4], [-1e4]], "f4"))
    assert far[0] == -12.0  # no infinite certainty
    again = NoveltyHead.of_tensors(head.to_tensors())
    assert again is not None
    np.testing.assert_array_equal(again.score(logits, hidden), score)
    assert NoveltyHead.of_tensors({}) is None


def test_a_head_learns_kinds_and_learns_the_same_again():
    rng = np.random.default_rng(0)
    centre = 3 * rng.normal(size=(3, 8))
    sizes = (900, 900, 300)  # weights make up for the rarer kind
    hidden = tuple(
        (c + rng.normal(size=(n, 8))).astype("f4")
        for c, n in zip(centre, sizes, strict=True)
    )
    logits = tuple(rng.normal(size=(n, 230)).astype("f4") for n in sizes)
    head = fit_novelty(Examples(logits, hidden), epochs=25)
    for kind in range(3):
        p = head.probabilities(logits[kind], hidden[kind])
        assert (p.argmax(axis=1) == kind).mean() > 0.95
    again = fit_novelty(Examples(logits, hidden), epochs=25)
    np.testing.assert_array_equal(again.first, head.first)


def two(q, strength):
    return Peaks(
        space_group=np.array([1, 225]),
        start=np.array([0, 2, 3]),
        q=np.array(q, "f4"),
        strength=np.array(strength, "f4"),
    )


def test_mixtures_hold_the_lines_of_both_at_the_stated_share():
    one = two([1.0, 2.0, 3.0], [10.0, 10.0, 5.0])
    other = two([1.5, 2.5, 4.0], [1.0, 7.0, 9.0])
    both = mixture(one, other, np.array([0.5, 0.25]))
    assert both.start.tolist() == [0, 4, 6]
    assert both.q.tolist() == [1.0, 2.0, 1.5, 2.5, 3.0, 4.0]
    assert both.space_group.tolist() == [1, 225]
    height = both.strength / both.q**2
    assert height[:2].max() == pytest.approx(0.5)
    assert height[2:4].max() == pytest.approx(0.5)
    assert height[4:].tolist() == pytest.approx([0.75, 0.25])


def test_real_mixtures_of_generated_crystals_are_whole():
    crystals = CrystalGenerator(seed=3)
    one, other = crystals.peaks(0, 16), crystals.peaks(16, 16)
    both = mixture(one, other, np.full(16, 0.5))
    assert len(both.q) == len(one.q) + len(other.q) == both.start[-1]
    for b in range(16):
        lines = both.q[both.start[b] : both.start[b + 1]]
        mine = one.q[one.start[b] : one.start[b + 1]]
        theirs = other.q[other.start[b] : other.start[b + 1]]
        assert sorted(lines) == sorted([*mine, *theirs])


def test_nothing_is_sharp_where_there_is_no_crystal():
    grid = InputGrid()
    x, kind = without_crystal(np.random.default_rng(1), grid, 300)
    assert x.shape == (300, 3, 2048)
    assert set(kind) == {0, 1, 2}
    assert np.isfinite(x).all()
    assert ((x[:, 2] == 0) | (x[:, 2] == 1)).all()
    narrowest = np.log(3.2 / 1.2) / np.log(6.0 / 0.3)  # of the ranges drawn
    assert (x[:, 2].mean(axis=1) > narrowest - 0.01).all()
    again, _ = without_crystal(np.random.default_rng(1), grid, 300)
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("draw", [_halo, _container, _leak])
def test_halos_rises_and_flanks_are_smooth(draw):
    """Nothing is narrower than 0.2 1/Angstrom but the flank of the beam at low q."""
    q = np.arange(0.3, 6.0, 0.005)
    rng = np.random.default_rng(2)
    for _ in range(50):
        y = draw(rng, q)
        assert (y > 0).all()
        assert np.isfinite(y).all()
        tops = 1 + np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:]))
        assert len(tops) <= 4
        assert len(tops) == 0 or draw is not _leak
        for top in tops:
            near = np.abs(q - q[top]) < 0.02
            assert y[near].min() > 0.95 * y[top]


def test_area_under_the_curve_by_hand():
    assert area_under_curve([3, 4], [1, 2]) == 1.0
    assert area_under_curve([1, 2], [3, 4]) == 0.0
    assert area_under_curve([1, 3], [2, 2]) == 0.5
    assert area_under_curve([2], [2, 1]) == 0.75
    assert np.isnan(area_under_curve([], [1]))


def test_the_interval_of_an_area_holds_the_truth_in_95_of_100():
    """Two normal distributions 1.5 deviations apart: Phi(1.5 / sqrt 2) = 0.8556."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        novel = Scored(rng.normal(1.5, 1, 60), 60)
        area = Area.of(novel, Scored(rng.normal(0, 1, 90), 90))
        held += area.low <= 0.8556 <= area.high
    assert 0.92 <= held / 400 <= 0.98
    assert (area.novel, area.known) == (60, 90)


@pytest.mark.parametrize("sign", [1, -1])
def test_no_overlap_among_few_is_no_certainty(sign):
    """Of 20 and 90 one in ten, or none, might lie on the other side."""
    known = Scored(np.linspace(0, 1, 90), 90)
    area = Area.of(Scored(np.linspace(2, 3, 40) * sign, 20), known)
    assert area.value == (sign > 0)
    assert area.low <= area.value <= area.high
    assert 0.1 < area.high - area.low < 0.2


def test_near_duplicates_make_an_area_no_surer():
    rng = np.random.default_rng(12)
    known = Scored(rng.normal(0, 1, 90), 90)
    novel = rng.normal(1, 1, 20)
    once = Area.of(Scored(novel, 20), known)
    thrice = Area.of(Scored(np.repeat(novel, 3), 20), known)
    assert (thrice.low, thrice.high) == (once.low, once.high)
    assert thrice.novel == 60


def lines(q, f_squared):
    n = len(q)
    return Reflections(
        q=np.array(q, float),
        d_spacing=2 * np.pi / np.array(q),
        hkl=np.ones((n, 3), np.int64),
        multiplicity=np.full(n, 2),
        f_squared=np.array(f_squared, float),
    )


def test_mixed_structures_and_summed_patterns():
    cell = (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
    first, second = lines([1.0, 3.0], [8.0, 9.0]), lines([2.0], [0.4])
    one = RealStructure(space_group=1, lines=first, volume=1.0, cell=cell, row=7)
    other = RealStructure(space_group=2, lines=second, volume=2.0, cell=cell, row=8)
    both = mixed(one, other)
    assert (both.space_group, both.row) == (1, 7)
    assert both.lines.q.tolist() == [1.0, 2.0, 3.0]
    height = both.lines.f_squared * 2 / both.lines.q**2
    assert height[0] == pytest.approx(height[1]) == pytest.approx(1.0)

    def pattern(q, at, cluster):
        y = np.exp(-(((q - at) / 0.02) ** 2))
        return LabelledPattern(
            space_group=1, q=q, intensity=50 * y, facts=Facts(cluster=cluster)
        )

    first = pattern(np.linspace(0.5, 5, 2000), 2.0, "a")
    second = pattern(np.linspace(1, 6, 1500), 3.0, "b")
    added = summed(first, second)
    assert added is not None
    assert added.q[0] >= 1
    assert added.q[-1] <= 5
    near = [added.intensity[np.abs(added.q - at) < 0.01].max() for at in (2.0, 3.0)]
    assert near == pytest.approx([1, 1], rel=0.02)
    assert summed(first, first) is None
    apart = pattern(np.linspace(7, 9, 1500), 8.0, "c")
    assert summed(first, apart) is None

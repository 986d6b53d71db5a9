"""Drawn patterns: lines where Bragg puts them, disturbances as large as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.models.evaluation.datasets import read_structures
from ringwatch.models.evaluation.sweeps import SWEEPS, n_steps
from ringwatch.models.evaluation.views import BEAMLINE, CLEAN, draw


@pytest.fixture(scope="module")
def nial(tmp_path_factory, structure_row, write_table):
    path = tmp_path_factory.mktemp("nial") / "s.parquet"
    (structure,) = read_structures(write_table(path, [structure_row()]))
    return structure


def width(pattern, centre):
    """Full width at half maximum of the line near ``centre``."""
    near = abs(pattern.q - centre) < 0.2
    q, y = pattern.q[near], pattern.intensity[near]
    above = q[y > y.max() / 2]
    return above[-1] - above[0]


STRONGEST = 2 * np.pi / 2.88 * np.sqrt(2)  # 110 of NiAl


def test_lines_lie_where_bragg_puts_them(nial):
    pattern = draw(nial, CLEAN)
    at = pattern.q[pattern.intensity.argmax()]
    assert at == pytest.approx(STRONGEST, abs=0.002)
    assert pattern.q[0] == pytest.approx(0.356)
    assert pattern.q[-1] == pytest.approx(5.76)
    assert pattern.intensity.max() == pytest.approx(1)
    assert width(pattern, STRONGEST) == pytest.approx(0.008, abs=0.0021)


def test_a_draw_repeats_and_depends_on_row_and_seed_alone(nial):
    first = draw(nial, BEAMLINE).intensity
    np.testing.assert_array_equal(first, draw(nial, BEAMLINE).intensity)
    assert (first != draw(nial, BEAMLINE, seed=1).intensity).any()
    assert (first != draw(replace(nial, row=7), BEAMLINE).intensity).any()


def test_beamline_draws_stay_in_the_stated_ranges(nial):
    tops, widths = [], []
    for seed in range(200):
        pattern = draw(nial, BEAMLINE, seed=seed)
        tops.append(pattern.intensity.max())
        smooth = replace(BEAMLINE, counts=(0, 0), background=(0, 0), pedestal=0)
        widths.append(width(draw(nial, smooth, seed=seed), STRONGEST))
        assert pattern.q[0] == pytest.approx(0.7)
        assert pattern.q[-1] == pytest.approx(5.6)
    assert 900 < min(tops) < 1500
    assert 80_000 < max(tops) < 2e5
    step = BEAMLINE.step
    assert 0.012 - step <= min(widths) < 0.016
    assert 0.026 < max(widths) <= 0.03 + step


def test_counts_scatter_as_poisson_says(nial):
    view = replace(CLEAN, pedestal=0.5, counts=(1e4, 1e4))
    free = draw(nial, CLEAN).intensity < 1e-4
    y = draw(nial, view).intensity[free]
    assert free.sum() > 500
    assert y.mean() == pytest.approx(5000, rel=0.01)
    assert y.std() == pytest.approx(np.sqrt(5000), rel=0.1)


def test_backgrounds_have_their_height(nial):
    view = replace(CLEAN, background=(0.3, 0.3))
    clean = draw(nial, CLEAN).intensity
    for seed in range(5):
        added = draw(nial, view, seed=seed).intensity - clean
        assert added.max() == pytest.approx(0.3, rel=1e-6)
        assert added.min() >= -1e-9
        assert abs(np.diff(added)).max() < 0.01  # smooth: no step is a line


def test_foreign_lines_shifts_and_doublets(nial):
    clean = draw(nial, CLEAN).intensity
    foreign = draw(nial, replace(CLEAN, impurities=3, impurity_height=0.2)).intensity
    assert 0 < (foreign - clean).max() <= 0.2 * 3
    shifted = draw(nial, replace(CLEAN, zero_shift=0.05))
    moved = shifted.q[shifted.intensity.argmax()] - STRONGEST
    assert 0.003 < abs(moved) < 0.2
    doublet = draw(nial, replace(CLEAN, doublet=True, fwhm=(0.003, 0.003)))
    last = 2 * np.pi / 2.88 * np.sqrt(6)  # far out, where the doublet splits
    near = abs(doublet.q - last) < 0.03
    y = doublet.intensity[near]
    peaks = np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] > y[2:])) + 1
    assert len(peaks) == 2
    split = np.diff(doublet.q[near][peaks])[0]
    assert split == pytest.approx(last * 0.00249, abs=0.004)


def test_texture_changes_heights_and_no_positions(nial):
    strong = draw(nial, replace(CLEAN, texture=1.0))
    clean = draw(nial, CLEAN)
    at = [2 * np.pi / 2.88 * np.sqrt(n) for n in (1, 2, 3, 4, 5, 6)]
    index = np.searchsorted(clean.q, at)
    ratio = strong.intensity[index] / clean.intensity[index]
    assert ratio.std() > 0.2
    assert (strong.intensity[index] > strong.intensity[index + 20]).all()


def test_every_sweep_starts_from_the_clean_view(nial):
    clean = draw(nial, CLEAN)
    for name, sweep in SWEEPS.items():
        views = list(sweep.views.values())
        if name == "counts":
            views = [replace(v, counts=(0, 0), pedestal=0) for v in views]
        drawn = [draw(nial, view).intensity for view in views]
        assert any(np.array_equal(y, clean.intensity) for y in drawn), name
        assert len({repr(v) for v in sweep.views.values()}) == len(sweep.views)
    assert n_steps() == sum(len(sweep.views) for sweep in SWEEPS.values())

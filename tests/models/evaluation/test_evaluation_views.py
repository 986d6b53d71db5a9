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


@pytest.fixture(scope="module")
def plates(tmp_path_factory, structure_row, write_table):
    """A tetragonal cell: 00l and hk0 lie at right angles."""
    path = tmp_path_factory.mktemp("plates") / "s.parquet"
    row = structure_row(space_group=123, c=3.7)
    (structure,) = read_structures(write_table(path, [row]))
    return structure


@pytest.mark.parametrize("r", [0.5, 1.6])
def test_preferred_orientation_is_that_of_march_and_dollase(plates, r):
    """Of an axis 001 the lines 00l gain r^-3 and the lines hk0 r^(3/2)."""
    clean = draw(plates, CLEAN)
    index = {
        "001": np.searchsorted(clean.q, 2 * np.pi / 3.7),
        "100": np.searchsorted(clean.q, 2 * np.pi / 2.88),
    }
    found = set()
    for seed in range(40):
        y = draw(plates, replace(CLEAN, march_dollase=r), seed=seed).intensity
        ratio = {name: y[i] / clean.intensity[i] for name, i in index.items()}
        found.add(round(ratio["001"] / ratio["100"], 2))
    expected = r**-3 / r**1.5
    assert any(value == pytest.approx(expected, rel=0.03) for value in found)
    assert 3 <= len(found) <= 7  # axes that are equivalent give the same


def test_a_nearer_detector_widens_lines_as_geometry_says(nial):
    view = replace(BEAMLINE, q_min=0.5, step=0.001, background=(0, 0), counts=(0, 0))
    view = replace(view, fwhm=(0.008, 0.008), pedestal=0.0)
    far = width(draw(nial, view), STRONGEST)
    assert far == pytest.approx(0.008, abs=0.0021)
    theta = np.arcsin(STRONGEST * 0.3 / (4 * np.pi))
    for distance in (1.0, 0.3):
        seen = width(draw(nial, replace(view, distance=distance)), STRONGEST)
        # Box of 172 um, beam of 300 um; depth and bandwidth matter little here.
        spot = np.hypot(300e-6, 172e-6 * np.sqrt(8 * np.log(2) / 12)) / distance
        own = spot * np.cos(2 * theta) ** 2 * np.cos(theta) * 2 * np.pi / 0.3
        assert seen == pytest.approx(np.hypot(0.008, own), rel=0.15)


def test_every_sweep_starts_from_the_clean_view(nial):
    clean = draw(nial, CLEAN)
    for name, sweep in SWEEPS.items():
        views = list(sweep.views.values())
        if name == "counts":
            views = [replace(v, counts=(0, 0), pedestal=0) for v in views]
        if name == "distance":
            lab = {"wavelength": CLEAN.wavelength, "polarization": CLEAN.polarization}
            views = [replace(v, distance=0.0, **lab) for v in views]
        drawn = [draw(nial, view).intensity for view in views]
        assert any(np.array_equal(y, clean.intensity) for y in drawn), name
        assert len({repr(v) for v in sweep.views.values()}) == len(sweep.views)
    assert n_steps() == sum(len(sweep.views) for sweep in SWEEPS.values())

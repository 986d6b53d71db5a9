"""Frames that were reduced elsewhere, measured and drawn."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, FlagState, Word
from ringwatch.agent.quality.caked import CakedSeries, caked_binning, caked_facts


def judged(x, series, wavelength=1.0):
    run = CakedSeries(x, wavelength)
    return [run.judge(y) for y in series]


def test_titanium_by_36_sectors_is_not_misaligned(shared_data):
    stored = np.load(shared_data / "timeseries_xrdfit_Ti7Nb_700C.npz")
    found = judged(stored["x"], stored["y"])
    assert {q.word for q in found} <= {Word.GOOD, Word.SUSPECT}
    for quality in found:
        assert quality.states[Flag.BEAM_CENTER] is FlagState.CLEAR
        assert abs(quality.values["beam_center_dx_px"]) < 0.25
    assert found[9].states[Flag.RADIAL_SCALE] is not FlagState.RAISED


def test_fifty_patterns_claim_no_centre_and_no_fault_of_it(shared_data):
    stored = np.load(shared_data / "timeseries_lambda_P02_testasapo1.npz")
    x, y = (stored[name][..., :4036] for name in ("x", "y"))
    x, y = (a.reshape(*a.shape[:-1], -1, 2).mean(axis=-1) for a in (x, y))
    for quality in judged(x, y, 0.4836):
        assert quality.word not in (Word.MISALIGNED, Word.BAD)
        assert quality.states[Flag.BEAM_CENTER] is FlagState.NOT_EVALUATED
        assert quality.states[Flag.TILT] is FlagState.NOT_EVALUATED


X = np.linspace(1.0, 12.0, 900)
STEP = X[1] - X[0]


def sectors(rng, dx=0.0, n=36, unit=0.02):
    """Rings whose centre lies ``dx`` points along chi = 0, and noise like counts."""
    chi = -np.pi + (np.arange(n) + 0.5) * 2 * np.pi / n
    mean = np.full((n, X.size), 40.0)
    for line in (3.0, 4.2, 5.1, 6.4, 7.3, 8.8, 10.1):
        place = line + dx * STEP * np.cos(chi)
        mean += 400.0 * np.exp(-0.5 * ((X - place[:, None]) / (1.7 * STEP)) ** 2)
    return rng.poisson(mean / unit) * unit


@pytest.mark.parametrize("n", [32, 36, 72])
def test_a_moved_centre_is_measured(rng, n):
    (quality,) = judged(X, [sectors(rng, 1.0, n)])
    assert quality.primary is Flag.BEAM_CENTER
    assert quality.values["beam_center_dx_px"] == pytest.approx(1.0, rel=0.1)
    assert quality.values["beam_center_dy_px"] == pytest.approx(0.0, abs=0.05)
    sound = judged(X, [sectors(rng, 0.0, n) for _ in range(5)])
    assert {q.word for q in sound} == {Word.GOOD}


@pytest.mark.parametrize("left", [1e-4, 0.01])
def test_a_lost_beam_is_no_matter_of_noise(rng, left):
    frames = [sectors(rng) for _ in range(6)]
    *sound, lost = judged(X, [*frames, frames[-1] * left])
    assert {q.word for q in sound} == {Word.GOOD}
    assert lost.word is Word.BAD
    assert lost.primary in {Flag.NO_BEAM, Flag.NO_SAMPLE}


def test_half_the_sectors_in_the_dark_are_not_called_clear(rng):
    frames = [sectors(rng) for _ in range(6)]
    for dim in (5, 9, 18):
        frame = sectors(rng)
        frame[:dim] *= 0.5
        last = judged(X, [*frames, frame])[-1]
        assert last.states[Flag.SHADOW] is not FlagState.CLEAR, dim


def test_a_frame_without_numbers_is_bad_and_the_run_goes_on(rng):
    found = judged(X, [sectors(rng), np.full((36, 900), np.nan), sectors(rng)])
    assert [q.word for q in found] == [Word.GOOD, Word.BAD, Word.GOOD]


def test_what_cannot_be_is_refused(rng):
    for angles in (np.geomspace(1, 30, 900), X - 2.0, 20 * X):
        with pytest.raises(ValueError, match="below 90"):
            caked_binning(angles)
    binning = caked_binning(X)
    with pytest.raises(ValueError, match="rising"):
        caked_binning(X[::-1])
    with pytest.raises(ValueError, match="16 to 2047"):
        caked_binning(np.linspace(1, 2, 5000))
    with pytest.raises(ValueError, match="sectors, 900"):
        caked_facts(np.ones((36, 10)), binning, 0)
    with pytest.raises(ValueError, match="finite"):
        caked_facts(np.full((36, 900), np.nan), binning, 0)
    with pytest.raises(ValueError, match="float"):
        CakedSeries(X).judge(sectors(rng), {"i0": "a"})

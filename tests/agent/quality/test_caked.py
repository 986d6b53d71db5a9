"""Frames that were reduced elsewhere, measured and drawn."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, FlagState, Word
from ringwatch.agent.quality.caked import CakedSeries, caked_binning, caked_facts
from ringwatch.agent.quality.caked_points import average_points


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
    for index, quality in enumerate(judged(x, y, 0.4836)):
        # The first of every ten was stored twice: all 2018 points are the same.
        repeated = bool((y[:index] == y[index]).all(axis=-1).any())
        assert repeated == (index % 10 == 1)
        assert quality.raised[:1] == (Flag.DUPLICATE,) or not repeated
        assert quality.word is not Word.MISALIGNED
        assert (quality.word is Word.BAD) == repeated
        assert quality.states[Flag.BEAM_CENTER] is FlagState.NOT_EVALUATED
        assert quality.states[Flag.TILT] is FlagState.NOT_EVALUATED


X = np.linspace(1.0, 12.0, 900)
STEP = X[1] - X[0]


def sectors(rng, dx=0.0, n=36, unit=0.02, x=X):
    """Rings whose centre lies ``dx`` points along chi = 0, and noise like counts."""
    chi = -np.pi + (np.arange(n) + 0.5) * 2 * np.pi / n
    mean = np.full((n, x.size), 40.0)
    for line in (3.0, 4.2, 5.1, 6.4, 7.3, 8.8, 10.1):
        place = line + dx * STEP * np.cos(chi)
        mean += 400.0 * np.exp(-0.5 * ((x - place[:, None]) / (1.7 * STEP)) ** 2)
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


@pytest.mark.parametrize("empty", [np.nan, 0.0])
@pytest.mark.parametrize("n", [32, 36, 72, 100])
def test_a_gap_is_no_shadow(rng, n, empty):
    """Sectors known in part have as many pixels less: they lack no light."""
    frames = [sectors(rng, n=n) for _ in range(6)]
    for frame in frames:
        frame[n // 5 : n // 5 + n // 9] = empty
        frame[n // 2 : n // 2 + 2, 200:500] = empty
    for quality in judged(X, frames):
        assert quality.states[Flag.SHADOW] is not FlagState.RAISED
        assert quality.word is Word.GOOD


def test_a_shadow_beside_a_gap_is_seen_all_the_same(rng):
    frames = [sectors(rng) for _ in range(6)]
    for frame in frames:
        frame[8:12] = np.nan
    frames[-1][20:24] *= 0.5
    assert Flag.SHADOW in judged(X, frames)[-1].raised


def test_a_frame_that_comes_again_is_a_duplicate(rng):
    frames = [sectors(rng) for _ in range(4)]
    found = judged(X, [*frames, frames[1], sectors(rng)])
    assert [Flag.DUPLICATE in q.raised for q in found] == [False] * 4 + [True, False]
    assert found[4].values["duplicate_of_index"] == 1


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("first", [0, 3])
def test_infinite_points_are_invalid_and_spoil_no_other_frame(rng, value, first):
    frames = [sectors(rng) for _ in range(5)]
    frames[first][7, 100:103] = value
    for index, quality in enumerate(judged(X, frames)):
        assert quality.word is (Word.BAD if index == first else Word.GOOD)
        if index == first:
            assert quality.primary is Flag.INVALID_VALUES
            assert quality.values["invalid_pixels"] == 3


def test_points_below_zero_are_sound_and_counted(rng):
    """As those of floating point frames are: a background was subtracted before."""
    frames = [sectors(rng) - 39.0 for _ in range(4)]
    below = int((frames[0] < 0.0).sum())
    assert below > 1000
    assert caked_facts(frames[0], caked_binning(X), 0).cake.negative == below
    for quality in judged(X, frames):
        assert quality.states[Flag.INVALID_VALUES] is FlagState.CLEAR


def test_a_frame_without_numbers_is_bad_and_the_run_goes_on(rng):
    found = judged(X, [sectors(rng), np.full((36, 900), np.nan), sectors(rng)])
    assert [q.word for q in found] == [Word.GOOD, Word.BAD, Word.GOOD]


@pytest.mark.parametrize("together", [2, 3])
def test_too_many_points_are_averaged_and_judged_as_so_many_less(rng, together):
    fine = np.linspace(1.0, 12.0, 1500 * together + 1)  # one is left over
    frames = [sectors(rng, x=fine) for _ in range(5)]
    frames[2][7, 100:101] = np.inf
    frames[3][8:10] = np.nan
    *sound, moved = judged(fine, [*frames, sectors(rng, 1.0, x=fine)])
    assert [q.word for q in sound] == [
        Word.BAD if i == 2 else Word.GOOD for i in range(5)
    ]
    assert sound[2].values["invalid_pixels"] == 1
    assert moved.primary is Flag.BEAM_CENTER
    pitch = 11.0 / 1500
    assert moved.values["beam_center_dx_px"] == pytest.approx(STEP / pitch, rel=0.1)


def test_neighbours_are_averaged_over_those_with_pixels():
    """Else the edge of a gap would be a shadow."""
    values = np.array([[1.0, 3.0, 0.0, 5.0, np.nan, 0.0, 2.0, np.inf, 7.0]])
    found = average_points(values, 2)
    np.testing.assert_array_equal(found, [[2.0, 5.0, np.nan, np.inf]])
    assert average_points(values, 1) is values


@pytest.mark.parametrize("wavelength", [0.0, -1.0, np.nan, np.inf])
def test_a_wavelength_that_cannot_be_is_refused(wavelength):
    with pytest.raises(ValueError, match=r"wavelength is .* Angstrom"):
        CakedSeries(X, wavelength)


def test_angles_that_cannot_be_are_named():
    for angles in (X[::-1], np.linspace(12.0, 1.0, 5000)):
        with pytest.raises(ValueError, match=r"that fall.*\[::-1\]"):
            CakedSeries(angles)
    with pytest.raises(ValueError, match="rising ones are needed, 2 follows 12"):
        CakedSeries([*X, *np.linspace(2.0, 12.0, 2000)])
    with pytest.raises(ValueError, match="16 or more"):
        CakedSeries(X[:9])
    with pytest.raises(ValueError, match="as CakedSeries does"):
        caked_binning(np.linspace(1, 2, 5000))


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

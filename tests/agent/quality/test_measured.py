"""Frames that others measured: sound ones stay unaccused, faulty ones are named."""

from __future__ import annotations

import fabio
import numpy as np
import pytest

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.nouns import Flag, Word
from ringwatch.agent.reduction import Reduction


@pytest.fixture
def measured(shared_data, judge):
    """Judge a measured frame, as it is or changed."""

    def judged(name, poni=None, change=None, dark=None):
        folder = shared_data / "frames"
        frame = fabio.open(str(folder / name)).data
        if poni is None:
            binning = Binning.without_geometry(frame.shape)
        else:
            binning = Binning.from_geometry(load_geometry(folder / poni), frame.shape)
        if change is not None:
            frame = np.ascontiguousarray(change(frame.copy()))
        return judge(frame, binning=binning, dark=[frame] if dark else None)

    return judged


CEO2 = ("CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus1M.poni")


@pytest.mark.parametrize(
    ("name", "poni"),
    [CEO2, ("CeO2_Pilatus2M_61keV.cbf", "CeO2_Pilatus2M_61keV.poni")],
)
def test_good_calibrants(measured, name, poni):
    quality = measured(name, poni)
    assert quality.word is Word.GOOD, quality.reason
    assert abs(quality.values["beam_center_dx_px"]) < 0.15
    assert abs(quality.values["beam_center_dy_px"]) < 0.15
    assert Flag.TILT not in quality.raised


@pytest.mark.parametrize("shift", [0.5, 2.0, 10.0])
@pytest.mark.parametrize(
    ("name", "poni"),
    [CEO2, ("CeO2_Pilatus2M_61keV.cbf", "CeO2_Pilatus2M_61keV.poni")],
)
def test_a_shifted_poni_shows_by_as_much(shared_data, judge, name, poni, shift):
    folder = shared_data / "frames"
    frame = fabio.open(str(folder / name)).data
    found = []
    for dx, dy in ((0.0, 0.0), (shift, 0.0), (0.0, shift)):
        geometry = load_geometry(folder / poni)
        geometry.poni2 += dx * geometry.pixel2
        geometry.poni1 += dy * geometry.pixel1
        binning = Binning.from_geometry(geometry, frame.shape)
        found.append(judge(frame, binning=binning))
    still, right, down = (
        [q.values["beam_center_dx_px"], q.values["beam_center_dy_px"]] for q in found
    )
    within = 0.2 * shift
    assert np.subtract(still, right) == pytest.approx([shift, 0.0], abs=within)
    assert np.subtract(still, down) == pytest.approx([0.0, shift], abs=within)
    if shift > 1:
        assert [q.word for q in found[1:]] == [Word.MISALIGNED] * 2
        assert all(Flag.BEAM_CENTER in q.raised for q in found[1:])


def test_wrong_geometry(measured):
    quality = measured(CEO2[0], "CeO2_Pilatus1M_WRONG.poni")
    assert quality.word is Word.MISALIGNED
    assert quality.primary is Flag.BEAM_CENTER


@pytest.mark.parametrize("point", [1, 2, 3, 6])
def test_spotty_powder_in_a_diamond_anvil_cell(measured, point):
    name = f"Fe3O4C_M1_map_{point}_P1_E1_001.cbf.gz"
    quality = measured(name, "Fe3O4C_M1_map.poni")
    assert quality.word in (Word.GOOD, Word.SUSPECT), quality.reason


def test_dark_frame(measured):
    assert measured("Dark_5s_003.cbf.gz").word in (Word.BAD, Word.UNKNOWN)
    quality = measured("Dark_5s_003.cbf.gz", dark=True)
    assert quality.word is Word.BAD
    assert quality.primary is Flag.NO_BEAM


@pytest.mark.parametrize(
    "name",
    ["AgBehenate_003.cbf.gz", "CeO2_PI_CCD_Mo.cbf"],
)
def test_without_geometry_no_frame_is_good(measured, name):
    quality = measured(name)
    assert quality.word is Word.UNKNOWN
    assert "geometry" in quality.reason


def test_a_single_crystal_shows_spots_without_any_geometry(measured):
    quality = measured("ruby_single_crystals_Dexela.cbf.gz")
    assert quality.primary is Flag.SPOTS
    assert quality.word is Word.SUSPECT
    assert quality.values["spot_fraction"] > 0.3


def _half_zero(frame):
    frame[520:] = 0
    return frame


def _module_lost(frame):
    frame[212:407, 494:] = 0
    return frame


def _poisoned(frame):
    frame = frame.astype(np.float32)
    frame[300:303, 200:210] = np.nan
    return frame


@pytest.mark.parametrize(
    ("change", "word", "flag"),
    [
        (_half_zero, Word.BAD, Flag.MISREAD),
        (_module_lost, Word.BAD, Flag.MISREAD),
        (_poisoned, Word.BAD, Flag.INVALID_VALUES),
        (lambda f: f * 0, Word.BAD, Flag.NO_BEAM),
        (lambda f: f[::-1], Word.BAD, Flag.MISREAD),
        (lambda f: f[::-1, ::-1], Word.BAD, Flag.MISREAD),
        (lambda f: np.minimum(f, 3000), Word.BAD, Flag.SATURATED),
        (lambda f: np.roll(f, 1, axis=1), Word.MISALIGNED, Flag.BEAM_CENTER),
        (lambda f: np.roll(f, 25, axis=0), Word.MISALIGNED, Flag.BEAM_CENTER),
    ],
)
def test_damaged_calibrant(measured, change, word, flag):
    quality = measured(*CEO2, change=change)
    assert quality.word is word
    assert quality.primary is flag


def test_types_in_which_the_same_counts_may_come(measured):
    """Pilatus gaps as -1, as Eiger's largest value, or as floats: the same verdict."""
    for change in (
        lambda f: np.where(f < 0, 2**32 - 1, f).astype(np.uint32),
        lambda f: np.where(f < 0, np.nan, f).astype(np.float64),
        lambda f: f.astype(np.float32),
        lambda f: f.astype(">i4"),
    ):
        quality = measured(*CEO2, change=change)
        nan_gaps = quality.primary is Flag.INVALID_VALUES
        assert quality.word is Word.GOOD or nan_gaps, quality.reason


def test_the_center_does_not_depend_on_the_counts(shared_data, judge):
    folder = shared_data / "frames"
    frame = fabio.open(str(folder / CEO2[0])).data
    binning = Binning.from_geometry(load_geometry(folder / CEO2[1]), frame.shape)
    rng = np.random.default_rng(3)
    thin = np.where(frame >= 0, rng.poisson(np.maximum(frame, 0) * 1e-2), frame)
    full, faint = (judge(f.astype(np.int32), binning=binning) for f in (frame, thin))
    for key in ("beam_center_dx_px", "beam_center_dy_px"):
        assert faint.values[key] == pytest.approx(full.values[key], abs=0.03)
    assert Reduction(binning).binning is binning

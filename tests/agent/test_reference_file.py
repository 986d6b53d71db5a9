"""A stored reference: what a frame alone cannot show, against frames of yesterday."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.errors import GeometryError, SettingsError
from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.reference_file import load_reference

SIDE = 256


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Three sound frames, and one whose rings are 1 % larger: a moved detector."""
    folder = tmp_path_factory.mktemp("frames")
    geometry = AzimuthalIntegrator(
        dist=0.2,
        poni1=SIDE * 1e-4,
        poni2=SIDE * 1e-4,
        wavelength=2e-11,
        detector=Detector(2e-4, 2e-4, max_shape=(SIDE, SIDE)),
    )
    geometry.save(str(folder / "a.poni"))
    rng = np.random.default_rng(5)
    for name, scale in (("one", 1.0), ("two", 1.0), ("three", 1.0), ("moved", 1.01)):
        y, x = np.indices((SIDE, SIDE)) + 0.5 - SIDE / 2
        r = np.hypot(x, y) / scale
        rings = sum(np.exp(-0.5 * ((r - a) / 1.3) ** 2) for a in range(30, 111, 9))
        frame = rng.poisson(5.0 + 200.0 * rings)
        np.save(folder / f"{name}.npy", frame.astype(np.uint32))
    return folder


def classify(*arguments):
    return CliRunner().invoke(app, ["classify", *map(str, arguments)])


def test_a_lonely_frame_is_compared_with_yesterday(frames, tmp_path):
    stored = tmp_path / "sound.npz"
    poni = ("--poni", frames / "a.poni")
    sound = [frames / f"{name}.npy" for name in ("one", "two", "three")]
    made = classify(*sound, *poni, "--save-reference", stored)
    assert made.exit_code == 0, made.output
    alone = json.loads(classify(frames / "moved.npy", *poni, "--json").output)[0]
    assert "radial_scale" not in [f["name"] for f in alone["flags"]]
    against = classify(frames / "moved.npy", *poni, "--reference", stored, "--json")
    found = json.loads(against.output)[0]
    assert found["values"]["radial_scale_ppm"] == pytest.approx(1e4, rel=0.1)
    assert "radial_scale" in [f["name"] for f in found["flags"]]
    assert found["analysis_id"] != alone["analysis_id"]


def test_a_reference_of_another_geometry_is_refused(frames, tmp_path):
    stored = tmp_path / "sound.npz"
    poni = ("--poni", frames / "a.poni")
    classify(frames / "one.npy", *poni, "--save-reference", stored)
    geometry = load_geometry(frames / "a.poni")
    assert load_reference(stored, Binning.from_geometry(geometry, (SIDE, SIDE)))
    other = Binning.from_geometry(geometry, (SIDE, SIDE), npt=100)
    with pytest.raises(GeometryError, match="another geometry"):
        load_reference(stored, other)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04torn"])
def test_what_is_no_reference_is_refused(frames, tmp_path, content):
    torn = tmp_path / "torn.npz"
    torn.write_bytes(content)
    binning = Binning.from_geometry(load_geometry(frames / "a.poni"), (SIDE, SIDE))
    with pytest.raises(SettingsError, match="no reference of Ringwatch"):
        load_reference(torn, binning)
    with pytest.raises(SettingsError, match="no reference at"):
        load_reference(tmp_path / "absent.npz", binning)


def test_nothing_sound_makes_no_reference(frames, tmp_path):
    np.save(tmp_path / "dark.npy", np.zeros((SIDE, SIDE), np.uint32))
    made = classify(
        tmp_path / "dark.npy",
        "--poni",
        frames / "a.poni",
        "--save-reference",
        tmp_path / "sound.npz",
    )
    assert isinstance(made.exception, SettingsError)
    assert not (tmp_path / "sound.npz").exists()

"""A stored reference: what a frame alone cannot show, against frames of yesterday."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.errors import GeometryError, RingwatchError, SettingsError
from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.nouns import Flag
from ringwatch.agent.reference_file import load_reference

SIDE = 256
LABELS = {flag.label for flag in Flag}


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
    assert "since the reference" in found["reason"]
    assert "first frames" not in json.dumps(found)
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
    masked = np.zeros((SIDE, SIDE), bool)
    masked[40, 60] = True
    mirrored = load_geometry(frames / "a.poni")
    mirrored.poni1 = SIDE * 2e-4 - mirrored.poni1 + 1e-3
    for changed in (
        Binning.from_geometry(geometry, (SIDE, SIDE), mask=masked),
        Binning.from_geometry(mirrored, (SIDE, SIDE), npt=other.q.size),
        Binning.from_geometry(mirrored, (SIDE, SIDE)),
        Binning.from_geometry(geometry, (SIDE, SIDE), polarization=0.5),
    ):
        with pytest.raises(GeometryError, match="another geometry or mask"):
            load_reference(stored, changed)


def mark(frames, path):
    """The same frame of a detector that marks its dead pixels by -1 and -2."""
    frame = np.load(frames / "one.npy").astype(np.int32)
    frame[40:44, 60], frame[200, 90:95] = -1, -2
    np.save(path, frame)
    return path


def test_a_frame_with_marked_pixels_can_be_compared_with_itself(frames, tmp_path):
    """They are missing from its cake, not from the geometry."""
    frame, stored = mark(frames, tmp_path / "marked.npy"), tmp_path / "sound.npz"
    poni = ("--poni", frames / "a.poni")
    made = classify(frame, *poni, "--save-reference", stored)
    assert made.exit_code == 0, made.output
    again = classify(frame, *poni, "--reference", stored, "--json")
    assert again.exit_code == 0, again.exception
    found = json.loads(again.output)[0]
    assert found["verdict"] == "good", found["reason"]
    assert found["values"]["radial_scale_ppm"] == pytest.approx(0.0, abs=1.0)
    geometry = load_geometry(frames / "a.poni")
    changed = Binning.from_geometry(geometry, (SIDE, SIDE), polarization=0.5)
    with pytest.raises(GeometryError, match="another geometry or mask"):
        load_reference(stored, changed)


@pytest.mark.parametrize("marked", [False, True])
def test_a_reference_of_an_older_version_can_be_read(frames, tmp_path, marked):
    """It does not tell the weights of the geometry, only those of its frames."""
    stored, older = tmp_path / "sound.npz", tmp_path / "older.npz"
    frame = mark(frames, tmp_path / "a.npy") if marked else frames / "one.npy"
    classify(frame, "--poni", frames / "a.poni", "--save-reference", stored)
    with np.load(stored) as new:
        np.savez_compressed(older, **{k: v for k, v in new.items() if k != "weights"})
    geometry = load_geometry(frames / "a.poni")
    assert load_reference(older, Binning.from_geometry(geometry, (SIDE, SIDE)))
    changed = Binning.from_geometry(geometry, (SIDE, SIDE), polarization=0.5)
    with pytest.raises(GeometryError, match="another geometry or mask"):
        load_reference(older, changed)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("what", ["reference", "dark", "mask"])
def test_what_fits_no_frame_ends_the_command_whoever_tells_the_shape(
    frames, tmp_path, what, sized
):
    """A geometry that names no shape is not known to fit before the first frame."""
    poni = tmp_path / "any.poni"
    lines = (frames / "a.poni").read_text()
    poni.write_text(lines if sized else lines.replace("[256, 256]", "null"))
    assert (load_geometry(poni).detector.shape is not None) == sized
    np.save(tmp_path / "small.npy", np.ones((9, 9), np.uint8))
    unfit = frames / "one.npy" if what == "reference" else tmp_path / "small.npy"
    made = classify(frames / "one.npy", "--poni", poni, f"--{what}", unfit)
    assert isinstance(made.exception, RingwatchError)
    assert what in str(made.exception)


def test_a_frame_of_another_detector_does_not_end_the_command(frames, tmp_path):
    """The mask fits one of the two: that one is judged, the other is unknown."""
    np.save(tmp_path / "mask.npy", np.zeros((SIDE, SIDE), np.uint8))
    np.save(tmp_path / "small.npy", np.ones((9, 9), np.uint32))
    files = (tmp_path / "small.npy", frames / "one.npy")
    made = classify(*files, "--mask", tmp_path / "mask.npy", "--json")
    assert made.exit_code == 0, made.exception
    small, sound = json.loads(made.output)
    assert small["verdict"] == "unknown"
    assert "the mask is (256, 256)" in small["reason"]
    assert "the mask is" not in sound["reason"]


def rewritten(stored, path, *, frames=None, **columns):
    """The reference with other columns, or with ``frames`` changed."""
    with np.load(stored) as old:
        arrays = dict(old)
    about = json.loads(bytes(arrays["about"]))
    if frames is not None:
        about["frames"] = frames(about["frames"])
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays | columns)
    return path


def without(name):
    return lambda frames: [{k: v for k, v in f.items() if k != name} for f in frames]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"frames": without("checksum")}, "'checksum' is missing"),
        ({"frames": without("readbacks")}, "'readbacks' is missing"),
        ({"frames": lambda _: []}, "1 to 64 frames"),
        ({"frames": lambda frames: frames * 65}, "1 to 64 frames"),
        ({"frames": lambda frames: frames * 2}, "pixels has"),
        ({"frames": lambda frames: [dict(frames[0], readbacks=[1])]}, "attribute"),
        ({"frames": lambda frames: [dict(frames[0], marked=np.inf)]}, "infinity"),
        ({"total": np.zeros((2, 3))}, "total has"),
        ({"total": np.zeros((1, 3, 32), complex)}, "total has"),
        ({"zeros": np.zeros(1 << 23)}, "zeros unpacks to 67108"),
        ({"weights": np.zeros(1 << 23)}, "weights unpacks to 67108"),
        ({"weights": np.zeros((3, 32), complex)}, "weights has"),
    ],
)
def test_a_reference_that_lacks_something_is_refused(frames, tmp_path, changed, why):
    stored = tmp_path / "sound.npz"
    poni = frames / "a.poni"
    classify(frames / "one.npy", "--poni", poni, "--save-reference", stored)
    binning = Binning.from_geometry(load_geometry(poni), (SIDE, SIDE))
    other = rewritten(stored, tmp_path / "other.npz", **changed)
    with pytest.raises(SettingsError, match=f"no reference of Ringwatch .*{why}"):
        load_reference(other, binning)


def test_an_array_that_claims_more_than_it_holds_is_refused(frames, tmp_path):
    """Numpy would ask for all that memory before it looks."""
    stored, bomb = tmp_path / "sound.npz", tmp_path / "bomb.npz"
    poni = frames / "a.poni"
    classify(frames / "one.npy", "--poni", poni, "--save-reference", stored)
    header = io.BytesIO()
    claimed = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, claimed)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(bomb, "w") as new:
        for name in old.namelist():
            held = header.getvalue() if name == "total.npy" else old.read(name)
            new.writestr(name, held)
    binning = Binning.from_geometry(load_geometry(poni), (SIDE, SIDE))
    with pytest.raises(SettingsError, match="total unpacks to"):
        load_reference(bomb, binning)


def test_only_good_frames_are_kept(frames, tmp_path):
    """One with too few counts is suspect; it is named, and why."""
    dim = np.random.default_rng(6).poisson(1e-3 * np.load(frames / "one.npy"))
    np.save(tmp_path / "dim.npy", dim.astype(np.uint32))
    poni, stored = ("--poni", frames / "a.poni"), tmp_path / "sound.npz"
    both = (frames / "one.npy", tmp_path / "dim.npy")
    made = classify(*both, *poni, "--save-reference", stored)
    assert made.exit_code == 0, made.output
    assert "holds 1 of 2 frames; left out: dim.npy is suspect" in " ".join(
        made.stderr.split()
    )
    geometry = load_geometry(frames / "a.poni")
    binning = Binning.from_geometry(geometry, (SIDE, SIDE))
    assert len(load_reference(stored, binning)) == 1
    none = classify(both[1], *poni, "--save-reference", tmp_path / "none.npz")
    assert isinstance(none.exception, SettingsError)
    assert "none of the frames is good (dim.npy is" in str(none.exception)
    assert not (tmp_path / "none.npz").exists()


def test_what_cannot_become_a_reference_is_refused_before_the_work(frames, tmp_path):
    stored, poni = tmp_path / "sound.npz", ("--poni", frames / "a.poni")
    absent = [tmp_path / f"{i}.npy" for i in range(65)]
    many = classify(*absent, *poni, "--save-reference", stored)
    assert "65 frames, give 1 to 64" in str(many.exception)
    placeless = classify(frames / "one.npy", "--save-reference", stored)
    assert "give --poni" in str(placeless.exception)


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


def test_every_check_is_shown_on_demand(frames):
    made = classify(frames / "one.npy", "--poni", frames / "a.poni", "--checks")
    assert made.exit_code == 0, made.output
    rows = [line.split() for line in made.output.splitlines()]
    states = {row[0]: row[1] for row in rows if row and row[0] in LABELS}
    assert states.keys() == LABELS
    assert states["beam_center"] == states["no_beam"] == "clear"
    assert states["radial_scale"] == "not"  # evaluated
    assert "no reference" in made.output

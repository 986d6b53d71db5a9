"""``ringwatch classify`` on measured frames, good and bad."""

from __future__ import annotations

from pathlib import Path

import fabio
import numpy as np
import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.errors import SettingsError
from ringwatch.models.known_structures import main as make_library

from .classified import ceria_pattern, classify


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> Path:
    return shared_data / "frames"


@pytest.mark.parametrize("name", ["CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus2M_61keV.cbf"])
def test_measured_ceria(name: str, frames: Path) -> None:
    poni = frames / f"{name.split('.', 1)[0]}.poni"
    (ceria,) = classify(frames / name, "--poni", poni)
    assert ceria["verdict"] == "good", ceria["reason"]
    assert 196 in [c["class"] for c in ceria["classes"]]  # that of space group 225
    assert len(ceria["classes"]) == len(ceria["space_groups"]) == 5
    systems = [s["probability"] for s in ceria["crystal_systems"]]
    assert len(systems) == 7
    assert sum(systems) == pytest.approx(1)
    assert systems == sorted(systems, reverse=True)


def test_wrong_geometry_is_misaligned(frames: Path) -> None:
    (wrong,) = classify(
        frames / "CeO2_Pilatus1M.cbf.gz", "--poni", frames / "CeO2_Pilatus1M_WRONG.poni"
    )
    assert wrong["verdict"] == "misaligned"
    assert "beam_center" in [flag["name"] for flag in wrong["flags"]]


@pytest.mark.parametrize("change", ["Poni1: -0.1", "Poni2: 0.3", "Rot1: 1.2"])
def test_geometry_that_shows_little_azimuth_is_not_believed(
    change: str, frames: Path, tmp_path: Path
) -> None:
    """The beam is said to be far beside the detector: the rings say otherwise."""
    key = change.split(":", 1)[0]
    lines = (frames / "CeO2_Pilatus1M.poni").read_text().splitlines()
    changed = [change if line.startswith(f"{key}:") else line for line in lines]
    (tmp_path / "wrong.poni").write_text("\n".join(changed))
    (wrong,) = classify(
        frames / "CeO2_Pilatus1M.cbf.gz", "--poni", tmp_path / "wrong.poni"
    )
    assert wrong["verdict"] == "misaligned", wrong["reason"]


def test_dark_frame_is_never_good(frames: Path) -> None:
    dark = frames / "Dark_5s_003.cbf.gz"
    (itself,) = classify(dark, "--dark", dark)
    assert itself["verdict"] == "bad"
    (alone,) = classify(dark)
    assert alone["verdict"] in ("bad", "unknown")


@pytest.mark.parametrize(
    "name",
    [
        "ruby_single_crystals_Dexela.cbf.gz",
        "AgBehenate_003.cbf.gz",
        "CeO2_PI_CCD_Mo.cbf",
    ],
)
def test_without_geometry_nothing_is_good(name: str, frames: Path) -> None:
    (verdict,) = classify(frames / name)
    assert verdict["verdict"] != "good"
    assert verdict["label"] is None
    assert verdict["not_evaluated"]


@pytest.mark.parametrize("point", [1, 2, 3, 6])
def test_a_diamond_anvil_map_is_not_misaligned(point: int, frames: Path) -> None:
    (verdict,) = classify(
        frames / f"Fe3O4C_M1_map_{point}_P1_E1_001.cbf.gz",
        "--poni",
        frames / "Fe3O4C_M1_map.poni",
    )
    assert verdict["verdict"] in ("good", "suspect"), verdict["reason"]


def test_spoilt_copies_of_a_measured_frame(frames: Path, tmp_path: Path) -> None:
    poni = frames / "CeO2_Pilatus1M.poni"
    with fabio.open(str(frames / "CeO2_Pilatus1M.cbf.gz")) as image:
        good = np.asarray(image.data)
    spoilt = {
        "zeros": np.zeros_like(good),
        "nan": np.where(good > 500, np.nan, good.astype(np.float32)),
        "half": np.where(np.arange(good.shape[0])[:, None] < 500, 0, good),
    }
    for name, frame in spoilt.items():
        np.save(tmp_path / f"{name}.npy", frame)
    paths = [tmp_path / f"{name}.npy" for name in spoilt]
    (tmp_path / "truncated.cbf").write_bytes(
        (frames / "CeO2_Pilatus2M_61keV.cbf").read_bytes()[:100_000]
    )
    paths += [tmp_path / "truncated.cbf", tmp_path / "absent.cbf"]
    names = [*spoilt, "truncated", "absent"]
    found = dict(zip(names, classify(*paths, "--poni", poni), strict=True))
    for name, flag in (
        ("zeros", "no_beam"),
        ("nan", "invalid_values"),
        ("half", "misread"),
    ):
        assert found[name]["verdict"] == "bad", (name, found[name]["reason"])
        assert flag in [f["name"] for f in found[name]["flags"]], name
    for name in ("truncated", "absent"):
        assert found[name]["verdict"] == "unknown", (name, found[name]["reason"])
        assert name in found[name]["reason"]


def test_a_shape_that_the_geometry_does_not_have_is_refused(
    frames: Path, tmp_path: Path
) -> None:
    with fabio.open(str(frames / "CeO2_Pilatus2M_61keV.cbf")) as image:
        np.save(tmp_path / "cropped.npy", np.asarray(image.data)[:-3])
    poni = frames / "CeO2_Pilatus2M_61keV.poni"
    (cropped,) = classify(tmp_path / "cropped.npy", "--poni", poni, readable=False)
    assert cropped["verdict"] == "unknown"
    assert "(1679, 1475)" in cropped["reason"]


def test_of_several_frames_the_first_is_judged_and_that_is_said(tmp_path: Path) -> None:
    dim, bright = np.zeros((64, 64), np.uint16), np.full((64, 64), 500, np.uint16)
    series = fabio.edfimage.EdfImage(dim)
    series.append_frame(data=bright)
    series.append_frame(data=bright)
    series.write(str(tmp_path / "series.edf"))
    fabio.edfimage.EdfImage(dim).write(str(tmp_path / "single.edf"))
    several, single = classify(tmp_path / "series.edf", tmp_path / "single.edf")
    assert several["reason"].endswith("(first of 3 frames)")
    assert several["reason"].startswith(single["reason"])
    assert several["values"] == single["values"]


def test_exit_status_says_whether_anything_could_be_read(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "ceria.xy", np.c_[q, y])
    found = classify(tmp_path / "absent.xy", tmp_path / "ceria.xy")
    assert "absent.xy" in found[0]["reason"]
    assert found[1]["label"]
    classify(tmp_path / "absent.xy", tmp_path / "absent.cbf", readable=False)


def test_errors_at_the_start_are_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["classify", "x.cbf", "--poni", str(tmp_path / "absent.poni")]
    )
    assert result.exit_code != 0
    assert "absent.poni" in str(result.exception)


def test_a_folder_and_an_empty_frame_are_called_so(tmp_path: Path) -> None:
    for name in ("folder", "folder.xy"):
        (tmp_path / name).mkdir()
        (verdict,) = classify(tmp_path / name, readable=False)
        assert f"{name} is a folder" in verdict["reason"]
    (tmp_path / "a.cbf").write_bytes(b"")
    (verdict,) = classify(tmp_path / "a.cbf", readable=False)
    assert "a.cbf is empty" in verdict["reason"]


_CIF = """data_{name}
_symmetry_space_group_name_H-M '{group}'
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{one} {one} 0 0 0
{other} {other} {x} {x} {x}
"""


def test_a_library_gives_a_second_opinion(frames: Path, tmp_path: Path) -> None:
    """Ceria's own structure among others is the nearest of a measured frame of it."""
    known = {
        "ceria [red]": ("F m -3 m", 5.40, "Ce", "O", 0.25),
        "salt": ("F m -3 m", 5.64, "Na", "Cl", 0.5),
        "caesium chloride": ("P m -3 m", 4.12, "Cs", "Cl", 0.5),
    }
    cifs = []
    for name, (group, a, one, other, x) in known.items():
        cifs.append(tmp_path / f"{name}.cif")
        values = {"name": name.split()[0], "group": group, "a": a, "x": x}
        cifs[-1].write_text(_CIF.format(one=one, other=other, **values))
    library = tmp_path / "library.npz"
    make_library([str(library), *map(str, cifs)])
    arguments = (
        frames / "CeO2_Pilatus1M.cbf.gz",
        "--poni",
        frames / "CeO2_Pilatus1M.poni",
        "--library",
        library,
    )
    (found,) = classify(*arguments, more=frozenset({"nearest"}))
    best = found["nearest"][0]
    assert best["name"] == "ceria [red]"
    assert best["known"]
    assert best["distance"] < 0.5 * found["nearest"][1]["distance"]
    printed = CliRunner().invoke(app, ["classify", *map(str, arguments)])
    assert "nearest known" in " ".join(printed.stdout.split())
    assert "[red]" in printed.stdout  # a name, no colour
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "no_sigma.xy", np.c_[q, y])
    np.savetxt(tmp_path / "with_sigma.xye", np.c_[q, y, np.sqrt(y)])
    for pattern in (tmp_path / "no_sigma.xy", tmp_path / "with_sigma.xye"):
        one = (pattern, "--library", library)
        (alone,) = classify(*one, more=frozenset({"nearest"}))
        assert alone["nearest"][0]["name"] == "ceria [red]"
        output = CliRunner().invoke(app, ["classify", *map(str, one)]).stdout
        assert "nearest known: ceria" in " ".join(output.split())
    library.write_bytes(b"no library")
    with pytest.raises(SettingsError, match="library"):
        app(["classify", *map(str, arguments)], standalone_mode=False)

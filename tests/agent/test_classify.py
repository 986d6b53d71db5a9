"""``ringwatch classify`` on measured frames and patterns, good and bad."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.errors import FrameReadError, SettingsError
from ringwatch.agent.measured import is_pattern_file, read_pattern
from ringwatch.models.diffraction import lorentz_polarization
from ringwatch.models.known_structures import main as make_library
from ringwatch.models.weight_files import SHIPPED

KEYS = {
    "file",
    "unit",
    "verdict",
    "reason",
    "flags",
    "not_evaluated",
    "values",
    "label",
    "label_prob",
    "label_set",
    "classes",
    "space_groups",
    "crystal_systems",
    "unsure",
    "novelty",
    "latency_ms",
    "analysis_id",
}


def classify(
    *arguments: object, readable: bool = True, more: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["classify", *map(str, arguments), "--json"])
    assert result.exit_code == (0 if readable else 1), result.output
    objects: list[dict[str, Any]] = json.loads(result.stdout)
    for each in objects:
        assert set(each) == KEYS | more
    return objects


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


def ceria_pattern() -> tuple[np.ndarray, np.ndarray]:
    """q and intensity of CeO2-like rings, Cu K-alpha range."""
    q = np.linspace(0.5, 5.5, 4000)
    y = np.zeros_like(q)
    for n, f in (
        (3, 1),
        (4, 0.45),
        (8, 0.7),
        (11, 0.6),
        (12, 0.12),
        (16, 0.1),
        (19, 0.25),
    ):
        centre = 2 * np.pi * np.sqrt(n) / 5.4115
        strength = f * lorentz_polarization(np.array([centre]), 1.5406, 1.0)[0]
        y += strength * np.exp(-0.5 * ((q - centre) / 0.006) ** 2)
    return q, 1000 * y + 2


def two_theta(q: np.ndarray) -> np.ndarray:
    return np.degrees(2 * np.arcsin(q * 1.5406 / (4 * np.pi)))


def test_patterns_in_every_format_mean_the_same(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "a.xy", np.c_[q, y])
    np.savetxt(tmp_path / "b.xye", np.c_[q, y, np.sqrt(y)], header="q I sigma")
    chi = f"title\n2-Theta\nIntensity\n  {q.size}\n"
    rows = "\n".join(f"{a:.8f} {b:.6f}" for a, b in zip(q, y, strict=True))
    (tmp_path / "c.chi").write_text(chi + rows)
    csv = "q (1/A), intensity\n" + rows.replace(" ", ",")
    with gzip.open(tmp_path / "d.csv.gz", "wt") as packed:
        packed.write(csv)
    (tmp_path / "e.dat").write_text("! comment\n" + rows + "\n")
    for path in sorted(tmp_path.iterdir()):
        assert is_pattern_file(path)
        pattern = read_pattern(path, unit="q_A^-1")
        np.testing.assert_allclose(pattern.q, q, atol=1e-7)
        np.testing.assert_allclose(pattern.intensity, y, atol=1e-5)
    np.savetxt(tmp_path / "f.xy", np.c_[q * 10, y])
    np.testing.assert_allclose(read_pattern(tmp_path / "f.xy", unit="q_nm^-1").q, q)
    np.savetxt(tmp_path / "g.xy", np.c_[two_theta(q), y][::-1])
    pattern = read_pattern(tmp_path / "g.xy", wavelength=1.5406)
    np.testing.assert_allclose(pattern.q, q, rtol=1e-9)


def test_a_pattern_gets_a_label_and_is_never_good(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "ceria.xy", np.c_[two_theta(q), y])
    (ceria,) = classify(tmp_path / "ceria.xy", "--wavelength", 1.5406)
    assert ceria["verdict"] == "unknown"
    assert ceria["label"]
    assert 196 in [c["class"] for c in ceria["classes"]]
    assert {n["name"] for n in ceria["not_evaluated"]} >= {"no_beam", "beam_center"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "rows of numbers"),
        ("hello\nworld\n", "rows of numbers"),
        ("1 2\n2 3\n", "2 rows"),
        ("1 2\n2 3\n3 4\n", "3 rows of numbers: 10 are needed"),
        (
            "12.5\n" * 500,
            "two or three columns of numbers are needed, this has one",
        ),
        ("\n".join(f"{i} {i}" for i in range(20)) + "\nbroken line\n", "line 21"),
        ("\n".join(f"{i} nan" for i in range(20)), "no finite"),
        ("nan 5\n" * 20, "first column"),
        ("\x00\xff" * 500, "rows of numbers"),
        ("\n".join(f"{i},04\t{i}" for i in range(20)), "decimal commas"),
    ],
)
def test_files_without_a_pattern_say_so(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.xy"
    path.write_text(text)
    with pytest.raises(FrameReadError, match=told):
        read_pattern(path)
    (verdict,) = classify(path, readable=False)
    assert verdict["verdict"] == "unknown"
    assert told in verdict["reason"]


def test_units_that_cannot_be_right_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two_theta.xy"
    np.savetxt(path, np.c_[np.linspace(5, 90, 500), np.ones(500)])
    with pytest.raises(SettingsError, match="2theta_deg"):
        read_pattern(path)
    with pytest.raises(SettingsError, match="wavelength"):
        read_pattern(path, unit="2theta_deg")
    np.savetxt(path, np.c_[np.linspace(5, 900, 500), np.ones(500)])
    with pytest.raises(SettingsError, match="900"):
        read_pattern(path, wavelength=1.5)


def test_errors_at_the_start_are_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["classify", "x.cbf", "--poni", str(tmp_path / "absent.poni")]
    )
    assert result.exit_code != 0
    assert "absent.poni" in str(result.exception)


def test_a_spoilt_packed_pattern_says_so(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(b"%d 1.5\n" % i for i in range(5000))))
    packed[200:260] = b"\xff" * 60
    path = tmp_path / "bad.xy.gz"
    path.write_bytes(packed)
    with pytest.raises(FrameReadError, match=r"bad\.xy\.gz cannot be read"):
        read_pattern(path)


_PYFAI = """# {{
#     "poni_version": 2.1,
#     "dist": 0.1,
#     "wavelength": {metres}
# }}
# Mask applied: from detector
# --> ceria.dat
#{unit}        I
"""
"""As pyFAI 2025.3 writes it."""


@pytest.mark.parametrize("suffix", [".chi", ".xy", ".dat"])
def test_the_header_of_pyfai_says_the_unit(suffix: str, tmp_path: Path) -> None:
    q, y = ceria_pattern()
    for unit, x in (("q_A^-1", q), ("q_nm^-1", 10 * q), ("2th_deg", two_theta(q))):
        path = tmp_path / f"ceria{suffix}"
        header = _PYFAI.format(unit=unit, metres=1.5406e-10)
        rows = "".join(f"  {a:.9e}    {b:.6e}\n" for a, b in zip(x, y, strict=True))
        path.write_text(header + rows)
        np.testing.assert_allclose(read_pattern(path).q, q, rtol=1e-8)
        # What is told goes first, where it is no contradiction.
        kept = read_pattern(path, wavelength=1.5406 * 2).q
        twice = 2 if unit == "2th_deg" else 1
        np.testing.assert_allclose(kept, q / twice, rtol=1e-8)
    path.write_text(_PYFAI.format(unit="2th_rad", metres=1.5406e-10) + rows)
    with pytest.raises(SettingsError, match="header says 2th_rad"):
        read_pattern(path)
    path.write_text(_PYFAI.format(unit="2th_deg", metres="null") + rows)
    with pytest.raises(SettingsError, match="2theta needs a wavelength"):
        read_pattern(path)


def test_a_unit_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    rows = "".join(f"{a} {b}\n" for a, b in zip(two_theta(q), y, strict=True))
    path = tmp_path / "fit2d.chi"
    path.write_text(
        f"ceria\n2-Theta Angle (Degrees)\nIntensity\n       {q.size}\n{rows}"
    )
    np.testing.assert_allclose(read_pattern(path, wavelength=1.5406).q, q, rtol=1e-9)
    with pytest.raises(SettingsError, match=r"2-Theta Angle \(Degrees\).*q_A\^-1"):
        read_pattern(path, unit="q_A^-1", wavelength=1.5406)
    with pytest.raises(SettingsError, match="needs a wavelength"):
        read_pattern(path)


def test_a_unit_that_nobody_told_is_said_once(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "a.xy", np.c_[q, y])
    np.savetxt(tmp_path / "b.xy", np.c_[q, y], header="q_A^-1 I")
    files = [str(tmp_path / name) for name in ("a.xy", "a.xy", "b.xy")]
    assert [each["unit"] for each in classify(*files)] == ["q_A^-1"] * 3
    (angles,) = classify(files[0], "--wavelength", 1.5406)
    assert angles["unit"] == "2theta_deg"
    (told,) = classify(files[0], "--unit", "q_nm^-1")
    assert told["unit"] == "q_nm^-1"
    said = "the first column was taken as q_A^-1"
    runner = CliRunner(env={"COLUMNS": "200"})
    assert runner.invoke(app, ["classify", *files]).stdout.count(said) == 1
    for arguments in (files[2:], [*files, "--unit", "q_A^-1"]):
        assert said not in runner.invoke(app, ["classify", *arguments]).stdout


def test_reasons_have_angles_at_the_wavelength_of_the_header(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    path = tmp_path / "ceria.dat"
    np.savetxt(path, np.c_[q, y])
    header = _PYFAI.format(unit="q_A^-1", metres=1.5406e-10)
    path.write_text(header + path.read_text())
    (found,) = classify(path, "--why", more=frozenset({"decided_by", "ambiguities"}))
    assert found["decided_by"]
    for peak in found["decided_by"]:
        assert peak["two_theta"] == pytest.approx(two_theta(np.array(peak["q"])))


@pytest.mark.parametrize("wavelength", ["0", "-1.5", "nan", "inf"])
def test_a_wavelength_is_above_zero(wavelength: str, tmp_path: Path) -> None:
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "a.xy", np.c_[q, y])
    told = "a wavelength is above 0, in Angstrom"
    with pytest.raises(SettingsError, match=told):
        read_pattern(tmp_path / "a.xy", wavelength=float(wavelength))
    arguments = ["classify", str(tmp_path / "a.xy"), "--wavelength", wavelength]
    with pytest.raises(SettingsError, match=told):
        app(arguments, standalone_mode=False)


def test_a_folder_and_an_empty_frame_are_called_so(tmp_path: Path) -> None:
    for name in ("folder", "folder.xy"):
        (tmp_path / name).mkdir()
        (verdict,) = classify(tmp_path / name, readable=False)
        assert f"{name} is a folder" in verdict["reason"]
    (tmp_path / "a.cbf").write_bytes(b"")
    (verdict,) = classify(tmp_path / "a.cbf", readable=False)
    assert "a.cbf is empty" in verdict["reason"]


def test_weights_may_be_named(tmp_path: Path) -> None:
    q, y = ceria_pattern()
    np.savetxt(tmp_path / "a.xy", np.c_[q, y])
    (shipped,) = classify(tmp_path / "a.xy")
    (named,) = classify(tmp_path / "a.xy", "--weights", SHIPPED)
    assert named["classes"] == shipped["classes"]
    arguments = [str(tmp_path / "a.xy"), "--weights", str(tmp_path / "none.w")]
    with pytest.raises(SettingsError, match=r"none\.w"):
        app(["classify", *arguments], standalone_mode=False)


@pytest.mark.parametrize("unit", ["q_A^-1", "2theta_deg"])
def test_points_at_infinity_are_left_out(unit: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i / 10} 5\n" for i in range(20))
    (tmp_path / "inf.xy").write_text(rows + "inf 5\nnan 5\n")
    pattern = read_pattern(tmp_path / "inf.xy", unit=unit, wavelength=1.0)
    assert pattern.q.size == 20


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

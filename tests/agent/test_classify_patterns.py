"""``ringwatch classify`` on patterns: columns, units, what headers say."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.errors import FrameReadError, SettingsError
from ringwatch.agent.files.patterns import is_pattern_file, read_pattern
from ringwatch.models.weight_files import SHIPPED

from .classified import ceria_pattern, classify


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

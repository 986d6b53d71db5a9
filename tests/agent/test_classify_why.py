"""``ringwatch classify --why``, its words and its width; weights of other kinds."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.models.classifier import Classifier
from ringwatch.models.prediction import Prediction
from ringwatch.models.weight_files import SHIPPED, join, read_weights, write_weights

A_CEO2 = 5.4115
LINES = np.array([3, 4, 8, 11, 12, 16, 19, 20, 24, 27])  # h^2 + k^2 + l^2, F lattice
HEIGHTS = np.array([100, 29, 54, 46, 9, 8, 19, 12, 15, 12])
AT = 2 * np.pi / A_CEO2 * np.sqrt(LINES)
Q = np.arange(1.0, 5.9, 0.004)
WAVELENGTH = 1.5406


def intensity(without: float | None = None) -> np.ndarray:
    shapes = HEIGHTS * np.exp(-(((Q[:, None] - AT) / 0.012) ** 2))
    if without is not None:
        shapes[:, abs(AT - without).argmin()] = 0
    return 0.2 + shapes.sum(axis=1)


@pytest.fixture
def ceria(tmp_path: Path) -> Path:
    path = tmp_path / "ceria [1].xy"
    np.savetxt(path, np.c_[Q, intensity()])
    return path


def run(*arguments: object, columns: int = 80) -> str:
    environment = {"COLUMNS": str(columns)}
    result = CliRunner(env=environment).invoke(app, ["classify", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def explain(*arguments: object) -> dict[str, Any]:
    (found,) = json.loads(run(*arguments, "--why", "--json"))
    return found


def test_peaks_that_decided_are_peaks_of_the_pattern(ceria: Path) -> None:
    found = explain(ceria, "--unit", "q_A^-1", "--wavelength", WAVELENGTH)
    peaks = found["decided_by"]
    assert 1 <= len(peaks) <= 5
    shares = [peak["share"] for peak in peaks]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    whole: Prediction = Classifier.load().predict(Q, intensity())
    number = whole.classes[0].number
    assert found["classes"][0]["class"] == number
    for peak in peaks:
        assert abs(AT - peak["q"]).min() < 0.004 * peak["q"]
        bragg = peak["q"] * WAVELENGTH / (4 * math.pi)
        assert math.sin(math.radians(peak["two_theta"] / 2)) == pytest.approx(bragg)
        without = Classifier.load().predict(Q, intensity(without=peak["q"]))
        left = next(c.probability for c in without.classes if c.number == number)
        odds, expected = (math.log(p / (1 - p)) for p in
                          (peak["probability_without"], left))  # fmt: skip
        assert odds == pytest.approx(expected, abs=0.4 + 0.15 * abs(expected))
    for other in found["ambiguities"]:
        assert other["symbol"] in other["sentence"]
        assert f"({number})" in other["sentence"]
        assert other["measured"] in ("always", "sometimes", "never")
        assert 0 <= other["probability"] <= found["label_prob"]


def test_frames_have_angles_at_the_wavelength_of_their_geometry(
    shared_data: Path,
) -> None:
    frame = shared_data / "frames" / "CeO2_Pilatus1M.cbf.gz"
    poni = frame.with_name("CeO2_Pilatus1M.poni")
    found = explain(frame, "--poni", poni)
    (line,) = (x for x in poni.read_text().splitlines() if x.startswith("Wavelength"))
    wavelength = float(line.split(":")[1]) * 1e10
    assert found["label"] == "F---"
    assert {other["class"] for other in found["ambiguities"]} == {203, 210, 219}
    for peak in found["decided_by"]:
        # The lines of ceria speak for the label; what speaks against is none of them.
        of_ceria = abs(AT - peak["q"]).min() < 0.004 * peak["q"]
        assert of_ceria == (peak["probability_without"] < found["label_prob"])
        sine = peak["q"] * wavelength / (4 * math.pi)
        assert peak["two_theta"] == pytest.approx(2 * math.degrees(math.asin(sine)))
    less = [p["probability_without"] < found["label_prob"] for p in found["decided_by"]]
    assert sum(less) >= 3
    text = " ".join(run(frame, "--poni", poni, "--why").split())
    assert "space groups 196, 202, 209, 216, 225" in text
    assert "F41-- (210) differs from F--- (196) by one line, 200" in text


def test_without_a_label_there_are_no_reasons(shared_data: Path) -> None:
    frame = shared_data / "frames" / "CeO2_PI_CCD_Mo.cbf"
    found = explain(frame)
    assert found["decided_by"] == found["ambiguities"] == []
    assert "nothing to give reasons for" in run(frame, "--why")


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_wider_than_the_terminal(ceria: Path, columns: int) -> None:
    long = ceria.with_name("a" * 60 + ".xy")
    long.write_bytes(ceria.read_bytes())
    text = run(ceria, long, "--wavelength", WAVELENGTH, "--unit", "q_A^-1", "--why",
               columns=columns)  # fmt: skip
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    heading = lines[0].split()
    assert heading == ["file", "verdict", "label", "probability"]
    assert lines[1].startswith("ceria [1].xy")  # a name, no style
    label = lines[1][lines[0].index("label") :].split()
    assert 0 <= float(label[1]) <= 1
    assert "a pattern without its frame" in lines[2]
    column = slice(0, lines[0].index("verdict"))
    folded = "".join(line[column].strip() for line in lines[3:5])
    assert folded.startswith(long.name)  # whole
    assert "2theta in degrees at 1.5406 Angstrom" in " ".join(text.split())
    assert ("? the classifier is unsure" in text) == ("?" in label[0])


def test_where_no_peak_is_none_is_said_to_decide(tmp_path: Path) -> None:
    path = tmp_path / "flat.xy"
    np.savetxt(path, np.c_[Q, np.ones(len(Q))])
    assert explain(path)["decided_by"] == []
    assert "No single peak decided" in run(path, "--why")


def test_without_a_wavelength_there_are_no_angles(ceria: Path) -> None:
    assert all(peak["two_theta"] is None for peak in explain(ceria)["decided_by"])
    assert "2theta" not in run(ceria, "--why")
    out_of_reach = explain(ceria, "--unit", "q_A^-1", "--wavelength", "30")
    assert all(peak["two_theta"] is None for peak in out_of_reach["decided_by"])


@pytest.mark.parametrize("networks", [1, 2])
def test_old_weights_and_ensembles_answer(
    networks: int, ceria: Path, tmp_path: Path
) -> None:
    """Neither has an embedding or a novelty head."""
    shipped = read_weights(SHIPPED)
    fitted = ("embedding.", "novelty.", "calibration.")
    old = dataclasses.replace(
        shipped,
        tensors={n: v for n, v in shipped.tensors.items() if not n.startswith(fitted)},
        card={
            k: v for k, v in shipped.card.items() if k not in ("novel_above", "doubt")
        },
    )
    file = old if networks == 1 else join([old] * networks)
    path = tmp_path / "others.safetensors"
    write_weights(path, file)
    config = tmp_path / "agent.toml"
    config.write_text(f'weights = "{path.as_posix()}"\n')
    found = explain(ceria, "--config", config)
    assert sum(s["probability"] for s in found["crystal_systems"]) == pytest.approx(1)
    assert math.isfinite(found["novelty"])
    assert found["decided_by"]
    assert found["label"] in run(ceria, "--config", config, "--why")

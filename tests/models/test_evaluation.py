"""Scores and calibration against numbers worked out by hand."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from ringwatch.agent.cli.evaluate import evaluate as evaluate_command
from ringwatch.agent.errors import SettingsError
from ringwatch.models.calibration import (
    coverage_threshold,
    expected_calibration_error,
    fit_temperature,
    smallest_set,
    sum_over,
    wilson_interval,
)
from ringwatch.models.classifier import Classifier
from ringwatch.models.datasets import (
    CLEAN,
    DatasetError,
    draw,
    read_patterns,
    read_structures,
)
from ringwatch.models.evaluation import LabelledLogits, collect, score, score_all
from ringwatch.models.recalibration import cross_fitted
from ringwatch.models.symmetry import CLASS_INDEX
from ringwatch.models.weight_files import SHIPPED


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_interval(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=1e-4)


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False, True, False])
    expected = 4 / 6 * abs(0.75 - 0.95) + 2 / 6 * abs(0.5 - 0.55)
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


@pytest.mark.parametrize("true_temperature", [0.6, 1.0, 2.5])
def test_temperature_is_found_again(true_temperature):
    rng = np.random.default_rng(0)
    honest = 3 * rng.normal(size=(6000, 230))
    p = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    group = 1 + (p.cumsum(axis=1) > rng.random((6000, 1))).argmax(axis=1)
    found = fit_temperature(
        true_temperature * honest, CLASS_INDEX[group], CLASS_INDEX[1:]
    )
    assert found == pytest.approx(true_temperature, rel=0.06)


def test_label_sets_reach_their_coverage_on_new_data():
    rng = np.random.default_rng(1)
    z = 2 * rng.normal(size=(8000, 20))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    # Overconfident by a factor two in the logits: sets must grow to make up for it.
    truth = ((z / 2 + rng.gumbel(size=z.shape)).argmax(axis=1)).astype(int)
    threshold = coverage_threshold(p[:4000], truth[:4000], 0.9)
    held = [
        t in smallest_set(row, threshold)
        for row, t in zip(p[4000:], truth[4000:], strict=True)
    ]
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)
    assert threshold > 0.9


def test_sets_weigh_alike_in_a_coverage_threshold():
    p = np.tile([0.6, 0.3, 0.1], (110, 1))
    truth = np.array([0] * 100 + [2] * 10)  # one large set, one small and hard
    weights = np.array([1 / 100] * 100 + [1 / 10] * 10)
    assert coverage_threshold(p, truth, 0.85) < 0.1
    assert coverage_threshold(p, truth, 0.85, weights=weights) > 0.85


class _Classifier:
    """What a fit asks of a classifier: two priors and a stated coverage."""

    training_prior = np.full(230, 1 / 230)
    space_group_prior = training_prior
    card: ClassVar = {"coverage": {"stated": 0.9}}


def test_cross_fitting_repairs_overconfidence():
    rng = np.random.default_rng(4)
    honest = 2.5 * rng.normal(size=(3000, 230))
    group = 1 + (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    sets = {"loud": LabelledLogits((2 * honest).astype(np.float32), group, 3)}
    found, scores = cross_fitted(_Classifier(), sets)
    assert found.temperature == pytest.approx(2.0, rel=0.06)
    loud = scores["loud"]
    assert loud.ece < 4
    assert loud.coverage.low < 90 < loud.coverage.high
    assert loud.skipped == 3
    assert loud.class_top1.n == 3000
    none = LabelledLogits(np.empty((0, 230), np.float32), np.empty(0, int), 1)
    with pytest.raises(ValueError, match="nothing to calibrate"):
        cross_fitted(_Classifier(), {"none": none})


def test_scores_by_hand():
    p = np.full((4, 230), 1e-6)
    # Fm-3m right; F-43m: same class, other group; P2_1/c for C2/c; 62 second.
    p[0, 224] = p[1, 215] = p[2, 13] = 1.0
    p[3, 18], p[3, 61] = 0.7, 0.3
    p /= p.sum(axis=1, keepdims=True)
    s = score(p, np.array([225, 225, 15, 62]), threshold=0.9)
    assert s.class_top1.percent == 50
    assert s.space_group.percent == 25
    assert s.system.percent == 100
    assert s.space_group_top5.percent >= 50
    assert s.class_top5.percent >= 75
    assert s.coverage.percent == 75
    assert s.majority == 50
    assert s.surest_half in (50.0, 100.0)
    assert s.class_top1.n == 4
    with pytest.raises(ValueError, match="nothing to score"):
        score(p[:0], np.array([], int), threshold=0.9)
    assert sum_over(p, CLASS_INDEX[1:], 97).sum() == pytest.approx(4)


def structure_row(**change):
    row = {
        "space_group": 221,
        "a": 2.88,
        "b": 2.88,
        "c": 2.88,
        "alpha": 90.0,
        "beta": 90.0,
        "gamma": 90.0,
        "site_element": ["Ni", "Al"],
        "site_occ": [1.0, 1.0],
        "site_frac": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5],
    }
    return {**row, **change}


def pattern_row(**change):
    two_theta = np.arange(10, 90, 0.05)
    y = np.exp(-(((two_theta - 44.36) / 0.1) ** 2)) + 0.01
    row = {
        "x": two_theta.tolist(),
        "intensity": y.tolist(),
        "x_unit": "2theta_deg",
        "wavelength_A": "1.5406+1.5444",
        "space_group": 221.0,
        "usable_for_sg_scoring": 1,
    }
    return {**row, **change}


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_structures_are_drawn_where_bragg_puts_them(tmp_path):
    rows = [structure_row(), structure_row(site_element=["Xx", "Al"])]
    good, bad = read_structures(write(tmp_path / "s.parquet", rows))
    assert bad is None
    pattern = draw(good, CLEAN, seed=0)
    strongest = pattern.q[pattern.intensity.argmax()]
    assert strongest == pytest.approx(2 * np.pi / 2.88 * np.sqrt(2), abs=0.002)
    assert pattern.q[0] == pytest.approx(0.356)
    assert pattern.q[-1] == pytest.approx(5.76)


def test_structures_that_are_not_recommended_are_left_out(tmp_path):
    rows = [structure_row(recommended=True), structure_row(recommended=False)]
    assert len(list(read_structures(write(tmp_path / "s.parquet", rows)))) == 1


def test_measured_rows_are_converted_or_skipped(tmp_path):
    rows = [
        pattern_row(),
        pattern_row(x_unit="tof"),
        pattern_row(wavelength_A="?"),
        pattern_row(space_group=float("nan")),
        pattern_row(usable_for_sg_scoring=0),
    ]
    found = list(read_patterns(write(tmp_path / "p.parquet", rows)))
    assert [p is None for p in found] == [False, True, True, True]
    wavelength = (2 * 1.5406 + 1.5444) / 3
    line = found[0].q[found[0].intensity.argmax()]
    two_theta = np.radians(44.35)
    assert line == pytest.approx(
        4 * np.pi / wavelength * np.sin(two_theta / 2), rel=1e-3
    )


def test_files_that_are_no_data_set_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no readable Parquet"):
        list(read_structures(tmp_path / "none.parquet"))
    text = tmp_path / "text.parquet"
    text.write_text("not a table")
    with pytest.raises(DatasetError, match="no readable Parquet"):
        list(read_patterns(text))
    row = structure_row()
    del row["site_frac"]
    short = write(tmp_path / "short.parquet", [row])
    with pytest.raises(DatasetError, match=r"lacks the columns \['site_frac'\]"):
        list(read_structures(short))


def test_the_command_prints_json_and_counts_skipped_rows(tmp_path):
    app = typer.Typer()
    app.command()(evaluate_command)
    patterns = write(tmp_path / "p.parquet", [pattern_row(), pattern_row(x_unit="tof")])
    structures = write(tmp_path / "s.parquet", [structure_row()])
    files = ["--patterns", str(patterns), "--structures", str(structures)]
    result = CliRunner().invoke(app, [*files, "--json"])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.output)
    assert set(scores) == {"clean", "beamline", "measured"}
    assert scores["measured"]["skipped"] == 1
    assert scores["measured"]["class_top1"]["n"] == 1
    table = CliRunner().invoke(app, files)
    assert "space group, top 5" in table.output
    assert "rows skipped" in table.output
    own = tmp_path / "own.safetensors"
    own.write_bytes(SHIPPED.read_bytes())
    own.with_suffix(".json").write_text(SHIPPED.with_suffix(".json").read_text())
    more = write(tmp_path / "m.parquet", [pattern_row()] * 4)
    arguments = ["--patterns", str(more), "--weights", str(own), "--calibrate"]
    kept = CliRunner().invoke(app, arguments)
    assert kept.exit_code == 0, kept.output
    card = json.loads(own.with_suffix(".json").read_text())
    assert card["calibration"].startswith("measured patterns")
    assert card["scores"]["natural"]["measured"]["class_top1"]["n"] == 4
    text = (tmp_path / "MODEL_CARD.md").read_text()
    assert f"| temperature | {card['temperature']:.3f} |" in text
    assert "{" not in text
    missing = CliRunner().invoke(app, ["--patterns", str(tmp_path / "none")])
    assert isinstance(missing.exception, SettingsError)
    nothing = CliRunner().invoke(app, [])
    assert isinstance(nothing.exception, SettingsError)
    assert "name --structures" in str(nothing.exception)


def test_shipped_weights_beat_the_majority_on_real_structures(shared_data):
    classifier = Classifier.load(backend="onnx")
    sets = collect(classifier, structures=shared_data / "structures.parquet", limit=300)
    clean = score_all(classifier, sets)["clean"]
    assert clean.skipped == 0
    assert clean.class_top1.low > 1.5 * clean.majority
    assert clean.class_top5.percent > 65
    assert clean.system.percent > 50

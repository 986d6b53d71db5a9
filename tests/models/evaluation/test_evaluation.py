"""Evaluation: real networks over tables, reports and figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ringwatch.models.classifier import Classifier
from ringwatch.models.evaluation.datasets import read_patterns, read_structures
from ringwatch.models.evaluation.figures import draw_figures
from ringwatch.models.evaluation.report import adaptation_scores, build_report
from ringwatch.models.evaluation.scaling import PUBLISHED, LogError, read_log
from ringwatch.models.evaluation.scoring import (
    collect,
    evaluation_sets,
    logits_of_inputs,
    quick_scores,
    score_all,
)
from ringwatch.models.evaluation.sweeps import SWEEPS, sweep_all


@pytest.fixture(scope="module")
def report(tiny_weights, small_tables):
    """Everything that a report can hold."""
    structures, patterns = small_tables
    classifier = Classifier.load(tiny_weights, backend="onnx")
    sets = collect(classifier, structures=structures, patterns=patterns)
    found = build_report(classifier, sets, part="all")
    found["sweeps"] = sweep_all(classifier, structures, part="all", limit=4)
    measured = evaluation_sets(None, patterns, part="all", grid=classifier.grid)
    adapted = adaptation_scores(classifier, measured["measured"])
    found["adaptation"] = {name: s.to_dict() for name, s in adapted.items()}
    found["training"] = [
        {"samples": 1000.0 * n, "clean_top1": 10.0 * n, "real_clean_top1": 5.0 * n}
        for n in (1, 2, 4)
    ]
    return found


def test_sets_hold_what_the_tables_hold(small_tables):
    structures, patterns = small_tables
    sets = evaluation_sets(structures, patterns, part="all")
    assert list(sets) == ["clean", "beamline", "measured"]
    assert sets["clean"].x.shape == (8, 3, 2048)
    assert sets["measured"].x.shape == (6, 3, 2048)
    assert sets["measured"].skipped == 1
    assert sets["clean"].space_group.tolist() == [225, 221, 225, 123] * 2
    assert len(set(sets["clean"].cluster)) == 4
    assert sets["measured"].cluster == ("g0", "g0", "g1", "g1", "g2", "g2")
    again = evaluation_sets(structures, patterns, part="all")
    np.testing.assert_array_equal(sets["beamline"].x, again["beamline"].x)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluation_sets()


def test_a_structure_is_drawn_alike_whatever_is_drawn_with_it(small_tables):
    structures, _ = small_tables
    few = evaluation_sets(structures, part="all", limit=3)["beamline"]
    whole = evaluation_sets(structures, part="all")["beamline"]
    rows = [s.row for s in read_structures(structures, limit=3)]
    np.testing.assert_array_equal(few.x, whole.x[rows])


def test_quick_scores_are_those_of_the_classifier(tiny_weights, small_tables):
    structures, patterns = small_tables
    classifier = Classifier.load(tiny_weights, backend="onnx")
    sets = evaluation_sets(structures, patterns, part="all", grid=classifier.grid)
    prior = np.concatenate([[0.0], classifier.training_prior])
    quick = quick_scores(classifier.logits, sets, training_prior=prior)
    full = score_all(
        classifier,
        collect(classifier, structures=structures, patterns=patterns),
    )
    for name, scores in full.items():
        assert quick[name].nll == pytest.approx(scores.nll, rel=1e-5)
        assert quick[name].to_dict() == scores.to_dict()


def test_what_is_scored_is_what_predict_says(tiny_weights, small_tables):
    classifier = Classifier.load(tiny_weights, backend="onnx")
    patterns = [p for p in read_patterns(small_tables[1]) if p is not None]
    sets = collect(classifier, patterns=small_tables[1])["measured"]
    p = classifier.probabilities(sets.logits)
    for pattern, row in zip(patterns, p, strict=True):
        said = classifier.predict(pattern.q, pattern.intensity)
        assert said.space_groups[0].number == row.argmax() + 1
        assert said.space_groups[0].probability == pytest.approx(row.max(), rel=1e-5)


def test_some_of_the_logits_keep_their_facts(tiny_weights, small_tables):
    classifier = Classifier.load(tiny_weights, backend="onnx")
    sets = evaluation_sets(small_tables[0], part="all", grid=classifier.grid)
    whole = logits_of_inputs(classifier, [sets["clean"]])
    rows = whole.space_group == 221
    part = whole.take(rows)
    np.testing.assert_array_equal(part.logits, whole.logits[rows])
    assert part.cluster == ("type 0", "type 2")
    assert whole.take(slice(0, 2)).cluster == ("type 0", "type 0")


def test_a_report_holds_every_section_and_is_json(report):
    assert json.loads(json.dumps(report)) == report
    assert list(report["tables"]) == ["clean", "beamline", "measured"]
    assert set(report["sweeps"]) == set(SWEEPS)
    width = report["sweeps"]["width"]["points"]
    assert [point["class_top1"]["n"] for point in width] == [4] * len(width)
    assert report["tables"]["clean"]["q_range"] == [0.356, 5.76]
    plain = report["adaptation"]["as shipped"]
    assert plain == report["tables"]["measured"]["scores"]


def test_figures_show_what_the_report_holds(report, tmp_path):
    written = draw_figures(report, tmp_path / "new")
    names = {path.stem for path in written}
    assert {"accuracy", "systems", "classes", "selectivity", "reliability"} <= names
    assert {"lattices", "sweeps", "scaling", "volumes", "parts"} <= names
    for path in written:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert 5_000 < path.stat().st_size < 500_000
    alone = {"tables": {}, "training": report["training"]}
    assert [p.name for p in draw_figures(alone, tmp_path)] == ["scaling.png"]


def test_training_logs_are_read_or_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    rows = [
        {"samples": 200, "clean_top1": 2.0, "real_clean_top5": 3.0, "seconds": 9},
        {"samples": 100, "loss": 1.0},
        {"samples": 100, "clean_top1": 1.0},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert read_log(path) == [
        {"samples": 100.0, "clean_top1": 1.0},
        {"samples": 200.0, "clean_top1": 2.0, "real_clean_top5": 3.0},
    ]
    path.write_text('{"samples": 100, "loss": 1.0}\n')
    with pytest.raises(LogError, match="no scores"):
        read_log(path)
    path.write_text("no json")
    with pytest.raises(LogError, match="no readable"):
        read_log(path)
    with pytest.raises(LogError, match="no readable"):
        read_log(tmp_path / "none")
    assert [top1 for _, top1 in PUBLISHED] == sorted(top1 for _, top1 in PUBLISHED)


def test_shipped_weights_beat_the_majority_on_real_structures(shared_data):
    classifier = Classifier.load(backend="onnx")
    sets = collect(classifier, structures=shared_data / "structures.parquet", limit=300)
    clean = score_all(classifier, sets)["clean"]
    assert clean.skipped == 0
    assert clean.class_top1.low > 1.5 * clean.majority
    assert clean.class_top5.percent > 65
    assert clean.system.percent > 50

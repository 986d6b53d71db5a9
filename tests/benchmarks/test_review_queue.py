"""The review queue against random order, in one small beamtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ringwatch.benchmarks import review_queue
from ringwatch.benchmarks.embedding_heads import HEADS, Head
from ringwatch.benchmarks.labelled_beamtime import Frames, draw_beamtime
from ringwatch.benchmarks.review_queue import ASKED, curves, saved
from ringwatch.models.classifier import Classifier

RUNS = 24, 16
FRAMES = 6


@pytest.fixture(scope="module")
def beamtime() -> tuple[Frames, Frames]:
    classifier = Classifier.load(backend="onnx")
    return draw_beamtime(classifier, RUNS, FRAMES, seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_half_the_labels_do(beamtime: tuple[Frames, Frames], head: str) -> None:
    found = curves([beamtime], head, most=50)
    for over in range(2):
        queue, random = found["queue"][0, over], found["random"][0, over]
        reached, needed = saved(queue, random, 40)
        assert reached > 0.6  # something was learnt at all
        assert needed is not None
        assert needed <= ASKED * 40 - 2, (reached, needed)


@pytest.mark.slow
def test_a_beamtime_has_each_kind_on_both_sides(
    beamtime: tuple[Frames, Frames],
) -> None:
    choice, test = beamtime
    assert choice.embedding.shape == (RUNS[0] * FRAMES, 64)
    assert len(test.truth) == RUNS[1] * FRAMES
    assert set(choice.truth) == set(test.truth) == set(range(11))
    assert np.isfinite(choice.embedding).all()
    with pytest.raises(ValueError, match="one of each kind"):
        draw_beamtime(Classifier.load(backend="onnx"), (5, 16), 1, seed=7)


def test_labels_saved_are_counted_on_the_curves() -> None:
    random = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.4])
    assert saved(np.array([0.3, 0.3, 0.5, 0.6]), random, 5) == (0.5, 3)
    assert saved(random, random, 6) == (0.5, 5)
    assert saved(np.array([0.3, 0.4]), random, 5) == (0.5, None)


@pytest.mark.parametrize("kind", HEADS)
def test_heads_tell_clusters_apart(kind: str) -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat([4, 7, 9], 10)
    x = 6.0 * np.eye(64)[truth] + 0.3 * rng.normal(size=(30, 64))
    head = Head(kind, x[::2], truth[::2])
    assert head.guess(x[1::2]).tolist() == truth[1::2].tolist()
    assert head.probabilities(x).sum(axis=1) == pytest.approx(np.ones(30))
    alone = Head(kind, x[:3], truth[:3])
    assert alone.probabilities(x).tolist() == [[1.0]] * 30


@pytest.mark.slow
def test_the_command_prints_rows_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "curve.png"
    small = f"--seeds 1 --runs 11 11 --frames 2 --edge 256 --most 20 --plot {plot}"
    review_queue.main([*small.split(), "--json"])
    told = json.loads(capsys.readouterr().out)["rows"]
    assert {row["head"] for row in told["figures"]} == set(HEADS)
    assert {row["random_labels"] for row in told["figures"]} == {20}
    assert np.shape(told["curves"]["logistic"]["queue"]) == (2, 20)
    assert plot.stat().st_size > 10_000

"""The classifier: consistent probabilities, any input, clear refusals."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import warnings

import fabio
import numpy as np
import pyFAI
import pytest
import torch

from ringwatch.models.architecture import NetworkConfig, Stage
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import natural_prior, training_prior
from ringwatch.models.diffraction import Crystal, Grid, reflections, render
from ringwatch.models.inputs import PatternError
from ringwatch.models.network import Network
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES, SYSTEM_INDEX
from ringwatch.models.weight_files import (
    SHIPPED,
    WeightsFile,
    read_weights,
    write_card,
    write_weights,
)

CONFIG = NetworkConfig(
    stages=(Stage(8, 7, 8, 1), Stage(16, 5, 4, 0)), hidden=32, n_bins=512
)
Q = np.arange(0.5, 8.0, 0.004)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    tensors = {n: 2 * v.numpy() for n, v in Network(CONFIG).learned().items()}
    tensors["prior.training"] = training_prior(0.5)[1:].astype(np.float32)
    tensors["prior.natural"] = natural_prior()[1:].astype(np.float32)
    card = {
        "network": CONFIG.to_dict(),
        "training": {},
        "temperature": 1.7,
        "coverage": {"stated": 0.9, "threshold": 0.8},
        "unsure_below": 0.5,
        "scores": {},
    }
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(path, WeightsFile(tensors, card))
    return path


def ceria(q, fwhm=0.012):
    crystal = Crystal.from_sites(
        space_group=225,
        cell=(5.4115, 5.4115, 5.4115, 90, 90, 90),
        elements=["Ce", "O"],
        positions=[[0, 0, 0], [0.25, 0.25, 0.25]],
        b_iso=0.3,
    )
    lines = reflections(crystal, q_min=0.3, q_max=float(q[-1]))
    grid = Grid(n_bins=len(q), q_min=q[0], q_max=q[-1], logarithmic=False)
    area = lines.f_squared * lines.multiplicity / lines.q**2
    return render(
        grid,
        np.array([0, len(area)]),
        lines.q.astype("f4"),
        area.astype("f4"),
        np.full(len(area), fwhm, "f4"),
        np.array([0.5], "f4"),
    )[0]


def test_the_three_levels_agree_and_are_sorted(weights):
    p = Classifier.load(weights, backend="onnx").predict(Q, ceria(Q))
    assert (len(p.classes), len(p.space_groups), len(p.crystal_systems)) == (97, 230, 7)
    for level in (p.classes, p.space_groups, p.crystal_systems):
        values = [entry.probability for entry in level]
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1)
        assert min(values) >= 0
    of_group = np.zeros(231)
    for entry in p.space_groups:
        of_group[entry.number] = entry.probability
    for entry in p.classes:
        index = [c.number for c in POWDER_CLASSES].index(entry.number)
        assert of_group[index == CLASS_INDEX].sum() == pytest.approx(entry.probability)
        assert POWDER_CLASSES[index].symbol == entry.symbol
    systems = np.bincount(SYSTEM_INDEX[1:], of_group[1:])
    assert sorted(systems, reverse=True) == pytest.approx(
        [entry.probability for entry in p.crystal_systems]
    )
    assert p.label_set[0] == p.label == p.classes[0].symbol
    reached = np.cumsum([entry.probability for entry in p.classes])
    assert reached[len(p.label_set) - 1] >= 0.8
    assert len(p.label_set) == 1 or reached[len(p.label_set) - 2] < 0.8
    assert p.coverage == 0.9
    assert p.unsure == (p.label_prob < 0.5)
    assert np.isfinite(p.novelty)


def test_a_batch_says_what_its_patterns_say_alone(weights):
    classifier = Classifier.load(weights, backend="onnx")
    rng = np.random.default_rng(0)
    batch = ceria(Q) + 20 * rng.random((3, len(Q)))
    batch[1, :200] = np.nan
    several = classifier.predict(Q, batch)
    assert len(several) == 3
    for one, pattern in zip(several, batch, strict=True):
        alone = classifier.predict(Q, pattern)
        assert alone.label == one.label
        assert alone.label_prob == pytest.approx(one.label_prob, rel=1e-4)
    assert classifier.predict(Q, np.empty((0, len(Q)))) == []
    shifted = classifier.predict(np.stack([Q, Q + 0.1, Q]), batch)
    assert shifted[0] == several[0]
    assert shifted[1] != several[1]


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_a_pattern_has_the_same_bits_alone_and_among_others(
    weights, tmp_path, temperature
):
    path = tmp_path / "other.safetensors"
    file = read_weights(weights)
    write_weights(
        path, dataclasses.replace(file, card={**file.card, "temperature": temperature})
    )
    classifier = Classifier.load(path, backend="onnx")
    rng = np.random.default_rng(1)
    batch = ceria(Q) + 20 * rng.random((37, len(Q)))
    logits, hidden = (5 * rng.normal(size=(37, n)).astype("f4") for n in (230, 32))
    p = classifier.probabilities(logits)
    for i in range(37):
        one = slice(i, i + 1)
        np.testing.assert_array_equal(classifier.probabilities(logits[one]), p[one])
        np.testing.assert_array_equal(
            classifier.novelty(logits[one], hidden[one]),
            classifier.novelty(logits, hidden)[one],
        )
    several = classifier.predict(Q, batch)
    assert [classifier.predict(Q, pattern) for pattern in batch] == several


def test_predictions_repeat_exactly(weights):
    classifier = Classifier.load(weights, backend="onnx")
    assert classifier.predict(Q, ceria(Q)) == classifier.predict(Q, ceria(Q))


def test_torch_says_the_same(weights):
    a = Classifier.load(weights, backend="onnx").predict(Q, ceria(Q))
    classifier = Classifier.load(weights, device="cpu")
    assert classifier.backend == "torch"
    b = classifier.predict(Q, ceria(Q))
    assert [c.number for c in a.classes[:5]] == [c.number for c in b.classes[:5]]
    np.testing.assert_allclose(
        [c.probability for c in a.classes[:5]],
        [c.probability for c in b.classes[:5]],
        atol=1e-5,
    )


def test_another_prior_moves_the_odds_by_bayes_rule(weights):
    found = {}
    for prior in ("natural", "balanced", "training"):
        p = Classifier.load(weights, prior=prior, backend="onnx").predict(Q, ceria(Q))
        found[prior] = {c.number: c.probability for c in p.classes}
    even, natural = natural_prior(), np.zeros(97)
    np.add.at(natural, CLASS_INDEX[1:], even[1:])
    for k in (0, 50, 96):
        number = POWDER_CLASSES[k].number
        reference = POWDER_CLASSES[10].number
        odds = [found[p][number] / found[p][reference] for p in ("natural", "balanced")]
        # Balanced: natural within a class, every class alike. The temperature, 1.7,
        # flattens what Bayes' rule gave.
        ratio = (odds[0] / odds[1]) ** 1.7
        assert ratio == pytest.approx(natural[k] / natural[10], rel=1e-4)
    assert found["training"] != found["natural"]


def test_identity_changes_with_what_changes_answers(weights, tmp_path):
    first = Classifier.load(weights, backend="onnx")
    assert first.identity == Classifier.load(weights, device="cpu").identity
    assert first.identity != Classifier.load(weights, prior="balanced").identity
    card = json.loads(weights.with_suffix(".json").read_text())
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    card["temperature"] = 1.9
    copy.with_suffix(".json").write_text(json.dumps(card))
    assert first.identity != Classifier.load(copy, backend="onnx").identity


@pytest.mark.parametrize(
    ("q", "y", "words"),
    [
        (Q, np.full(len(Q), np.nan), "0 of 1875 points"),
        (Q[:0], Q[:0], "0 of 0 points"),
        (10 * Q + 10, ceria(Q), "1/Angstrom"),
        (Q, np.ones((2, 2, 2)), "dimensions"),
        (Q[:10], np.ones((2, 11)), "do not fit"),
        (Q, np.stack([ceria(Q), np.full(len(Q), np.nan)]), "pattern 1 of the batch"),
    ],
)
def test_patterns_nothing_can_be_said_of_are_refused(weights, q, y, words):
    with pytest.raises(PatternError, match=words):
        Classifier.load(weights, backend="onnx").predict(q, y)


def test_bad_choices_are_refused(weights):
    with pytest.raises(ValueError, match="natural, balanced or training"):
        Classifier.load(weights, prior="even")
    with pytest.raises(ValueError, match="auto, onnx or torch"):
        Classifier.load(weights, backend="jax")
    with pytest.raises(ValueError, match="leave out"):
        Classifier.load(weights, backend="onnx", device="cpu")


def test_a_card_at_its_limits_is_read(weights, tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(weights.read_bytes())
    card = json.loads(weights.with_suffix(".json").read_text())
    limits = {"views": 9, "novel_above": -3, "doubt": 0, "unsure_below": 1}
    coverage = {"stated": 1, "threshold": 1.0}
    write_card(path, {**card, **limits, "coverage": coverage})
    assert Classifier.load(path, backend="onnx").predict(Q, ceria(Q)).coverage == 1


def test_loading_needs_neither_torch_nor_a_second(weights):
    code = (
        "import sys, time\n"
        "from ringwatch.models.classifier import Classifier\n"
        f"Classifier.load({str(weights)!r}, backend='onnx')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.fixture(scope="module")
def shipped():
    return Classifier.load(backend="onnx")


def test_shipped_weights_know_ceria(shipped):
    assert SHIPPED.stat().st_size < 16 * 2**20
    assert 0.5 < shipped.card["temperature"] < 4
    p = shipped.predict(Q, ceria(Q))
    assert 196 in [c.number for c in p.classes[:5]]
    cubic = dataclasses.asdict(p)["crystal_systems"][0]
    assert cubic["name"] == "cubic"


@pytest.mark.parametrize(
    ("frame", "poni"),
    [
        ("CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus1M.poni"),
        ("CeO2_Pilatus2M_61keV.cbf", "CeO2_Pilatus2M_61keV.poni"),
    ],
)
def test_shipped_weights_know_measured_ceria(shipped, shared_data, frame, poni):
    folder = shared_data / "frames"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyFAI's and fabio's own
        image = fabio.open(folder / frame).data
        geometry = pyFAI.load(str(folder / poni))
        found = geometry.integrate1d(image, 1000, unit="q_A^-1", mask=image < 0)
    intensity = np.where(found.count > 0, found.intensity, np.nan)
    p = shipped.predict(found.radial, intensity)
    assert 196 in [c.number for c in p.classes[:5]]

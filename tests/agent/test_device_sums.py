"""Frames summed and classified many at once, as a GPU does it, on torch's CPU device.

Whether a real GPU gives the same is for whoever has one: set RINGWATCH_TEST_DEVICE to
its name, such as ``cuda``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bluesky import RunEngine
from numpy.typing import NDArray

from ringwatch.agent import Agent
from ringwatch.agent.cli.compare import differences
from ringwatch.agent.device_sums import DeviceSummation
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sums import Summation
from ringwatch.models.classifier import Classifier
from ringwatch.models.engines import torch_engine
from ringwatch.models.weight_files import SHIPPED, read_weights
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .test_sums import INTEGERS, SHAPE, strange_frame

DEVICE = os.environ.get("RINGWATCH_TEST_DEVICE", "cpu")
THERE = torch.device(DEVICE)
DARKS = 2


@pytest.fixture
def binning(poni: Path) -> Binning:
    mask = np.zeros(SHAPE, bool)
    mask[60:70] = mask[:, 80:83] = True
    return Binning.from_geometry(load_geometry(poni), SHAPE, mask=mask, npt=150)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("saturation", [None, 95.0])
def test_sums_are_those_of_the_cpu(
    binning: Binning, dtype: str, saturation: float | None
) -> None:
    frames = [strange_frame(dtype, seed).ravel() for seed in range(3)]
    frames.append(np.zeros_like(frames[0]))
    many = DeviceSummation(binning, saturation, THERE).by_cell(frames)
    for frame, found in zip(frames, many, strict=True):
        alone = Summation(binning, saturation).by_cell(frame)
        for name in alone.__slots__:
            expected, got = np.asarray(getattr(alone, name)), getattr(found, name)
            assert np.asarray(got).dtype == expected.dtype, name
            np.testing.assert_array_equal(got, expected, err_msg=name)


def test_a_binning_without_a_mask_or_a_geometry(poni: Path) -> None:
    whole = Binning.from_geometry(load_geometry(poni), SHAPE, npt=150)
    for binning in (whole, Binning.without_geometry(SHAPE)):
        frame = strange_frame("u2", 1).ravel()
        (found,) = DeviceSummation(binning, None, THERE).by_cell([frame])
        alone = Summation(binning, None).by_cell(frame)
        np.testing.assert_array_equal(found.total, alone.total)
        assert found.masked_total == alone.masked_total == 0.0


def test_cakes_are_the_same(binning: Binning) -> None:
    reduction = Reduction(binning, many=DeviceSummation(binning, None, THERE))
    frames = [strange_frame("u4", seed) for seed in range(2)]
    for frame, sums in zip(frames, reduction.sums(frames), strict=True):
        found, alone = reduction.cake(frame, sums=sums), reduction.cake(frame)
        for name in ("pixels", "total", "total_sq", "maximum", "zeros", "norm"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
        assert (found.checksum, found.marked) == (alone.checksum, alone.marked)
        assert found.outliers is not None


def documents_of(engine: RunEngine, plan: Any) -> list[tuple[str, dict[str, Any]]]:
    documents: list[tuple[str, dict[str, Any]]] = []
    token = engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(plan)
    engine.unsubscribe(token)
    return documents


def say(documents: list[tuple[str, dict[str, Any]]], **settings: Any) -> MemorySink:
    sink = MemorySink()
    agent = Agent(sinks=(sink,), **settings)
    assert agent.wait_idle(120)  # torch and compiled code are loaded: all are waiting
    for name, doc in documents:
        agent.feed(name, doc)
    assert agent.wait_idle(60)
    assert agent.close()
    return sink


def spoil(documents: list[tuple[str, dict[str, Any]]]) -> None:
    """One frame of another shape, one of floating point, one of zeros."""
    events = [doc["data"] for name, doc in documents if name == "event"]
    images = [data for data in events if "detector_image" in data][DARKS:]
    images[4]["detector_image"] = images[4]["detector_image"][:-3]
    images[5]["detector_image"] = images[5]["detector_image"].astype(float)
    images[6]["detector_image"] = images[6]["detector_image"] * 0


@pytest.fixture(scope="module")
def scan(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("batches")
    beamline = powder_beamline(folder, detector=256, style="inline")
    engine = RunEngine({})
    plan: Callable[..., Any] = beamline.step_scan
    documents = documents_of(engine, plan(12, darks=DARKS))
    spoil(documents)
    settings = {
        "poni": beamline.poni_path,
        "mask": beamline.mask_path,
        "detector": "detector_image",
    }
    return settings, documents


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_a_batch_says_what_frame_by_frame_is_said(
    scan: tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]], batch: int
) -> None:
    settings, documents = scan
    alone = say(documents, **settings, classifier="onnx")
    many = say(
        documents, **settings, classifier="onnx", device=DEVICE, batch=batch,
        batch_wait_ms=50.0,
    )  # fmt: skip
    assert differences(alone.documents, many.documents) == []
    assert [name for name, _ in alone.documents] == [name for name, _ in many.documents]
    words = [event["verdict"] for event in many.events("primary")]
    assert words[:4] == ["good"] * 4
    assert words[4] == words[6] == "bad"
    assert [event["raw_index"] for event in many.events("primary")] == list(range(12))


def test_labels_of_torch_are_those_of_onnx(
    scan: tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]],
) -> None:
    settings, documents = scan
    alone = say(documents, **settings, classifier="onnx").events("primary")
    many = say(
        documents, **settings, classifier="torch", device=DEVICE, batch=8,
        batch_wait_ms=50.0,
    ).events("primary")  # fmt: skip
    for one, other in zip(alone, many, strict=True):
        assert one["label"] == other["label"]
        np.testing.assert_allclose(
            one["class_probs"], other["class_probs"], atol=1e-4, equal_nan=True
        )


def test_a_frame_waits_no_longer_than_it_may(
    scan: tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]],
) -> None:
    """A lone frame of a slow scan is not held until a batch is full."""
    settings, documents = scan
    sink = MemorySink()
    agent = Agent(
        sinks=(sink,), **settings, classifier="none", device=DEVICE, batch=64,
        batch_wait_ms=30.0,
    )  # fmt: skip
    assert agent.wait_idle(120)
    stop = next(n for n, (name, _) in enumerate(documents) if name == "stop")
    for name, doc in documents[:stop]:
        agent(name, doc)
    deadline = time.monotonic() + 20
    while len(sink.events("primary")) < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(sink.events("primary")) == 12  # and no stop document came
    assert all(event["wait_ms"] >= 0 for event in sink.events("primary"))
    assert agent.close()


def test_a_device_that_fails_leaves_the_frames_to_the_cpu(
    scan: tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Out of memory, or pulled from under us: it is logged, and no verdict is lost."""
    settings, documents = scan
    alone = say(documents, **settings, classifier="none")

    def fail(self: DeviceSummation, frames: list[NDArray[Any]]) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(DeviceSummation, "by_cell", fail)
    many = say(documents, **settings, classifier="none", device=DEVICE, batch=8)
    assert differences(alone.documents, many.documents) == []


def test_labels_that_fail_together_are_given_one_by_one(
    scan: tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, documents = scan
    given = settings | {"classifier": "torch", "device": DEVICE}
    alone = say(documents, **given, batch=1)

    def fail(self: Classifier, patterns: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Classifier, "predict_all", fail)
    many = say(documents, **given, batch=8, batch_wait_ms=50.0)
    assert differences(alone.documents, many.documents) == []
    assert many.events("primary")[0]["label"]


def test_no_such_device(poni: Path) -> None:
    with pytest.raises(SettingsError, match="leave out 'device'"):
        Agent(poni=poni, device="nonsense")
    if DEVICE == "cpu":
        with pytest.raises(SettingsError, match="'cuda:17' cannot be used"):
            Agent(poni=poni, device="cuda:17")


def test_a_pattern_has_the_same_bits_in_any_batch() -> None:
    """What a GPU does: smaller batches are filled up to one size."""
    weights = read_weights(SHIPPED)
    network = weights.network
    engine = torch_engine(weights, DEVICE, together=4)
    rng = np.random.default_rng(1)
    x = rng.random((6, 3, network.n_bins)).astype(np.float32)
    logits, hidden = engine(x)
    for n in range(6):
        one, layer = engine(x[n : n + 1])
        np.testing.assert_array_equal(one[0], logits[n])
        np.testing.assert_array_equal(layer[0], hidden[n])


def test_patterns_that_cannot_be_classified_do_not_spoil_a_batch() -> None:
    classifier = Classifier.load(backend="torch", device=DEVICE)
    q = np.linspace(1.0, 5.0, 500)
    sound = 1.0 + 1e3 * np.exp(-(((q - 3.0) / 0.02) ** 2))
    short = q[:3], sound[:3], None
    first, nothing, last = classifier.predict_all(
        [(q, sound, None), short, (q[::2], sound[::2], None)]
    )
    assert isinstance(nothing, ValueError)
    alone = classifier.predict(q, sound)
    assert not isinstance(first, ValueError)
    assert not isinstance(last, ValueError)
    assert first.label == alone.label
    assert abs(first.label_prob - alone.label_prob) < 1e-4
    assert classifier.device == DEVICE.partition(":")[0]

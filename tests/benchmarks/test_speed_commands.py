"""Network, latency, RunEngine, replay, generator, tiny: the rows that they promise."""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.benchmarks import (
    generator,
    latency,
    network,
    replay,
    run_engine,
)
from ringwatch.benchmarks.listener import Listener
from ringwatch.benchmarks.speed_lines import LINES_OF
from ringwatch.models.network import Network
from ringwatch.models.weight_files import SHIPPED, read_weights

EDGE = 256


def assert_positive(row: dict[str, Any], *keys: str) -> None:
    for key in keys:
        assert math.isfinite(row[key]), key
        assert row[key] > 0, key


# -- network ----------------------------------------------------------------------


def test_network_rows_are_whole_and_both_backends_say_the_same() -> None:
    rows = network.measure([1, 2], repeats=2)
    ways = ["ONNX, predict", "torch, predict", "ONNX, network", "torch, network"]
    assert [(row["batch"], row["way"]) for row in rows] == [
        (batch, way) for batch in (1, 2) for way in (*ways, "floor")
    ]
    assert len({tuple(row) for row in rows}) == 1  # one table
    for row in rows:
        assert_positive(row, "ms_a_pattern", "times_the_floor", "million_multiply_adds")
        if row["way"] != "floor":
            assert row["same_label"] == 1
            assert 0 < row["fastest_ms"] <= row["ms_a_pattern"]
        if row["way"].startswith("torch"):
            assert row["faster_than_torch"] == 1
    (first, *_) = LINES_OF["network"](rows)
    assert first.ours == rows[0]["ms_a_pattern"]
    assert first.peer == rows[1]["ms_a_pattern"]
    assert first.floor == rows[4]["ms_a_pattern"]


def test_multiply_adds_are_those_of_the_shapes() -> None:
    weights = read_weights(SHIPPED)
    due = 0
    for config, _ in weights.members():
        made = Network(config)
        dense = sum(
            m.weight.numel() for m in made.modules() if isinstance(m, nn.Linear)
        )
        due += dense
        length = config.n_bins
        for stage in made.stages:
            convolutions = [m for m in stage.modules() if isinstance(m, nn.Conv1d)]
            for conv in convolutions:
                (width,), (step,), (pad,) = conv.kernel_size, conv.stride, conv.padding
                length = (length + 2 * int(pad) - width) // step + 1
                due += length * conv.weight.numel()
    assert network.multiply_adds(weights) == due * int(weights.card.get("views", 1))


def test_patterns_come_again_after_the_eighth() -> None:
    q, intensity, sigma = network.draw_patterns(9)
    assert q.shape == intensity.shape == sigma.shape == (9, 2000)
    assert np.array_equal(intensity[8], intensity[0], equal_nan=True)
    assert not np.array_equal(intensity[7], intensity[0], equal_nan=True)


# -- latency ----------------------------------------------------------------------


@pytest.mark.slow
def test_latency_is_told_of_every_frame_and_tiled_has_them_all(tmp_path: Path) -> None:
    frames, rate = 6, 10.0
    rows = latency.measure(EDGE, tmp_path, frames=frames, runs=3, rate=rate)
    assert [row["run"] for row in rows] == ["1", "2", "3", "median"]
    assert len({tuple(row) for row in rows}) == 1
    for row in rows:
        assert row["frames"] == row["stored"] == frames
        assert 0 < row["min_ms"] <= row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["late_ms"] >= 0
    runs, median = rows[:3], rows[3]
    for key in ("p50_ms", "p99_ms", "max_ms"):
        assert median[key] == sorted(row[key] for row in runs)[1]
    p50, p99, _ = LINES_OF["latency"](rows)
    assert (p50.ours, p99.ours) == (median["p50_ms"], median["p99_ms"])
    assert (p50.met, p99.met) == (None, None)  # neither the size nor the rate


def test_the_listener_keeps_the_first_message_of_each_frame() -> None:
    sink = ZmqSink("tcp://127.0.0.1:0")
    try:
        with Listener(sink.address) as listener:
            assert sink.wait_for_subscriber(60)
            began = time.perf_counter()
            sink.put("event", {"data": {"raw_index": 0, "revision": 0}})
            sink.put("event", {"data": {"raw_index": 1, "revision": 0}})
            sink.flush(10.0)
            time.sleep(0.3)
            sink.put("event", {"data": {"raw_index": 0, "revision": 1}})
            sink.put("stop", {})
            came = listener.take(60)
            assert list(came) == [0, 1]
            assert 0 < came[0] - began <= came[1] - began
            assert time.perf_counter() - came[1] > 0.2
            with pytest.raises(TimeoutError, match="no run ended"):
                listener.take(0.1)
        assert not listener.alive
    finally:
        sink.close(5.0)


# -- RunEngine --------------------------------------------------------------------


def test_run_engine_rows_are_whole_and_each_document_is_timed(tmp_path: Path) -> None:
    points, repeats = 3, 2
    rows = run_engine.measure(
        "stream", tmp_path, points=points, repeats=repeats, edge=EDGE
    )
    agent, empty, bare = rows
    assert len({tuple(row) for row in rows}) == 1
    assert [row["way"] for row in rows] == [
        "agent",
        "empty callback",
        "nothing subscribed",
    ]
    # A start, a stop and for each point an event at least.
    assert agent["documents"] == empty["documents"] >= repeats * (points + 2)
    assert bare["documents"] is None
    for row in (agent, empty):
        assert 0 < row["median_us"] <= row["p99_us"]
    assert_positive(bare, "scan_s")
    assert bare["times_the_bare_scan"] == 1
    document, scan = LINES_OF["run_engine"](rows)
    assert document.met is (agent["median_us"] < 200)
    assert scan.peer == bare["scan_s"]


def test_the_stopwatch_keeps_the_seconds_of_each_document() -> None:
    got: list[str] = []
    watch = run_engine.Stopwatch(lambda name, doc: got.append(name))
    for name in ("start", "stop"):
        watch(name, {})
    assert got == ["start", "stop"]
    assert len(watch.seconds) == 2
    assert min(watch.seconds) >= 0


# -- replay -----------------------------------------------------------------------


@pytest.mark.slow
def test_replay_tells_of_the_peer_and_of_the_floor(tmp_path: Path) -> None:
    found = replay.measure(6, 2, EDGE, tmp_path)
    assert found["frames"] == 6
    assert found["rounds"] == 1
    assert_positive(found, "ours_fps", "obvious_fps", "floor_fps", "times_the_floor")
    assert_positive(found, "ours_through_tiled_fps", "ratio_through_tiled")
    assert found["ratio"] == pytest.approx(
        found["ours_fps"] / found["obvious_fps"], rel=0.02, abs=0.01
    )
    (line,) = LINES_OF["replay"]([found])
    assert line.ours == found["ours_fps"]
    assert line.met is None  # asked of 1 Mpx
    (large,) = LINES_OF["replay"]([found | {"pixels": 2**20}])
    assert large.met is (found["ratio"] >= 5)
    replay.show(found)


# -- generator --------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # pymatgen's and PyXtal's
def test_generator_rows_are_whole() -> None:
    rows = generator.measure(patterns=20, crystals=4, repeats=2)
    assert len({tuple(row) for row in rows}) == 1
    linear, logarithmic, alike, tiny = rows
    for row in rows:
        assert_positive(row, "per_core_second", "times_fewer_than_ours")
    for row in (linear, logarithmic):
        assert row["counted"] == 40
        assert_positive(row, "lines_us", "drawing_us")
        assert row["relative_error"] is None
    for row in (alike, tiny):
        assert row["counted"] == 4
        assert row["relative_error"] > 0
    assert linear["times_fewer_than_ours"] == 1
    lines = LINES_OF["generator"](rows)
    assert [line.peer for line in lines] == [
        p["per_core_second"] for p in (alike, tiny)
    ]


def test_peers_get_space_groups_of_ours() -> None:
    made = generator.CrystalGenerator(seed=1, q_min=0.4, q_max=5.0, class_balance=1.0)
    ours = {made.crystal(index).space_group for index in range(60)}
    for compositions in generator.PEERS.values():
        drawn = compositions(made)
        for _ in range(5):
            group, elements, counts = next(drawn)
            assert group in ours
            assert len(elements) == len(counts) >= 1
            assert sum(counts) >= 1


# -- as commands ------------------------------------------------------------------

REFUSED = {
    "network": (["--repeats", "4"], "5 to 1,000"),
    "latency": (["--frames", "19"], "20 to 100,000"),
    "run_engine": (["--repeats", "4"], "5 to 1,000"),
    "replay": (["--repeats", "2"], "3 to 1,000"),
    "generator": (["--repeats", "4"], "5 to 1,000"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_each_command_says_what_it_does_and_refuses_too_little(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"ringwatch.benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    told = capsys.readouterr().out
    assert f"python benchmarks/{name}.py" in told
    assert "For example:" in told
    options, why = REFUSED[name]
    monkeypatch.setattr(sys, "argv", [name, *options])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [True, False])
def test_run_engine_prints_what_it_was_asked(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run_engine", "--style", "inline", "--points", "1"]
    monkeypatch.setattr(sys, "argv", command + ["--json"] * as_json)
    monkeypatch.setenv("COLUMNS", "120")
    run_engine.main()
    told = capsys.readouterr().out
    if as_json:
        assert {row["style"] for row in json.loads(told)["rows"]} == {"inline"}
    else:
        assert "empty callback" in told
        assert "less than 200 us" in told


def test_network_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["network", "--batch", "1", "--repeats", "5", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    network.main()
    assert json.loads(capsys.readouterr().out)["rows"][-1]["way"] == "floor"

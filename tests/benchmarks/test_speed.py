"""The benchmarks of speed, tiny: rows are whole and honest; not how fast anything is.

They time things, but nothing here looks at the times, so others may run beside them.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.benchmarks import end_to_end, reduction, scaling
from ringwatch.benchmarks.frame_file import FrameFile
from ringwatch.benchmarks.peers import (
    draw_frames,
    edge_of,
    experiment_of,
    exponent,
    median_ms,
    ratio,
    read_floor,
    show_json,
    take_turns,
)

EDGE = 256


def assert_positive(row: dict[str, Any], *keys: str) -> None:
    for key in keys:
        assert math.isfinite(row[key]), key
        assert row[key] > 0, key


# -- what they share --------------------------------------------------------------


def test_everybody_has_a_turn_in_each_round_and_nobody_always_goes_first() -> None:
    called: list[tuple[str, int]] = []
    ways = {name: lambda turn, n=name: called.append((n, turn)) for name in "abc"}
    taken = take_turns(ways, 3)
    assert {name: len(each) for name, each in taken.items()} == dict.fromkeys("abc", 3)
    warm, rounds = called[:3], called[3:]
    assert [turn for _, turn in warm] == [0, 0, 0]
    assert [name for name, _ in rounds] == list("abc") + list("bca") + list("cab")
    assert [turn for _, turn in rounds] == [0] * 3 + [1] * 3 + [2] * 3


def test_figures_are_of_the_median_of_the_rounds() -> None:
    assert median_ms([1.0, 9.0, 2.0], 4) == pytest.approx(500.0)
    assert ratio([6.0, 60.0, 5.0], [2.0, 1.0, 20.0]) == pytest.approx(3.0)


def test_the_exponent_is_that_of_a_power_law() -> None:
    sizes = [1.0, 4.0, 9.0, 16.0]
    assert exponent(sizes, [7 * s**1.3 for s in sizes]) == pytest.approx(1.3)


def test_a_mpx_is_2_to_the_20_pixels() -> None:
    assert [edge_of(mpx) for mpx in (1, 4, 9, 16)] == [1024, 2048, 3072, 4096]


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_the_floor_reads_every_pixel_and_its_index(dtype: str) -> None:
    frame = np.random.default_rng(1).integers(0, 60_000, 999).astype(dtype)
    index = np.arange(64_000, 64_999).astype(np.uint16)
    assert int(read_floor(frame, index)) == int(frame.sum()) + int(index.sum())


def test_frames_hold_rings_with_noise_of_their_own() -> None:
    experiment = experiment_of(EDGE, "uint32")
    first, second = draw_frames(experiment, 2)
    assert first.dtype == second.dtype == np.uint32
    assert not np.array_equal(first, second)
    lit = first[~experiment.mask()]
    assert 5 < lit.mean() < 60  # counts a pixel: what a 20 of all pixels leaves
    assert lit.max() > 3 * lit.mean()


def test_json_says_how_busy_the_machine_was(capsys: pytest.CaptureFixture[str]) -> None:
    show_json([{"way": "ours"}])
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == [{"way": "ours"}]
    assert told["cores"] >= 1
    assert told["load"] >= 0


# -- reduction --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_reduction_rows_are_whole_and_all_count_the_same(dtype: str) -> None:
    rows = reduction.measure(EDGE, dtype=dtype, repeats=2, bins=200)
    by_way = {row["way"]: row for row in rows}
    assert list(by_way) == [
        "cake",
        "cake, second look",
        "plain 1D",
        "pyFAI no-csc",
        "pyFAI full-csc",
        "pyFAI bbox-csr",
        "floor",
    ]
    assert len({tuple(row) for row in rows}) == 1  # one table
    for row in by_way.values():
        assert row["dtype"] == dtype
        assert row["mpx"] == EDGE**2 / 2**20
        assert row["sums_equal"] is True
        assert_positive(row, "ms", "faster_than_no_csc", "times_the_floor")
        assert 0 < row["fastest_ms"] <= row["ms"]
    assert by_way["pyFAI no-csc"]["faster_than_no_csc"] == 1
    assert by_way["floor"]["times_the_floor"] == 1


def test_a_lost_count_shows() -> None:
    contest = reduction.Contest.of_size(EDGE, bins=200, engines=("no-csc", "full-csc"))
    assert all(contest.equal_sums().values())
    lit = np.argmax(np.where(contest.mask, 0, contest.frames[0]))
    engines = {way: contest.ways[way](0) for way in contest.ways}
    contest.frames[0].reshape(-1)[lit] += 100  # of 1.3 million
    for stale in ("cake", "plain 1D", "pyFAI no-csc", "pyFAI full-csc", "floor"):
        ways = contest.ways | {stale: lambda _, old=engines[stale]: old}
        found = replace(contest, ways=ways).equal_sums()
        assert not found[stale], stale


# -- end to end -------------------------------------------------------------------


def test_end_to_end_rows_are_whole_and_each_frame_is_answered(tmp_path: Path) -> None:
    rows = end_to_end.measure(EDGE, tmp_path, frames=6, repeats=2)
    by_way = {row["way"]: row for row in rows}
    assert list(by_way) == ["ours", "naive", "best pyFAI", "floor"]
    assert len({tuple(row) for row in rows}) == 1
    ratios = ("faster_than_naive", "faster_than_best_pyfai", "times_the_floor")
    for row in rows:
        assert row["frames"] == row["verdicts"] == 6
        assert_positive(row, "ms", "fastest_ms", *ratios)
    assert by_way["naive"]["faster_than_naive"] == 1
    assert by_way["best pyFAI"]["faster_than_best_pyfai"] == 1
    assert by_way["ours"]["same_label"] == 1
    # Without pixel splitting it is our pattern: the network must say the same of it.
    assert by_way["best pyFAI"]["same_label"] == 1
    assert by_way["naive"]["same_label"] > 0.5


def test_the_scan_is_one_that_bluesky_could_have_made(tmp_path: Path) -> None:
    store = FrameFile.write(tmp_path, EDGE, 3)
    documents = store.documents()
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    names = [name for name, _ in documents]
    assert names.count("stream_datum") == names.count("event") == 3
    assert documents[0][1]["uid"] != store.documents()[0][1]["uid"]


def test_frames_come_again_only_where_no_flag_remembers_them(tmp_path: Path) -> None:
    store = FrameFile.write(tmp_path, 64, 70)
    with h5py.File(store.path, "r") as file:
        frames = file["data"][:]
    assert np.array_equal(frames[65:], frames[:5])
    assert len({frame.tobytes() for frame in frames}) == 65


def test_a_run_that_does_not_end_is_told_and_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(end_to_end, "_PATIENCE_S", 0.2)
    sink = ZmqSink("tcp://127.0.0.1:0")
    subscriber = end_to_end.Subscriber(sink)
    try:
        sink.put("event", {"data": {}})
        with pytest.raises(SystemExit, match="1 verdicts did not end"):
            subscriber.take()
    finally:
        subscriber.close()
        sink.close(5.0)


# -- scaling ----------------------------------------------------------------------


def test_the_cost_is_fitted_over_sizes_and_over_bins() -> None:
    pixels = scaling.measure_pixels([128, EDGE], repeats=2, bins=100)
    bins = scaling.measure_bins([100, 200], edge=128, repeats=2)
    for rows, of in ((pixels, ("0.0156", "0.0625")), (bins, ("100", "200"))):
        ways = [row["way"] for row in rows]
        ours = ["cake", "cake, second look", "plain 1D"]
        assert ways == [*ours, "pyFAI no-csc", "floor"]
        for row in rows:
            small, large = (row[key] for key in row if key.startswith("ms_at_"))
            assert [k for k in row if k.startswith(f"ms_at_{of[0]}")]
            assert [k for k in row if k.startswith(f"ms_at_{of[1]}")]
            grown = math.log(large / small) / math.log(2 if rows is bins else 4)
            assert row["exponent"] == pytest.approx(grown)


def test_the_ends_of_a_run_are_laid_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = [9.0] * scaling.WARM + [1.0, 1.0, 1.0, 9.0] * 5 + [2.0] * 20
    came = np.concatenate([[0.0], np.cumsum(took)]).tolist()
    monkeypatch.setattr(scaling, "verdict_times", lambda store: came)
    first, last = scaling.measure_frames(64, len(came), tmp_path)
    assert first["way"] == "first tenth"
    assert first["frames"] == last["frames"] == 4
    assert (first["median_ms"], first["mean_ms"]) == (1000, 3000)
    assert (last["median_ms"], last["median_to_first"]) == (2000, 2)
    assert last["mean_to_first"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_processes_have_runs_of_their_own(tmp_path: Path) -> None:
    frames = scaling.WARM + 6
    rows = scaling.measure_processes(EDGE, frames, tmp_path, repeats=1)
    assert [row["processes"] for row in rows] == [1, 2]
    for row in rows:
        assert row["frames_each"] == 5
        assert_positive(row, "frames_per_s", "speed_up")
    assert rows[0]["speed_up"] == 1


# -- as commands ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reduction", "end_to_end", "scaling"])
def test_each_command_says_what_it_does_and_refuses_too_few_rounds(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"ringwatch.benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    told = capsys.readouterr().out
    assert f"python benchmarks/{name}.py" in told
    assert "For example:" in told
    monkeypatch.setattr(sys, "argv", [name, "--repeats", "4"])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert "5 to 1,000" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [True, False])
def test_scaling_answers_what_it_was_asked(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["scaling", "--only", "pixels", "--mpx", "0.01", "0.02"]
    monkeypatch.setattr(sys, "argv", command + ["--json"] * as_json)
    scaling.main()
    told = capsys.readouterr().out
    if as_json:
        assert [row["way"] for row in json.loads(told)["rows"]["pixels"]][-1] == "floor"
    else:
        assert "Scaling: pixels" in told
        assert "0.9 to 1.1" in " ".join(told.split())

"""Replay beside the obvious way, and on two Dask workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ringwatch.benchmarks.replay import measure, measure_workers

from .conftest import FULL, measures_time

EDGE = 1024
FRAMES, OBVIOUS, LEAST = (2_000, 100, 5.0) if FULL else (40, 6, 2.0)
"""Few frames do not pay for the start of a replay: the quick form asks for less."""


@measures_time
@pytest.mark.timeout(900)
def test_replay_is_several_times_as_fast_as_the_obvious_way(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    found = measure(FRAMES, OBVIOUS, EDGE, tmp_path, through_tiled=False)
    what = f"replay of {FRAMES:,} frames of 1 Mpx"
    figure(f"{what}: frames a second", found["ours_fps"])
    figure("the obvious way: frames a second", found["obvious_fps"])
    figure(f"{what}: times the obvious way", found["ratio"], f">= {LEAST:.0f}")
    assert found["frames"] == FRAMES
    assert found["ratio"] >= LEAST


@pytest.mark.skipif(not FULL, reason="test_replay_many compares them in little")
@measures_time
@pytest.mark.timeout(900)
def test_two_dask_workers_say_the_same(
    tmp_path: Path, figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setenv("TILED_API_KEY", "")  # taken back at the end
    found = measure_workers(2, 150, EDGE, tmp_path)
    figure("two Dask workers: speed-up, their start included", found["speed_up"])
    figure("two Dask workers: speed-up once they stand", found["speed_up_standing"])
    figure("two Dask workers: identical", found["identical"], "True")
    assert found["workers_are"] == "dask"
    assert found["identical"]

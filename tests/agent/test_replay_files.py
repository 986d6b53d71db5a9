"""Files of a stored run: in reach, out of reach, cut off, and which frame is whose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import RunEngine

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.nouns import FileLocator
from ringwatch.agent.sources.stored_stream import FrameSet, match_rows
from ringwatch.agent.sources.tiled import replay
from ringwatch.simulated_beamline.scans import fly, step_scan

from .seen_frames import detector_of, live, replayed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def raw(server: EmbeddedTiled) -> Any:
    return server.catalog("raw")


@pytest.mark.parametrize("style", ["datum", "stream"])
def test_file_out_of_reach_comes_through_tiled(
    style: str, folder: Path, raw: Any, run_engine: RunEngine, monkeypatch: Any
) -> None:
    """As from another machine: same pixels, same identity, inside the events."""
    run, seen, _ = live(run_engine, raw, step_scan(detector_of(style, folder), 12))
    monkeypatch.setattr(
        "ringwatch.agent.sources.stored_stream.Path.is_file", lambda path: False
    )
    again, names = replayed(replay(run))
    assert again.told() == seen.told()
    assert not {"datum", "stream_datum"} & set(names)


def test_fly_scan_out_of_reach(
    folder: Path, raw: Any, run_engine: RunEngine, monkeypatch: Any
) -> None:
    run, seen, _ = live(run_engine, raw, fly(detector_of("stream", folder), 25))
    monkeypatch.setattr(
        "ringwatch.agent.sources.stored_stream.Path.is_file", lambda path: False
    )
    again, _ = replayed(replay(run))
    assert again.told(by_event=False) == seen.told(by_event=False)


def test_locators_point_into_the_file(
    folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    run, _, _ = live(run_engine, raw, fly(detector_of("stream", folder), 3))
    again, _ = replayed(replay(run))
    locators = [ref.locator for ref in again.refs]
    assert all(isinstance(locator, FileLocator) for locator in locators)
    assert [locator.start for locator in locators] == [0, 1, 2]  # type: ignore[union-attr]


def frame_file(folder: Path, frames: int, **columns: Any) -> FrameSet:
    """A frame set of a classic datum stream, of which the catalogue knows 3 points."""
    path = folder / "frames.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.zeros((frames, 4, 4), dtype=np.uint16)
        for name, values in columns.items():
            file[f"entry/data/{name}"] = values
    return FrameSet(
        data_key="det_image",
        node=None,
        shape=(4, 4),
        rows=3,
        per_row=1,
        external="FILESTORE:",
        files=(path,),
        uris=(path.as_uri(),),
        dataset="entry/data/data",
    )


EVENTS = [
    {"time": t, "det_frame_number": n} for t, n in ((1.0, 7), (2.0, 9), (3.0, 10))
]


def test_counter_tells_which_point_was_given_up(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 4, frame_number=[7, 8, 9, 10])
    assert match_rows(EVENTS, frames) == [0, 2, 3]


def test_times_tell_where_there_is_no_counter(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 4, timestamp=[0.9, 1.2, 1.9, 2.9])
    assert match_rows(EVENTS, frames) == [0, 2, 3]


def test_without_a_hint_the_surplus_is_at_the_end_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert match_rows(EVENTS, frame_file(tmp_path, 4)) == [0, 1, 2]
    assert "neither a frame counter nor times" in caplog.text


def test_counters_that_do_not_fit_are_not_believed(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 4, frame_number=[0, 1, 2, 3], timestamp=[9.0] * 4)
    assert match_rows(EVENTS, frames) == [0, 1, 2]


def test_equal_numbers_pair_up(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 3, frame_number=[10, 9, 7])
    assert match_rows(EVENTS, frames) == [0, 1, 2]


def test_a_file_that_is_cut_off_ends_the_replay(tmp_path: Path) -> None:
    """HDF5 never returns from such a file when asked for single-writer mode."""
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset(
            "entry/data/data", data=np.zeros((4, 64, 64), "u2"), chunks=(1, 64, 64)
        )
    (tmp_path / "x").mkdir()
    frames = replace(frame_file(tmp_path / "x", 4), files=(path,))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ReplayError, match=r"frames\.h5.*truncated"):
        match_rows(EVENTS, frames)
    path.unlink()
    with pytest.raises(ReplayError, match="not there"):
        match_rows(EVENTS, frames)


def test_columns_are_not_looked_for_outside_the_roots(tmp_path: Path) -> None:
    inside = tmp_path / "data"
    inside.mkdir()
    frames = replace(frame_file(inside, 4), roots=DataRoots((inside,)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["n"] = [7, 8, 9, 10]
    with h5py.File(inside / "frames.h5", "a") as file:
        file["entry/data/frame_number"] = h5py.ExternalLink("../other.h5", "n")
    with pytest.raises(ReplayError, match="allowed folders"):
        match_rows(EVENTS, frames)
    assert match_rows(EVENTS, replace(frames, roots=DataRoots())) == [0, 2, 3]


def test_files_outside_the_roots_come_through_tiled(
    folder: Path, raw: Any, run_engine: RunEngine, tmp_path: Path
) -> None:
    run, seen, _ = live(run_engine, raw, step_scan(detector_of("stream", folder), 3))
    again, names = replayed(replay(run, roots=(tmp_path,)))
    assert "stream_datum" not in names
    assert again.pixels == seen.pixels

"""Stored pixels are read once: chunks of files, and slices through Tiled."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from event_model import compose_run

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.files.chunk_cache import MOST_BYTES, with_room_for_chunks
from ringwatch.agent.sources import chunks
from ringwatch.agent.sources.chunks import slice_rows, slices_ahead
from ringwatch.agent.sources.tiled import replay
from ringwatch.simulated_beamline.scenarios import powder_beamline

PIXELS = np.random.default_rng(5).poisson(3.0, (24, 512, 512)).astype(np.uint16)


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def read_all(dataset: h5py.Dataset) -> int:
    """Bytes that went from the file into this process for all frames, one by one."""
    before = bytes_read()
    for number, expected in enumerate(PIXELS):
        assert np.array_equal(dataset[number], expected)
    return bytes_read() - before


def frame_file(path: Path, chunk: tuple[int, ...]) -> Path:
    with h5py.File(path, "w") as file:
        compression = hdf5plugin.Bitshuffle(cname="lz4")
        file.create_dataset("frames", data=PIXELS, chunks=chunk, **compression)
    return path


def test_a_chunk_of_many_frames_is_decoded_once(tmp_path: Path) -> None:
    path = frame_file(tmp_path / "frames.h5", (24, 512, 512))  # 12 MiB decoded
    size = path.stat().st_size
    with h5py.File(path, "r") as file:
        assert read_all(file["frames"]) > 20 * size  # HDF5 by itself: or no test
    with h5py.File(path, "r") as file:
        assert read_all(with_room_for_chunks(file["frames"])) < 1.1 * size


def test_chunks_that_make_up_a_frame_together(tmp_path: Path) -> None:
    path = frame_file(tmp_path / "frames.h5", (24, 256, 512))
    size = path.stat().st_size
    with h5py.File(path, "r") as file:
        assert read_all(with_room_for_chunks(file["frames"])) < 1.1 * size


@pytest.mark.parametrize("kind", ["one", "contiguous", "virtual", "vast"])
def test_other_datasets_are_left_alone(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        if kind == "one":
            dataset = file.create_dataset("d", (4, 8, 8), "u2", chunks=(1, 8, 8))
        elif kind == "contiguous":
            dataset = file.create_dataset("d", (4, 8, 8), "u2")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 8, 8), "u2")
            dataset = file.create_virtual_dataset("d", layout)
        else:
            edge = 4096
            rows = MOST_BYTES // edge // edge + 1
            dataset = file.create_dataset(
                "d", (rows, edge, edge), "u1", chunks=(rows, edge, edge)
            )
        assert with_room_for_chunks(dataset) is dataset
        assert dataset.id.valid


@pytest.mark.parametrize(
    ("row_bytes", "chunk", "rows"),
    [
        (1 << 20, (), 16),
        (1 << 20, (1, 1), 16),
        (1 << 20, (10, 10), 10),  # not 16: the second chunk would be decoded twice
        (1 << 20, (5, 5, 5, 5), 15),
        (1 << 20, (50, 50), 50),  # fits: whole chunks
        (1 << 20, (100, 100), 16),  # does not
        (8 << 20, (1,), 8),
        (1 << 30, (1,), 1),
    ],
)
def test_slices_are_whole_chunks_of_at_most_64_mib(
    row_bytes: int, chunk: tuple[int, ...], rows: int
) -> None:
    assert slice_rows(row_bytes, chunk) == rows


class Counted:
    """An array that remembers how it was sliced, and where."""

    def __init__(self, rows: int) -> None:
        self.array = np.arange(rows * 3).reshape(rows, 3)
        self.asked: list[tuple[int, int]] = []
        self.threads: set[int] = set()

    def __getitem__(self, where: slice) -> Any:
        self.asked.append((where.start, where.stop))
        self.threads.add(threading.get_ident())
        if where.start >= 20:
            raise OSError("out of reach")
        return self.array[where]


def test_the_next_slice_is_fetched_while_one_is_used() -> None:
    node = Counted(11)
    slices = slices_ahead(node, range(11), 4)
    assert node.asked == []
    blocks = [next(slices)]
    deadline = time.monotonic() + 5
    while len(node.asked) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert node.asked == [(0, 4), (4, 8)]  # one ahead, and no more
    blocks += slices
    assert node.asked == [(0, 4), (4, 8), (8, 11)]
    assert np.array_equal(np.concatenate(blocks), node.array)
    assert threading.get_ident() not in node.threads


def test_what_fails_ahead_is_raised_here_and_the_thread_ends() -> None:
    slices = slices_ahead(Counted(40), range(40), 10)
    assert len(next(slices)) == len(next(slices)) == 10
    with pytest.raises(OSError, match="out of reach"):
        next(slices)
    slices = slices_ahead(Counted(40), range(40), 10)
    next(slices)
    slices.close()  # type: ignore[attr-defined]
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("ringwatch-ahead") for name in names)


def test_frames_through_tiled_come_in_few_calls(
    server: EmbeddedTiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beamline = powder_beamline(tmp_path, detector=64, style="inline")
    engine: Any = RunEngine({}, call_returns_result=False)
    raw = server.catalog("raw-sliced")
    engine.subscribe(TiledWriter(raw, batch_size=100))
    (uid,) = engine(beamline.step_scan(20))
    asked: list[int] = []
    real = chunks.slices_ahead

    def counted(node: Any, rows: range, step: int) -> Any:
        for block in real(node, rows, step):
            asked.append(len(block))
            yield block

    monkeypatch.setattr("ringwatch.agent.sources.frame_set.slices_ahead", counted)
    events = [
        doc
        for name, doc in replay(raw[uid])
        if name == "event" and "detector_image" in doc["data"]
    ]
    assert len(events) == 20
    assert sum(asked) == 20
    assert len(asked) <= 2


def test_small_arrays_of_events_come_back_to_the_last_bit(
    server: EmbeddedTiled,
) -> None:
    """A table's cells of lists are text, shortened, if dask has its way."""
    raw = server.catalog("raw-arrays")
    numbers = np.random.default_rng(1).random((3, 4)) / 3
    large = np.random.default_rng(2).random((3, 100))
    run = compose_run()
    keys = {
        key: {"source": "s", "dtype": "array", "dtype_numpy": "<f8", "shape": [n]}
        for key, n in (("few", 4), ("many", 100))
    }
    bundle = run.compose_descriptor(name="primary", data_keys=keys)
    writer = TiledWriter(raw, batch_size=100)
    writer("start", dict(run.start_doc))
    writer("descriptor", dict(bundle.descriptor_doc))
    for few, many in zip(numbers, large, strict=True):
        event = bundle.compose_event(
            data={"few": few, "many": many}, timestamps={"few": 0.0, "many": 0.0}
        )
        writer("event", dict(event))
    writer("stop", dict(run.compose_stop()))
    events = [
        doc["data"]
        for name, doc in replay(raw[run.start_doc["uid"]])
        if name == "event"
    ]
    assert np.array_equal([event["few"] for event in events], numbers)
    assert np.array_equal([event["many"] for event in events], large)

"""Packed chunks: honest ones of every kind pass, others are refused before HDF5."""

from __future__ import annotations

import statistics
import time
import zlib
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from ringwatch.agent.errors import ForbiddenFrameError, FrameReadError
from ringwatch.agent.files.chunk_bounds import ChunkBounds
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef

from .written_frames import in_file

KINDS: dict[str, dict[str, Any]] = {
    "bitshuffle and LZ4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle and Zstandard": dict(hdf5plugin.Bitshuffle(cname="zstd")),
    "bitshuffle": dict(hdf5plugin.Bitshuffle(cname="none")),
    "with a checksum": {
        "fletcher32": True,
        **hdf5plugin.Bitshuffle(cname="lz4"),
    },
    "gzip": {"compression": "gzip", "shuffle": True},
    "gzip with a checksum": {"compression": "gzip", "fletcher32": True},
    "LZ4": dict(hdf5plugin.LZ4()),
    "LZ4 in small blocks": dict(hdf5plugin.LZ4(nbytes=1000)),
    "Zstandard": dict(hdf5plugin.Zstd()),
    "Blosc": dict(hdf5plugin.Blosc()),
    "not packed": {},
}
SHAPES = [  # of frames and of chunks
    ((3, 20, 24), (1, 20, 24)),
    ((3, 33, 17), (2, 33, 17)),
    ((2, 100, 103), (1, 64, 64)),
    ((1, 3, 3), (1, 3, 3)),
]


def ref_to(path: Path, number: int, dataset: str = "data") -> FrameRef:
    return in_file(path, number, dataset, shape=(0, 0))


def virtual(path: Path, shape: tuple[int, ...], *, step: int) -> Path:
    """A virtual dataset over a file: all of it, or frame by frame backwards."""
    beside = path.with_name("virtual.h5")
    layout = h5py.VirtualLayout(shape, "u2")
    source = h5py.VirtualSource(str(path), "data", shape)
    if step > 0:
        layout[:] = source
    else:
        for number in range(shape[0]):
            layout[number] = source[shape[0] - 1 - number]
    with h5py.File(beside, "w") as file:
        file.create_virtual_dataset("data", layout)
    return beside


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "chunks"), SHAPES)
def test_honest_chunks_are_read(
    kind: str, shape: tuple[int, ...], chunks: tuple[int, ...], tmp_path: Path
) -> None:
    rng, path = np.random.default_rng(3), tmp_path / "frames.h5"
    for sent in (
        rng.poisson(3, shape).astype("u2"),
        np.zeros(shape, "u2"),
        rng.integers(0, 1 << 16, shape).astype("u2"),
    ):
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=sent, chunks=chunks, **KINDS[kind])
        places = [(path, 1), (virtual(path, shape, step=1), 1)]
        for place, step in [*places, (tmp_path / "virtual.h5", -1)]:
            if step < 0:
                virtual(path, shape, step=step)
            reader = FrameReader(timeout_s=0)
            for number in range(shape[0]):
                got = reader.read(ref_to(place, number))
                assert np.array_equal(got, sent[::step][number])
            reader.close()


def test_filters_that_nobody_can_look_at_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lzf.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=np.zeros((2, 9, 9)), compression="lzf")
    with pytest.raises(ForbiddenFrameError, match=r"filter 32000 .* pack with gzip"):
        FrameReader(timeout_s=0).read(ref_to(path, 0))


@pytest.mark.parametrize("shown", ["itself", "through a virtual dataset"])
@pytest.mark.parametrize("size", [10, 2 * 64 * 64 - 1, 2 * 64 * 64 + 1, 1 << 22])
def test_a_chunk_that_becomes_too_short_or_too_long(
    size: int, shown: str, tmp_path: Path
) -> None:
    path, shape = tmp_path / "bomb.h5", (2, 64, 64)
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "data", shape, "u2", chunks=(1, 64, 64), compression="gzip"
        )
        data[0] = 7
        data.id.write_direct_chunk((1, 0, 0), zlib.compress(bytes(size)))
    place = path if shown == "itself" else virtual(path, shape, step=1)
    reader = FrameReader(timeout_s=0)
    assert (reader.read(ref_to(place, 0)) == 7).all()
    with pytest.raises(FrameReadError, match="made to do damage"):
        reader.read(ref_to(place, 1))
    reader.close()


def test_a_late_chunk_costs_no_more_than_an_early_one(tmp_path: Path) -> None:
    """To be told of a chunk HDF5 goes through all before it: a hundred times that."""
    number = 8000
    with h5py.File(tmp_path / "long.h5", "w", libver="latest") as file:
        frames = file.create_dataset(
            "frames",
            (number, 8, 8),
            "uint16",
            maxshape=(None, 8, 8),
            chunks=(1, 8, 8),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        packed = b""
        for n in range(number):
            if not packed:
                frames[n] = np.arange(64).reshape(8, 8)
                packed = bytes(frames.id.read_direct_chunk((n, 0, 0))[1])
            frames.id.write_direct_chunk((n, 0, 0), packed)
    with h5py.File(tmp_path / "long.h5", "r") as file:
        bounds = ChunkBounds(file["frames"])

        def taken(place: int) -> float:
            times = []
            for _ in range(20):
                began = time.perf_counter()
                assert bounds.take((place, 0, 0), 1 << 20) is not None
                times.append(time.perf_counter() - began)
            return statistics.median(times)

        assert taken(number - 1) < 5 * taken(0)


@pytest.mark.parametrize("filters", [{"shuffle": True}, {"fletcher32": True}])
@pytest.mark.parametrize("mask", [0, 1])
@pytest.mark.parametrize(
    ("length", "error"),
    [
        (20, FrameReadError),
        (127, FrameReadError),
        (140, FrameReadError),
        (1 << 20, ForbiddenFrameError),
    ],
)
def test_a_chunk_that_nothing_packs_has_its_own_length(
    tmp_path: Path,
    filters: dict[str, bool],
    mask: int,
    length: int,
    error: type[Exception],
) -> None:
    """Of 128 bytes: shorter ones would be filled with what was in memory before."""
    path = tmp_path / "wrong.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (1, 8, 8), "u2", chunks=(1, 8, 8), **filters)
        data.id.write_direct_chunk((0, 0, 0), bytes(length), filter_mask=mask)
    with pytest.raises(error):
        FrameReader(roots=[tmp_path], timeout_s=0).read(ref_to(path, 0))

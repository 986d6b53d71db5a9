"""Frames unpacked past HDF5 where that is possible, and by HDF5 elsewhere."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.files import unpack
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.files.hdf5_files import HDF5Files

SHAPE = (61, 47)
LZ4 = hdf5plugin.Bitshuffle(cname="lz4")
MOST = 1 << 24


def write(path: Path, frames: np.ndarray, **options: object) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=frames, **options)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "<i4", "<f4", "<f8"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_frames_come_out_as_they_went_in(
    tmp_path: Path, dtype: str, chunk: int
) -> None:
    frames = np.random.default_rng(1).poisson(9.0, (6, *SHAPE)).astype(dtype)
    write(tmp_path / "f.h5", frames, chunks=(chunk, *SHAPE), compression=LZ4)
    with HDF5Files(DataRoots()) as files:
        dataset = files.dataset(tmp_path / "f.h5", "data")
        for index in (0, 4, 4, 5):
            frame = files.frame(dataset, (index,), MOST)
            assert frame.dtype == frames.dtype
            assert np.array_equal(frame, frames[index])
            assert frame.flags.writeable


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"shuffle": True}])
def test_what_is_packed_otherwise_is_left_to_hdf5(
    tmp_path: Path, options: dict[str, object]
) -> None:
    frames = np.arange(2 * SHAPE[0] * SHAPE[1], dtype="u2").reshape(2, *SHAPE)
    write(tmp_path / "f.h5", frames, chunks=(1, *SHAPE), **options)
    with HDF5Files(DataRoots()) as files:
        dataset = files.dataset(tmp_path / "f.h5", "data")
        assert unpack.unpacker_of(dataset) is None
        assert np.array_equal(files.frame(dataset, (1,), MOST), frames[1])


def test_the_decoder_is_found_and_damage_is_told(tmp_path: Path) -> None:
    frames = np.random.default_rng(2).poisson(5.0, (2, *SHAPE)).astype("u4")
    path = tmp_path / "f.h5"
    write(path, frames, chunks=(1, *SHAPE), compression=LZ4)
    with HDF5Files(DataRoots()) as files:
        dataset = files.dataset(path, "data")
        take = unpack.unpacker_of(dataset)
        assert take is not None, "hdf5plugin no longer gives its decoder away"
        _, chunk = dataset.id.read_direct_chunk((1, 0, 0))
        assert np.array_equal(take(chunk), frames[1])
    rotten = bytearray(chunk)  # each block as long as it should be, and nonsense
    rotten[16:100] = b"\xff" * 84
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((0, 0, 0), bytes(rotten))
        file["data"].id.write_direct_chunk((1, 0, 0), bytes(chunk[: len(chunk) // 2]))
    with HDF5Files(DataRoots()) as files:
        dataset = files.dataset(path, "data")
        for index in (0, 1):
            with pytest.raises(FrameReadError, match="damaged"):
                files.frame(dataset, (index,), MOST)


def test_without_the_decoder_hdf5_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "_decompress", None)
    frames = np.random.default_rng(3).poisson(5.0, (2, *SHAPE)).astype("u2")
    write(tmp_path / "f.h5", frames, chunks=(1, *SHAPE), compression=LZ4)
    with HDF5Files(DataRoots()) as files:
        dataset = files.dataset(tmp_path / "f.h5", "data")
        assert np.array_equal(files.frame(dataset, (1,), MOST), frames[1])

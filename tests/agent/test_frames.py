"""Pixels from real files, also while they are being written, also when they are bad."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest

from ringwatch.agent.assets import HDF5
from ringwatch.agent.errors import (
    FrameReadError,
    FrameShapeError,
    MissingFrameError,
)
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FileLocator, FrameRef, LostLocator, MemoryLocator
from ringwatch.agent.nouns import Locator as AnyLocator

DATASET = "entry/data/data"


def ref_to(locator: AnyLocator, shape: tuple[int, int] = (6, 5)) -> FrameRef:
    return FrameRef(
        run_uid="run",
        stream="primary",
        data_key="image",
        index=0,
        seq_num=1,
        time=0.0,
        locator=locator,
        shape=shape,
    )


def in_file(path: Path, index: int = 0, dataset: str = DATASET) -> FrameRef:
    locator = FileLocator(
        path=path, mimetype=HDF5, dataset=dataset, start=index, stop=index + 1
    )
    return ref_to(locator)


def write(path: Path, frames: int, shape: tuple[int, ...] = (6, 5)) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset(
            DATASET,
            data=np.arange(frames * np.prod(shape), dtype=np.uint16).reshape(
                frames, *shape
            ),
            chunks=(1, *shape),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )


def test_reads_a_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "growing.h5"
    reader = FrameReader(timeout_s=5)
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset(
            DATASET, (0, 6, 5), "u2", maxshape=(None, 6, 5), chunks=(1, 6, 5)
        )
        file.swmr_mode = True

        def append() -> None:
            for i in range(5):
                time.sleep(0.05)
                data.resize(i + 1, axis=0)
                data[i] = i
                data.flush()

        writer = threading.Thread(target=append)
        writer.start()
        for i in range(5):  # each is asked for before it is there
            assert (reader.read(in_file(path, i)) == i).all()
        writer.join()
    reader.close()


def test_file_that_appears_late(tmp_path: Path) -> None:
    path = tmp_path / "late.h5"
    timer = threading.Timer(0.2, write, (path, 1))
    timer.start()
    assert FrameReader(timeout_s=5).read(in_file(path)).shape == (6, 5)
    timer.join()


def test_missing_things_are_named(tmp_path: Path) -> None:
    reader = FrameReader(timeout_s=0.05)
    path = tmp_path / "two.h5"
    write(path, 2)
    with pytest.raises(MissingFrameError, match="holds 2"):
        reader.read(in_file(path, 2))
    with pytest.raises(FrameReadError, match="no dataset 'elsewhere'"):
        reader.read(in_file(path, dataset="elsewhere"))
    with pytest.raises(MissingFrameError, match=r"absent\.h5"):
        reader.read(in_file(tmp_path / "absent.h5"))
    with pytest.raises(MissingFrameError, match=r"absent\.tif"):
        reader.read(
            ref_to(FileLocator(path=tmp_path / "absent.tif", mimetype="image/tiff"))
        )
    with pytest.raises(FrameReadError, match="why not"):
        reader.read(ref_to(LostLocator(reason="why not")))


def test_a_lost_file_is_waited_for_once(tmp_path: Path) -> None:
    reader = FrameReader(timeout_s=0.3)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(MissingFrameError):
            reader.read(in_file(tmp_path / "absent.h5"))
        waited = time.monotonic() - began
    assert waited < 0.2
    write(tmp_path / "absent.h5", 1)
    assert reader.read(in_file(tmp_path / "absent.h5")).shape == (6, 5)


def test_truncated_and_corrupt_files(tmp_path: Path) -> None:
    path = tmp_path / "whole.h5"
    write(path, 4, (64, 64))
    whole = path.read_bytes()
    reader = FrameReader(timeout_s=0.05)
    for cut in (0, 100, len(whole) // 2):
        short = tmp_path / f"cut{cut}.h5"
        short.write_bytes(whole[:cut])
        with pytest.raises(FrameReadError):
            reader.read(in_file(short))
    with h5py.File(path) as file:
        offset = file[DATASET].id.get_chunk_info(2).byte_offset
    spoilt = bytearray(whole)
    spoilt[offset + 8 : offset + 60] = b"\xff" * 52
    bad = tmp_path / "spoilt.h5"
    bad.write_bytes(spoilt)
    with pytest.raises(FrameReadError):
        reader.read(in_file(bad, 2))


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    reader = FrameReader(timeout_s=0.05)
    path = tmp_path / "other.h5"
    write(path, 1, (7, 7))
    with pytest.raises(FrameShapeError, match=r"\(7, 7\).*\(6, 5\)"):
        reader.read(in_file(path))
    with pytest.raises(FrameShapeError):
        reader.read(ref_to(MemoryLocator(frame=np.zeros((2, 2)))))
    line = tmp_path / "line.h5"
    with h5py.File(line, "w") as file:
        file[DATASET] = np.zeros(5)
    with pytest.raises(FrameShapeError, match="no dataset of images"):
        reader.read(in_file(line))


def test_roots_hold_also_through_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    write(outside / "file.h5", 1)
    write(inside / "file.h5", 1)
    (inside / "link.h5").symlink_to(outside / "file.h5")
    reader = FrameReader(roots=(inside,), timeout_s=0.05)
    assert reader.read(in_file(inside / "file.h5")).shape == (6, 5)
    for path in (
        outside / "file.h5",
        inside / "link.h5",
        inside / ".." / "secret" / "file.h5",
    ):
        with pytest.raises(FrameReadError, match="allowed folders"):
            reader.read(in_file(path))


def test_sizes_are_bounded_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:  # petabytes announced, bytes on the disk
        file.create_dataset(
            DATASET, (10, 1 << 20, 1 << 20), "u2", chunks=(1, 1 << 10, 1 << 10)
        )
    with pytest.raises(FrameReadError, match="max_frame_bytes"):
        FrameReader(timeout_s=0.05).read(in_file(path))


def test_images_through_fabio(tmp_path: Path) -> None:
    pixels = np.arange(30, dtype=np.int32).reshape(6, 5)
    path = tmp_path / "frame.tif"
    fabio.tifimage.TifImage(data=pixels).write(str(path))
    locator = FileLocator(path=path, mimetype="image/tiff")
    assert np.array_equal(FrameReader().read(ref_to(locator)), pixels)
    path.write_bytes(b"II*\x00 not really")
    with pytest.raises(FrameReadError, match=r"frame\.tif"):
        FrameReader().read(ref_to(locator))

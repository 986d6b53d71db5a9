"""Pixels from real files, also while they are being written, also when they are bad."""

from __future__ import annotations

import gzip
import threading
import time
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from PIL import Image

from ringwatch.agent.errors import (
    FrameReadError,
    FrameShapeError,
    MissingFrameError,
)
from ringwatch.agent.files.images import read_image
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FileLocator, LostLocator, MemoryLocator

from .written_frames import DATASET, image_at, in_file, ref_to, write


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
        reader.read(image_at(tmp_path / "absent.tif"))
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


def test_lost_images_are_waited_for_once_a_folder(tmp_path: Path) -> None:
    reader = FrameReader(timeout_s=0.3)
    began = time.monotonic()
    for number in range(10):
        with pytest.raises(MissingFrameError):
            reader.read(image_at(tmp_path / f"{number}.tif"))
    assert 0.3 <= time.monotonic() - began < 0.9
    fabio.tifimage.TifImage(data=np.ones((6, 5), "u2")).write(str(tmp_path / "a.tif"))
    assert reader.read(image_at(tmp_path / "a.tif")).shape == (6, 5)


def test_an_image_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    pixels = np.arange(30, dtype=np.uint16).reshape(6, 5)
    fabio.tifimage.TifImage(data=pixels).write(str(tmp_path / "whole.tif"))
    whole = (tmp_path / "whole.tif").read_bytes()
    path = tmp_path / "growing.tif"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FrameReadError) as caught:
        FrameReader(timeout_s=0.05).read(image_at(path))
    assert not isinstance(caught.value, FrameShapeError)
    timer = threading.Timer(0.2, path.write_bytes, (whole,))
    timer.start()
    assert np.array_equal(FrameReader(timeout_s=5).read(image_at(path)), pixels)
    timer.join()


def image_files(folder: Path, pixels: np.ndarray) -> list[Path]:
    """The same image in each format whose cut-off files need care."""
    fabio.tifimage.TifImage(data=pixels).write(str(folder / "strip.tif"))
    fabio.cbfimage.CbfImage(data=pixels.astype(np.int32)).write(str(folder / "a.cbf"))
    fabio.edfimage.EdfImage(data=pixels).write(str(folder / "a.edf"))
    Image.fromarray(pixels).save(
        folder / "deflate.tif", compression="tiff_adobe_deflate"
    )
    packed = folder / "a.cbf.gz"
    packed.write_bytes(gzip.compress((folder / "a.cbf").read_bytes()))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_half_an_image_never_passes_for_a_frame(share: float, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).poisson(50, (120, 100)).astype(np.uint16)
    for path in image_files(tmp_path, pixels):
        assert np.array_equal(read_image(path), pixels), path
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FrameReadError) as caught:
            read_image(path)
        assert not isinstance(caught.value, FrameShapeError), path


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


@pytest.mark.parametrize("leading", [(6,), (6, 1), (1, 6), (3, 2), (1, 3, 2)])
def test_leading_axes_count_as_one(leading: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        images = np.arange(6, dtype=np.uint16)[:, None, None] * np.ones((6, 5), "u2")
        file[DATASET] = images.reshape(*leading, 6, 5)
    reader = FrameReader(timeout_s=0)
    for number in range(6):
        assert (reader.read(in_file(path, number)) == number).all()
    with pytest.raises(MissingFrameError, match="holds 6"):
        reader.read(in_file(path, 6))


def test_one_image_is_not_a_series(tmp_path: Path) -> None:
    path = tmp_path / "one.h5"
    with h5py.File(path, "w") as file:
        file[DATASET] = np.ones((6, 5))
    reader = FrameReader(timeout_s=0)
    assert reader.read(in_file(path)).all()
    with pytest.raises(MissingFrameError, match="holds 1"):
        reader.read(in_file(path, 1))


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

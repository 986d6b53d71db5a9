"""Hostile files: their frames are unknown with the reason, and the next run is judged.

One real agent takes them all, one after the other.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from PIL import Image

from .hostile import FRAMES, SHAPE, Watch, watching

DATASET = "entry/data/data"


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with watching(tmp_path_factory.mktemp("hostile")) as made:
        yield made


def frames(path: Path, **how: Any) -> Path:
    """A sound file with as many frames as the run."""
    with h5py.File(path, "w", libver="latest") as file:
        pixels = np.zeros((FRAMES, *SHAPE), np.uint16)
        file.create_dataset(DATASET, data=pixels, **how)
    return path


def outside(watch: Watch) -> Path:
    return frames(watch.outside / "frames.h5")


def traversal(watch: Watch) -> Path:
    return watch.folder / ".." / outside(watch).relative_to(watch.folder.parent)


def link(watch: Watch) -> Path:
    path = watch.folder / "link.h5"
    path.symlink_to(outside(watch))
    return path


def linked_folder(watch: Watch) -> Path:
    (watch.folder / "way").symlink_to(watch.outside)
    return watch.folder / "way" / outside(watch).name


def device(watch: Watch) -> Path:
    path = watch.folder / "device.h5"
    path.symlink_to("/dev/zero")
    return path


def pipe(watch: Watch) -> Path:
    path = watch.folder / "pipe.h5"
    os.mkfifo(path)
    return path


def pipe_of_pixels(watch: Watch) -> Path:
    """A file whose pixels lie in another one, by HDF5's external storage."""
    os.mkfifo(watch.folder / "pixels.bin")
    path, size = watch.folder / "external.h5", 2 * FRAMES * math.prod(SHAPE)
    with h5py.File(path, "w") as file:
        told = [(str(watch.folder / "pixels.bin"), 0, size)]
        file.create_dataset(DATASET, (FRAMES, *SHAPE), "u2", external=told)
    return path


def truncated(watch: Watch) -> Path:
    path = frames(watch.folder / "cut.h5")
    path.write_bytes(path.read_bytes()[:5000])
    return path


def damaged_and_open(watch: Watch) -> Path:
    """It claims that somebody writes it, and its checksum is wrong."""
    path = frames(watch.folder / "open.h5")
    whole = bytearray(path.read_bytes())
    whole[11] |= 4
    path.write_bytes(whole)
    return path


def endless_list(watch: Watch) -> Path:
    """A virtual dataset; HDF5 alone would go over its list for ever."""
    path, size = watch.folder / "virtual.h5", (FRAMES, *SHAPE)
    layout = h5py.VirtualLayout(size, "u2")
    layout[:] = h5py.VirtualSource(str(frames(watch.folder / "a.h5")), DATASET, size)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset(DATASET, layout)
    whole = bytearray(path.read_bytes())
    heap = whole.index(b"GCOL")
    first = heap + 16
    length = -(-int.from_bytes(whole[first + 8 : first + 16], "little") // 8) * 8
    free = first + 16 + length
    whole[free + 8 : free + 16] = bytes(8)
    path.write_bytes(whole)
    return path


def terapixels(watch: Watch) -> Path:
    path = watch.folder / "large.h5"
    with h5py.File(path, "w") as file:  # 1e12 and more, and none on the disk
        shape, chunk = (FRAMES, 1 << 20, 1 << 20), (1, 1 << 10, 1 << 10)
        file.create_dataset(DATASET, shape, "u2", chunks=chunk)
    return path


def large_chunk(watch: Watch) -> Path:
    path = watch.folder / "chunk.h5"
    with h5py.File(path, "w") as file:
        chunk, free = (1 << 14, *SHAPE), (None, *SHAPE)
        file.create_dataset(
            DATASET, (FRAMES, *SHAPE), "u2", chunks=chunk, maxshape=free, **GZIP
        )
    return path


GZIP: dict[str, Any] = {"compression": "gzip"}
BSLZ4: dict[str, Any] = dict(hdf5plugin.Bitshuffle(cname="lz4"))


def with_chunk(watch: Watch, name: str, chunk: bytes, how: dict[str, Any]) -> Path:
    """A file with the same packed chunk for each frame."""
    path = watch.folder / name
    with h5py.File(path, "w", libver="latest") as file:
        size, of_one = (FRAMES, *SHAPE), (1, *SHAPE)
        data = file.create_dataset(DATASET, size, "u2", chunks=of_one, **how)
        for number in range(FRAMES):
            data.id.write_direct_chunk((number, 0, 0), chunk)
    return path


def gzip_bomb(watch: Watch) -> Path:
    """128 KiB are declared, 100 MiB come."""
    return with_chunk(watch, "gz.h5", zlib.compress(bytes(100 << 20), 9), GZIP)


def gzip_of_little(watch: Watch) -> Path:
    return with_chunk(watch, "little.h5", zlib.compress(b"0123456789"), GZIP)


def lz4_bomb(watch: Watch) -> Path:
    """It tells of a terabyte."""
    told = (1 << 40).to_bytes(8, "big") + (8192).to_bytes(4, "big")
    return with_chunk(watch, "lz4.h5", told + bytes(1000), BSLZ4)


def lz4_beyond(watch: Watch) -> Path:
    """A block goes on after the end of the chunk."""
    size = 2 * math.prod(SHAPE)
    told = size.to_bytes(8, "big") + (8192).to_bytes(4, "big")
    return with_chunk(watch, "on.h5", told + (1 << 30).to_bytes(4, "big"), BSLZ4)


FILES = {
    outside: "allowed folders",
    traversal: "allowed folders",
    link: "allowed folders",
    linked_folder: "allowed folders",
    device: "allowed folders",
    pipe: "no regular file",
    pipe_of_pixels: "which is no file",
    truncated: "truncated",
    damaged_and_open: "checksum",
    endless_list: "made to do damage",
    terapixels: "max_frame_bytes",
    large_chunk: "max_frame_bytes",
    gzip_bomb: "it goes on",
    gzip_of_little: "cannot be read|unpacked",
    lz4_bomb: "tells of 1099511627776",
    lz4_beyond: "beyond its end",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("made", FILES, ids=lambda made: made.__name__)
def test_hostile_files_are_unknown_with_the_reason(
    made: Callable[[Watch], Path], watch: Watch
) -> None:
    uri = f"file://localhost{made(watch)}"

    def elsewhere(name: str, doc: dict[str, Any]) -> Any:
        return doc | ({"uri": uri} if name == "stream_resource" else {})

    found = [v for v in watch.take_changed(elsewhere) if v["verdict"] == "unknown"]
    assert len(found) == FRAMES
    assert all(any(w in v["reason"] for w in FILES[made].split("|")) for v in found)
    watch.still_works()


def tiff_bomb(folder: Path) -> Path:
    """A small TIFF that unpacks to 64 MiB."""
    path = folder / "bomb.tif"
    image = Image.fromarray(np.zeros((8192, 8192), np.uint8))
    image.save(path, compression="tiff_adobe_deflate")
    return path


def hdf5_as_tiff(folder: Path) -> Path:
    """Fabio would follow its links out of the data roots."""
    path = folder / "disguised.tif"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("/etc/passwd", "x")
    return path


@pytest.mark.parametrize(
    ("made", "why"), [(tiff_bomb, "max_frame_bytes"), (hdf5_as_tiff, "no TIFF")]
)
def test_hostile_images_are_unknown_with_the_reason(
    made: Callable[[Path], Path], why: str, watch: Watch
) -> None:
    told = {"uri": f"file://localhost{made(watch.folder)}", "mimetype": "image/tiff"}

    def elsewhere(name: str, doc: dict[str, Any]) -> Any:
        return doc | (told if name == "stream_resource" else {})

    found = watch.take_changed(elsewhere)
    assert [v["verdict"] for v in found] == ["unknown"] * FRAMES
    assert why in found[0]["reason"]
    watch.still_works()

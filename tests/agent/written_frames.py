"""Frames in real files, and references to them."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from ringwatch.agent.assets import HDF5
from ringwatch.agent.nouns import FileLocator, FrameRef
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


def in_file(
    path: Path,
    index: int = 0,
    dataset: str = DATASET,
    shape: tuple[int, int] = (6, 5),
) -> FrameRef:
    locator = FileLocator(path=path, mimetype=HDF5, dataset=dataset, start=index)
    return ref_to(locator, shape)


def image_at(path: Path) -> FrameRef:
    return ref_to(FileLocator(path=path, mimetype="image/tiff"))


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

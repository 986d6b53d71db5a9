"""Room for whole chunks: several frames in one are decompressed once, not once each.

HDF5 keeps decoded chunks per dataset in a cache of 1 or 8 MiB, by version, and a chunk
that does not fit is decoded anew for each frame that is read from it. Detectors that
write fast put tens of frames into a chunk.
"""

from __future__ import annotations

import math

import h5py

__all__ = ["MOST_BYTES", "with_room_for_chunks"]

MOST_BYTES = 256 << 20
"""Larger chunks are not kept; they are read as slowly as HDF5 does by itself."""

_SLOTS = 521  # of the cache's hash table: a prime, as the HDF5 reference asks for


def with_room_for_chunks(dataset: h5py.Dataset) -> h5py.Dataset:
    """The same dataset, opened so that one of its chunks can be kept decoded.

    Only where a chunk holds more than one frame: frames are read in order, so one chunk
    is enough. Anything else is given back as it came. The dataset that was handed in
    must not be used any more.

    Parameters
    ----------
    dataset : h5py.Dataset
        Frames, (..., y, x).
    """
    chunks = dataset.chunks
    if dataset.is_virtual or not chunks or math.prod(chunks[:-2]) <= 1:
        return dataset
    # A row of chunks may make one frame.
    across = math.prod(
        -(-length // chunk)
        for length, chunk in zip(dataset.shape[-2:], chunks[-2:], strict=True)
    )
    size = math.prod(chunks) * dataset.dtype.itemsize * across
    if size > MOST_BYTES:
        return dataset
    file, name = dataset.file, dataset.name.encode()
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(_SLOTS, size, 1.0)  # 1: what was read whole goes first
    # HDF5 shares the cache between all handles of a dataset: the first one sets it.
    dataset.id.close()
    return h5py.Dataset(h5py.h5d.open(file.id, name, access))

"""Packed chunks to frames without HDF5's own way, where that is the sooner one.

Bitshuffle with LZ4, as DECTRIS' detectors write it, is unpacked by the library that
hdf5plugin brings, called past HDF5: that leaves out a copy, and other threads go on
meanwhile. Everything else is left to HDF5 with the filters of hdf5plugin.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.files.chunk_bounds import BITSHUFFLE, filters_of

__all__ = ["Unpack", "unpacker_of"]

Unpack = Callable[[bytes | memoryview], NDArray[np.generic]]
"""From the bytes of a chunk to the frame (y, x) that it holds."""

_LZ4 = 2  # way of packing, fifth parameter of the filter (bshuf_h5filter.c)
_HEADER = 12  # size of the whole, 8 bytes, and of a block, 4


def _decompressor() -> Callable[..., int] | None:
    """``bshuf_decompress_lz4`` (bitshuffle.h); None where no library gives it away."""
    for path in Path(hdf5plugin.PLUGIN_PATH).glob("*h5bshuf*"):
        try:
            found = ctypes.CDLL(str(path)).bshuf_decompress_lz4
        except (OSError, AttributeError):
            continue
        found.restype = ctypes.c_int64  # bytes read; below 0 for a fault
        sizes = [ctypes.c_size_t] * 3  # elements, bytes of one, elements of a block
        found.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *sizes]
        return found
    return None


_decompress = _decompressor()


def unpacker_of(dataset: h5py.Dataset) -> Unpack | None:
    """What unpacks the chunks of a dataset of one frame each; None: HDF5 does.

    The chunks must have been looked at by ``ChunkBounds``: what unpacks them believes
    the lengths that stand in them.

    Parameters
    ----------
    dataset : h5py.Dataset
        Frames, (..., y, x).
    """
    decompress = _decompress
    if decompress is None or dataset.is_virtual or len(dataset.chunks or ()) < 2:
        return None
    *leading, rows, columns = dataset.chunks
    shape, dtype = (rows, columns), dataset.dtype
    whole = math.prod(leading) == 1 and shape == dataset.shape[-2:]
    filters = filters_of(dataset)
    if not whole or dtype.kind not in "uif" or [f for f, _ in filters] != [BITSHUFFLE]:
        return None
    values = filters[0][1]
    if len(values) < 5 or values[4] != _LZ4 or values[2] != dtype.itemsize:
        return None
    path = dataset.file.filename

    def unpack(chunk: bytes | memoryview) -> NDArray[np.generic]:
        frame = np.empty(shape, dtype)
        packed = np.frombuffer(chunk, np.uint8)
        block = int.from_bytes(chunk[_HEADER - 4 : _HEADER], "big") // dtype.itemsize
        at = packed.ctypes.data + _HEADER
        read = decompress(at, frame.ctypes.data, frame.size, dtype.itemsize, block)
        if read != packed.size - _HEADER:
            raise FrameReadError(
                f"{path}: a chunk cannot be unpacked ({read}): it is damaged"
            )
        return frame

    return unpack

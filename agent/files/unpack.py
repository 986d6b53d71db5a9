"""Packed chunks to frames without HDF5's own way, where that is the sooner one.

Bitshuffle with LZ4, as DECTRIS' detectors write it, is unpacked by their own library
where it is installed: about twice as fast as by HDF5's filter. Everything else, and all
of it without that library, is left to HDF5 with the filters of hdf5plugin.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.files.chunk_bounds import BITSHUFFLE, filters_of

try:
    from dectris.compression import decompress
except ImportError:  # it is optional: it has to be compiled where it is installed
    decompress = None

__all__ = ["Unpack", "unpacker_of"]

Unpack = Callable[[bytes], NDArray[np.generic]]
"""From the bytes of a chunk to the frame (y, x) that it holds."""

_LZ4 = 2  # way of packing, fifth parameter of the filter (bshuf_h5filter.c)


def unpacker_of(dataset: h5py.Dataset) -> Unpack | None:
    """What unpacks the chunks of a dataset of one frame each; None: HDF5 does.

    The chunks must have been looked at by ``check_chunk``.

    Parameters
    ----------
    dataset : h5py.Dataset
        Frames, (..., y, x).
    """
    if decompress is None or dataset.is_virtual or not dataset.chunks:
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

    def unpack(chunk: bytes) -> NDArray[np.generic]:
        try:
            pixels = decompress(chunk, "bslz4", elem_size=dtype.itemsize)
            # Copied: compiled code would be made anew for pixels not to be written to.
            return np.frombuffer(pixels, dtype).reshape(shape).copy()
        except (RuntimeError, ValueError, TypeError) as error:
            raise FrameReadError(
                f"{dataset.file.filename}: a chunk cannot be unpacked ({error}): it is "
                "damaged"
            ) from error

    return unpack

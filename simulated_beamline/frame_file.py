"""A growing HDF5 file of frames that others read while it is written."""

from __future__ import annotations

import uuid
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import DTypeLike

from ringwatch.simulated_beamline.readout import Readout

__all__ = ["FRAMES", "FRAME_NUMBERS", "TIMESTAMPS", "FrameFile"]

FRAMES = "entry/data/data"
"""Path of the frames in the file, shape (n, y, x)."""
FRAME_NUMBERS = "entry/data/frame_number"
"""Path of the detector's own frame numbers, shape (n,) int64."""
TIMESTAMPS = "entry/data/timestamp"
"""Path of the detector's own times, shape (n,) float64, seconds since the epoch."""

_SCALARS_PER_CHUNK = 1024


class FrameFile:
    """One file per series: single writer, many readers (SWMR), one frame a chunk.

    Frames are compressed by bitshuffle and LZ4, as Dectris detectors do.

    Parameters
    ----------
    folder : Path
        Where the file goes; made where it does not exist.
    shape : (y, x)
        Size of a frame, pixels.
    dtype : data type
        Type of a pixel.
    name : str, optional
        Of the file; by default a fresh one.

    Raises
    ------
    OSError
        If the folder or the file cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, int],
        dtype: DTypeLike,
        *,
        name: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder.resolve() / (name or f"{uuid.uuid4().hex}.h5")
        self.length = 0
        self._file = h5py.File(self.path, "w", libver="latest")
        self._frames = self._file.create_dataset(
            FRAMES,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=np.dtype(dtype),
            compression=hdf5plugin.Bitshuffle(cname="lz4"),
        )
        self._numbers = self._scalars(FRAME_NUMBERS, np.int64)
        self._timestamps = self._scalars(TIMESTAMPS, np.float64)
        # Nothing may be created in the file after this line.
        self._file.swmr_mode = True

    def _scalars(self, name: str, dtype: DTypeLike) -> h5py.Dataset:
        return self._file.create_dataset(
            name,
            shape=(0,),
            maxshape=(None,),
            chunks=(_SCALARS_PER_CHUNK,),
            dtype=dtype,
        )

    def append(self, readout: Readout) -> None:
        """Write one frame; a reader sees it when this returns.

        The scalars go first, so that a reader who sees a frame sees its number too.
        """
        columns = (
            (self._numbers, readout.frame_number),
            (self._timestamps, readout.timestamp),
            (self._frames, readout.pixels),
        )
        for dataset, value in columns:
            dataset.resize(self.length + 1, axis=0)
            dataset[self.length] = value
            dataset.flush()
        self.length += 1

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

"""Single images in files: TIFF, CBF, EDF and the like through fabio, and ``.npy``."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import fabio
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError, FrameShapeError, MissingFrameError
from ringwatch.agent.whole_images import check_whole

__all__ = ["read_image"]

# What readers of image formats end in on damaged files; fabio asserts its checksums.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


def read_image(path: Path, *, what: str = "frame") -> NDArray[np.generic]:
    """Read one image, shape (y, x); of a file with several the first.

    Parameters
    ----------
    path : Path
        ``.npy``, or any format of fabio.
    what : str
        Names it in errors: "mask", "dark".

    Raises
    ------
    MissingFrameError
        Where there is no such file.
    FrameShapeError
        Where it holds something else than an image.
    FrameReadError
        Where it cannot be read.
    """
    if not path.is_file():
        raise MissingFrameError(f"no {what} at {path}")
    try:
        if path.suffix == ".npy":
            image = np.asarray(np.load(path, allow_pickle=False))
        else:
            check_whole(path)
            with fabio.open(str(path)) as opened:
                if opened.data is None:  # what it makes of some damaged TIFFs
                    raise EOFError("no pixels in it")
                image = np.asarray(opened.data)
    except _DAMAGED as error:
        raise FrameReadError(
            f"the {what} {path} cannot be read: it is truncated, damaged or of an "
            f"unknown format ({type(error).__name__}: {error})"
        ) from error
    if image.ndim != 2 or not image.size or image.dtype.kind not in "uifb":
        raise FrameShapeError(
            f"the {what} {path} has shape {image.shape} and type {image.dtype}: a "
            "two-dimensional image of numbers is expected"
        )
    return image

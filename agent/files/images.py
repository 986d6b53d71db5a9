"""Single images in files: TIFF, CBF, EDF and the like through fabio, and ``.npy``."""

from __future__ import annotations

import math
import struct
import tokenize
import zlib
from pathlib import Path

import fabio
import numpy as np
from fabio.cbfimage import DATA_TYPES, CbfImage
from fabio.fabioimage import FabioImage
from numpy.lib import format as npy
from numpy.typing import NDArray

from ringwatch.agent.errors import (
    ForbiddenFrameError,
    FrameReadError,
    FrameShapeError,
    MissingFrameError,
)
from ringwatch.agent.files.edf_images import read_first
from ringwatch.agent.files.whole_images import KNOWN, check_size, check_whole

__all__ = ["read_image"]

_MOST_BYTES = 1 << 30
_LONGEST_HEADER = 10_000  # of .npy; room is made for it before it is read
_NPY = b"\x93NUMPY"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_DTREK = b"{\nHEA"  # a format of others, which looks like EDF

# What readers of image formats end in on damaged files; fabio asserts its checksums,
# and leaves names without a value.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    NameError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
)


def read_image(
    path: Path,
    *,
    what: str = "frame",
    most_bytes: int = _MOST_BYTES,
    announced: bool = False,
) -> NDArray[np.generic]:
    """Read one image, shape (y, x); of a file with several the first.

    Parameters
    ----------
    path : Path
        ``.npy``, or any format of fabio.
    what : str
        Names it in errors: "mask", "dark".
    most_bytes : int
        An image that announces more is not read; the file unpacked has no more either.
    announced : bool
        Whether a document named it, not the user: then only TIFF, CBF and EDF are read.
        Others of fabio's formats lead to further files, or are not looked at first.

    Raises
    ------
    MissingFrameError
        Where there is no such file.
    FrameShapeError
        Where it holds something else than an image.
    ForbiddenFrameError
        Where it may not be read.
    FrameReadError
        Where it cannot be read.
    """
    if not path.is_file():
        raise MissingFrameError(f"no {what} at {path}")
    try:
        image = _read(path, most_bytes, announced=announced)
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


def _read(path: Path, most_bytes: int, *, announced: bool) -> NDArray[np.generic]:
    with path.open("rb") as file:
        signature = file.read(len(_HDF5))
    if signature.startswith(_NPY) and not announced:
        return _read_npy(path, most_bytes)
    if signature.lstrip().startswith(b"<"):
        raise ValueError("XML is not read: it may lead to other files")
    form = check_whole(path, most_bytes)
    if announced and form not in KNOWN:
        raise ForbiddenFrameError(
            f"{path} is no TIFF, CBF or EDF: others are not read because a document "
            "says so; classify it by hand"
        )
    try:
        if form == "edf" and not signature.startswith(_DTREK):
            return read_first(path, most_bytes)
        return _read_by_fabio(path, form, most_bytes, is_hdf5=signature == _HDF5)
    except Exception as error:
        if type(error) is not Exception:
            raise
        # Fabio wraps what it meets into bare ones: those, and no others.
        raise ValueError(str(error)[:200]) from error


def _read_by_fabio(
    path: Path, form: str, most_bytes: int, *, is_hdf5: bool
) -> NDArray[np.generic]:
    if form != "tiff" and not is_hdf5:  # HDF5 looks at its own header
        header = fabio.openheader(str(path))
        size = math.prod(header.shape or (0,)) * _width(header)
        check_size(size, most_bytes, path)
    with fabio.open(str(path)) as opened:
        if opened.data is None:  # what it makes of some damaged TIFFs
            raise EOFError("no pixels in it")
        check_size(opened.data.nbytes, most_bytes, path)
        return np.asarray(opened.data)


def _width(header: FabioImage) -> int:
    """Bytes of a pixel; one where the header is not asked for them."""
    if not isinstance(header, CbfImage):
        return 1
    told = header.header.get("X-Binary-Element-Type")
    return np.dtype(DATA_TYPES.get(told, np.int32)).itemsize


def _read_npy(path: Path, most_bytes: int) -> NDArray[np.generic]:
    """Read an array of numbers, after a look at its header (NumPy's NEP 1)."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        width = 2 if version == (1, 0) else 4
        if int.from_bytes(file.read(width), "little") > _LONGEST_HEADER:
            raise ValueError("a header of such a length")
        file.seek(-width, 1)
        read_header = (
            npy.read_array_header_1_0
            if version == (1, 0)
            else npy.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
        size = math.prod(shape) * dtype.itemsize
        check_size(size, most_bytes, path)
        if dtype.hasobject or any(n < 0 for n in shape):
            raise ValueError("no array of numbers")
        rest = path.stat().st_size - file.tell()
        if rest < size:
            raise EOFError(f"{rest} bytes of {size} are there")
        file.seek(0)
        return np.asarray(npy.read_array(file, allow_pickle=False))

"""The first image of an EDF, and nothing else of the file.

Fabio goes from header to header by the sizes that they tell: through millions of them,
or for ever where one leads back. And for pixels it goes to other files.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import IO

import numpy as np
from fabio.edfimage import EdfImage
from fabio.fabioutils import BytesIO
from numpy.typing import NDArray

from ringwatch.agent.errors import ForbiddenFrameError
from ringwatch.agent.files.whole_images import check_size, open_unpacked

__all__ = ["read_first"]

_LONGEST_HEADER = 1 << 20
_STOP = re.compile(rb"\}\r?\n")
_ELSEWHERE = b"EDF_BINARYFILENAME"
_GENERAL = b"EDF_DATAFORMATVERSION"
_SIZES = (b"SIZE", b"EDF_BINARYSIZE")
_BLANK = b" \t\r\n\v\f\0"


def read_first(path: Path, most_bytes: int) -> NDArray[np.generic]:
    """Read the first image of a file that is whole, packed or not.

    Raises
    ------
    ForbiddenFrameError
        Where it is too large, or its pixels are said to be in another file.
    EOFError, ValueError
        Where a header does not end, or tells of a size below nothing.
    """
    with open_unpacked(path) as file:
        header, keys = _header(file, path, 0)
        if _GENERAL in keys:  # what it holds is meant for all images
            size = _told(keys, 0)
            check_size(size, most_bytes, path)
            second, keys = _header(file, path, len(header) + size)
            header += _bytes(file, len(header), size) + second
        image = EdfImage()
        image.read(BytesIO(header, str(path), "rb"))
        size = math.prod(image.shape) * image.dtype.itemsize
        told = _told(keys, size)
        check_size(max(size, told), most_bytes, path)
        if told < size and b"COMPRESSION" not in keys:
            raise EOFError(f"its header tells of {told} bytes of {size}")
        whole = header + _bytes(file, len(header), told)
    image = EdfImage()
    image.read(BytesIO(whole, str(path), "rb"))
    return np.asarray(image.data)


def _bytes(file: IO[bytes], start: int, size: int) -> bytes:
    """As many of them as there are."""
    file.seek(start)
    return file.read(size)


def _header(
    file: IO[bytes], path: Path, start: int
) -> tuple[bytes, dict[bytes, bytes]]:
    """A header as it stands there, and its keys in capitals."""
    head = _bytes(file, start, _LONGEST_HEADER)
    stop = _STOP.search(head)
    if stop is None:
        raise EOFError("its header does not end")
    lines = head[head.find(b"{") + 1 : stop.start()].split(b";")
    keys: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = (part.strip(_BLANK) for part in line.partition(b"="))
        key = name.upper()
        tells_size = key in _SIZES or key.startswith(b"DIM_")
        # Fabio goes by the one or the other, as they are spelled.
        if tells_size and (b"-" in value or keys.get(key, value) != value):
            raise ValueError("sizes below nothing, or that differ")
        keys[key] = value
    if _ELSEWHERE in keys:
        raise ForbiddenFrameError(f"{path} leads to another file: it is not followed")
    return head[: stop.end()], keys


def _told(keys: dict[bytes, bytes], otherwise: int) -> int:
    """Bytes behind a header, as far as it tells; fabio too takes the first of these."""
    return next((int(keys[key]) for key in _SIZES if key in keys), otherwise)

"""Whether an image file is whole, and no larger than an image may be.

Of images that are cut off, or still being written, fabio fills up EDF and compressed
TIFF with zeros, and searches a CBF for ever. And it makes room for whatever a header
announces. So the sizes that the headers announce are compared with the file first, and
with what is allowed.
"""

from __future__ import annotations

import bz2
import gzip
import re
import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from ringwatch.agent.errors import ForbiddenFrameError

__all__ = ["KNOWN", "check_size", "check_whole"]

_HEAD = 1 << 20
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags of offsets and byte counts: TIFF 6.0, sections 3 and 15."""
_SIZES = (256, 257)
"""Tags of columns and rows: section 3."""
_SAMPLES = 277
_INTEGERS = {3: "H", 4: "I", 16: "Q"}
_MOST_OF_DEFLATE = 1032  # to one
_CBF_SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
_CBF_STARTER = b"\x0c\x1a\x04\xd5"  # CBFlib, "the binary data start here"


KNOWN = frozenset({"tiff", "cbf", "edf"})
"""Formats that are looked at here, and that documents may announce."""


def check_whole(path: Path, most_bytes: int) -> str:
    """Compare a TIFF, CBF or EDF with the size that it announces; pass over others.

    Parameters
    ----------
    path : Path
        Also packed (``.gz``, ``.bz2``).
    most_bytes : int
        Of the file, unpacked, and of the image.

    Returns
    -------
    str
        ``tiff``, ``cbf``, ``edf``, or '' for another one.

    Raises
    ------
    EOFError
        Where something is missing.
    ForbiddenFrameError
        Where it is too large.
    """
    with _opened(path) as file:
        head = file.read(_HEAD)
        size = path.stat().st_size
        if not isinstance(file, BufferedReader):
            size = _unpacked(file, len(head), most_bytes, path)
        check_size(size, most_bytes, path)
        if head[:4] in _TIFF_SIGNATURES:
            check_size(_check_tiff(file, head, size), most_bytes, path)
            return "tiff"
        if head.startswith(b"###CBF") or _CBF_SECTION in head:
            _check_cbf(head, size)
            return "cbf"
        if head.lstrip()[:1] == b"{":
            _check_edf(head, size, most_bytes, path)
            return "edf"
    return ""


def check_size(size: int, most_bytes: int, path: Path) -> None:
    """Refuse an image that takes too many bytes."""
    if size > most_bytes:
        raise ForbiddenFrameError(
            f"{path}: a frame of {size} bytes is more than the {most_bytes} allowed: "
            "raise max_frame_bytes"
        )


def _unpacked(file: IO[bytes], size: int, most_bytes: int, path: Path) -> int:
    """Bytes of a packed file, read piece by piece from where it stands."""
    while piece := file.read(_HEAD):
        size += len(piece)
        check_size(size, most_bytes, path)
    return size


def _opened(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    if suffix == ".bz2":
        return bz2.open(path)
    return path.open("rb")


def _missing(size: int, end: int) -> EOFError:
    return EOFError(f"{size} bytes of {end} are there")


def _check_cbf(head: bytes, size: int) -> None:
    section = head.find(_CBF_SECTION)
    start = head.find(_CBF_STARTER, section)
    if section < 0 or start < 0:
        raise EOFError("its binary section has no beginning")
    length = re.search(rb"X-Binary-Size:\s*(\d{1,15})\s", head[section:start])
    if length:
        end = start + len(_CBF_STARTER) + int(length[1])
        if size < end:
            raise _missing(size, end)


def _check_edf(head: bytes, size: int, most_bytes: int, path: Path) -> None:
    stop = head.find(b"}\n")
    if stop < 0:
        raise EOFError("its header does not end")
    length = re.search(rb"(?:EDF_BinarySize|\bSize)\s*=\s*(\d{1,15})\s*;", head[:stop])
    if length and size < stop + 2 + int(length[1]):
        raise _missing(size, stop + 2 + int(length[1]))
    if re.search(rb"(?i)compression\s*=\s*[^\s;n]", head):
        check_size(size * _MOST_OF_DEFLATE, most_bytes, path)


def _check_tiff(file: IO[bytes], head: bytes, size: int) -> int:
    """Bytes of the image."""
    order = "<" if head[:1] == b"I" else ">"
    big = head[:4] in (b"II+\0", b"MM\0+")
    found: dict[int, tuple[int, ...]] = {}
    try:
        for tag, values in _tiff_tags(file, order, big, size):
            found[tag] = found.get(tag, ()) + values
    except struct.error as error:
        raise EOFError("its directory is not written yet") from error
    for offsets, lengths in (_STRIPS, _TILES):
        pieces = zip(found.get(offsets, ()), found.get(lengths, ()), strict=False)
        end = max((start + length for start, length in pieces), default=0)
        if end > size:
            raise _missing(size, end)
    columns, rows = (max(found.get(tag, (0,)), default=0) for tag in _SIZES)
    if not columns or not rows:
        raise EOFError("its directory tells no size")
    samples = max(found.get(_SAMPLES, (1,)), default=1)
    return columns * rows * max(1, samples)


def _tiff_tags(
    file: IO[bytes], order: str, big: bool, size: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Integer tags of the first directory that say where the pixels are, and how many.

    A tag of another type is passed over: what cannot be read here is not read at all.
    """
    word, count, width = ("Q", "Q", 8) if big else ("I", "H", 4)

    def read(place: int, form: str) -> tuple[int, ...]:
        file.seek(place)
        return struct.unpack(order + form, file.read(struct.calcsize(order + form)))

    (directory,) = read(8 if big else 4, word)
    if directory >= size:
        raise _missing(size, directory)
    if not directory:
        raise EOFError("its directory is not written yet")
    (entries,) = read(directory, count)
    first = directory + struct.calcsize(order + count)
    for entry in range(entries):
        place = first + entry * (4 + 2 * width)
        tag, kind, number = read(place, "HH" + word)
        if tag not in (*_STRIPS, *_TILES, *_SIZES, _SAMPLES) or kind not in _INTEGERS:
            continue
        values = place + 4 + width
        length = number * struct.calcsize(_INTEGERS[kind])
        if length > width:
            (values,) = read(values, word)
        if values + length > size:
            raise _missing(size, values + length)
        yield tag, read(values, f"{number}{_INTEGERS[kind]}")

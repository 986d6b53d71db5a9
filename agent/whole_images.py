"""Whether an image file is whole: half a file must not pass for a frame.

Of images that are cut off, or still being written, fabio fills up EDF and compressed
TIFF with zeros, and searches a CBF for ever. So the sizes that the headers announce are
compared with the file first.
"""

from __future__ import annotations

import bz2
import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

__all__ = ["check_whole"]

_HEAD = 1 << 20
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags of offsets and byte counts: TIFF 6.0, sections 3 and 15."""
_INTEGERS = {3: "H", 4: "I", 16: "Q"}
_CBF_SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
_CBF_STARTER = b"\x0c\x1a\x04\xd5"  # CBFlib, "the binary data start here"


def check_whole(path: Path) -> None:
    """Compare a TIFF, CBF or EDF with the size that it announces; pass over others.

    Parameters
    ----------
    path : Path
        Also packed (``.gz``, ``.bz2``).

    Raises
    ------
    EOFError
        Where something is missing.
    """
    packed = path.suffix.lower() in (".gz", ".bz2")
    with _opened(path) as file:
        head = file.read(_HEAD)
        if head[:4] in _TIFF_SIGNATURES and not packed:
            _check_tiff(cast("BinaryIO", file), head, path.stat().st_size)
        elif _CBF_SECTION in head:
            _check_cbf(head, None if packed else path.stat().st_size)
        elif head.lstrip()[:1] == b"{" and not packed:
            _check_edf(head, path.stat().st_size)


def _opened(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    if suffix == ".bz2":
        return bz2.open(path)
    return path.open("rb")


def _missing(size: int, end: int) -> EOFError:
    return EOFError(f"{size} bytes of {end} are there")


def _check_cbf(head: bytes, size: int | None) -> None:
    section = head.index(_CBF_SECTION)
    start = head.find(_CBF_STARTER, section)
    if start < 0:
        raise EOFError("its binary section has no beginning")
    length = re.search(rb"X-Binary-Size:\s*(\d{1,15})\s", head[section:start])
    if size is not None and length:
        end = start + len(_CBF_STARTER) + int(length[1])
        if size < end:
            raise _missing(size, end)


def _check_edf(head: bytes, size: int) -> None:
    stop = head.find(b"}\n")
    if stop < 0:
        raise EOFError("its header does not end")
    length = re.search(rb"(?:EDF_BinarySize|\bSize)\s*=\s*(\d{1,15})\s*;", head[:stop])
    if length and size < stop + 2 + int(length[1]):
        raise _missing(size, stop + 2 + int(length[1]))


def _check_tiff(file: BinaryIO, head: bytes, size: int) -> None:
    order = "<" if head[:1] == b"I" else ">"
    try:
        found = dict(_tiff_tags(file, order, head[:4] in (b"II+\0", b"MM\0+"), size))
    except struct.error as error:
        raise EOFError("its directory is not written yet") from error
    for offsets, lengths in (_STRIPS, _TILES):
        pieces = zip(found.get(offsets, ()), found.get(lengths, ()), strict=False)
        end = max((start + length for start, length in pieces), default=0)
        if end > size:
            raise _missing(size, end)


def _tiff_tags(
    file: BinaryIO, order: str, big: bool, size: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Integer tags of the first directory that say where the pixels are."""
    word, count, width = ("Q", "Q", 8) if big else ("I", "H", 4)

    def read(place: int, form: str) -> tuple[int, ...]:
        file.seek(place)
        return struct.unpack(order + form, file.read(struct.calcsize(order + form)))

    (directory,) = read(8 if big else 4, word)
    if not directory:
        raise EOFError("its directory is not written yet")
    (entries,) = read(directory, count)
    first = directory + struct.calcsize(order + count)
    for entry in range(entries):
        place = first + entry * (4 + 2 * width)
        tag, kind, number = read(place, "HH" + word)
        if tag not in _STRIPS + _TILES or kind not in _INTEGERS:
            continue
        values = place + 4 + width
        length = number * struct.calcsize(_INTEGERS[kind])
        if length > width:
            (values,) = read(values, word)
        if values + length > size:
            raise _missing(size, values + length)
        yield tag, read(values, f"{number}{_INTEGERS[kind]}")

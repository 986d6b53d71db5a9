"""Whether an image file is whole, and no larger than an image may be.

Of images that are cut off, or still being written, fabio fills up EDF and compressed
TIFF with zeros, and searches a CBF for ever. And it makes room for whatever a header
announces. So the sizes that the headers announce are compared with the file first, and
with what is allowed.
"""

from __future__ import annotations

import bz2
import gzip
import math
import re
import struct
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from ringwatch.agent.errors import ForbiddenFrameError

__all__ = ["KNOWN", "check_size", "check_whole", "open_unpacked"]

_HEAD = 1 << 20
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags of offsets and byte counts: TIFF 6.0, sections 3 and 15."""
_SIZES = (256, 257)
"""Tags of columns and rows: section 3."""
_TILE_SIZES = (322, 323)
_BITS, _SAMPLES, _COLORS = 258, 277, 320
_WANTED = frozenset({*_STRIPS, *_TILES, *_SIZES, *_TILE_SIZES, _BITS, _SAMPLES})
_INTEGERS = {3: "H", 4: "I", 16: "Q"}
_WIDTHS = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8}
_WIDTHS |= {16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type; of other types one (section 2, and BigTIFF's)."""
_TEXTS = (2, 7)
"""Types whose values are read in one piece."""
_MOST_BITS = 64
_MOST_ENTRIES = 4096
_MOST_VALUES = 1 << 20
_MOST_DIRECTORIES, _MOST_WAYS_BACK = 1 << 16, 1
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
    ValueError
        Where it tells more of itself than an image does.
    ForbiddenFrameError
        Where it is too large.
    """
    with open_unpacked(path) as file:
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


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file to read what is in it, also packed."""
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
    """Most bytes that a reader makes room for at once."""
    order = "<" if head[:1] == b"I" else ">"
    big = head[:4] in (b"II+\0", b"MM\0+")
    try:
        found = _tiff_tags(file, order, big, size)
        if not big:  # of those only the first directory is looked for
            _check_directories(file, order)
    except struct.error as error:
        raise EOFError("its directory is not written yet") from error
    for offsets, lengths in (_STRIPS, _TILES):
        pieces = zip(found.get(offsets, ()), found.get(lengths, ()), strict=False)
        end = max((start + length for start, length in pieces), default=0)
        if end > size:
            raise _missing(size, end)
    image, tile = (
        math.prod(max(found.get(tag, (0,)), default=0) for tag in tags)
        for tags in (_SIZES, _TILE_SIZES)
    )
    if not image:
        raise EOFError("its directory tells no size")
    bits = found.get(_BITS, ()) or (_MOST_BITS,)
    samples = max(*found.get(_SAMPLES, (1,)), len(bits), 3 if _COLORS in found else 1)
    return max(image, tile) * samples * -(-max(1, *bits) // 8)


def _tiff_tags(
    file: IO[bytes], order: str, big: bool, size: int
) -> dict[int, tuple[int, ...]]:
    """Tags of the first directory; with values those that tell where the pixels are.

    A value of another type is passed over: what cannot be read here is not read at all.
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
    if entries > _MOST_ENTRIES:
        raise ValueError(f"a directory of {entries} entries: no image has so many")
    first, step = directory + struct.calcsize(order + count), 4 + 2 * width
    body = file.read(entries * step)
    told = [
        (at, *struct.unpack_from(order + "HH" + word, body, at))
        for at in range(0, entries * step, step)
    ]
    _check_entries([entry for _, *entry in told], size)
    found: dict[int, tuple[int, ...]] = dict.fromkeys((tag for _, tag, *_ in told), ())
    wanted: list[tuple[int, int, str]] = []
    for at, tag, kind, number in told:
        if tag not in _WANTED or kind not in _INTEGERS:
            continue
        start, length = first + at + 4 + width, number * _WIDTHS[kind]
        if length > width:
            (start,) = struct.unpack_from(order + word, body, at + 4 + width)
        if start + length > size:
            raise _missing(size, start + length)
        wanted.append((start, tag, f"{number}{_INTEGERS[kind]}"))
    for start, tag, form in sorted(wanted):  # in a packed file each way back is long
        found[tag] = read(start, form)
    return found


def _check_entries(entries: list[list[int]], size: int) -> None:
    """Refuse tags, with type and number of values, that would take all memory."""
    tags = [tag for tag, _, _ in entries]
    if len(set(tags)) < len(tags):
        twice = next(tag for tag in tags if tags.count(tag) > 1)
        raise ValueError(f"its tag {twice} comes twice")
    values = sum(number for _, kind, number in entries if kind not in _TEXTS)
    if values > _MOST_VALUES:
        raise ValueError(f"its tags have {values} values: no image's do")
    length = sum(number * _WIDTHS.get(kind, 1) for _, kind, number in entries)
    if length > size:
        raise ValueError(f"its tags take {length} bytes, more than the file")


def _check_directories(file: IO[bytes], order: str) -> None:
    """Refuse directories that lead to one another for ever: fabio goes after all."""
    number = back = 0
    pointer = _read_at(file, 4, 4)
    while len(pointer) == 4 and any(pointer):
        (place,) = struct.unpack(order + "I", pointer)
        # One may lie before the last: that of a first image that was written again.
        number, back = number + 1, back + (place < file.tell())
        if number > _MOST_DIRECTORIES or back > _MOST_WAYS_BACK:
            raise ValueError("its directories go in a circle, or are too many")
        count = _read_at(file, place, 2)
        if len(count) < 2:
            return
        (entries,) = struct.unpack(order + "H", count)
        pointer = _read_at(file, place + 2 + 12 * entries, 4)


def _read_at(file: IO[bytes], place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)

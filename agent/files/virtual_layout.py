"""The place where a virtual HDF5 dataset keeps its list, looked at before HDF5 does.

That list is in a global heap. HDF5 (2.0, and older ones) goes over the objects of such
a heap by the lengths that they tell, and never comes back where one tells 0, or so much
that the next one begins before it. Paragraphs are of the HDF5 File Format
Specification, version 3.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ringwatch.agent.errors import FrameReadError

__all__ = ["check_layout"]

_LAYOUT, _CONTINUATION = 0x08, 0x10
_VIRTUAL = 3
_MOST_MESSAGES = 4096
_MOST_BLOCKS = 256
_MOST_HEAP = 1 << 24  # bytes
_SUPERBLOCK = b"\x89HDF\r\n\x1a\n"

Message = tuple[int, bytes]


def check_layout(path: Path, address: int) -> None:
    """Look at the object header of a dataset, and at its list if it is virtual.

    Parameters
    ----------
    path : Path
        The file.
    address : int
        Of the object header, as the link to it tells; of a group there is no list.

    Raises
    ------
    FrameReadError
        Where the list would hold HDF5 up for ever.
    """
    try:
        with path.open("rb") as file:
            base, width = _begin(file)
            for kind, data in _messages(file, base, base + address, width):
                is_new = len(data) >= 2 + width and data[0] >= 4
                if kind == _LAYOUT and is_new and data[1] == _VIRTUAL:
                    heap = int.from_bytes(data[2 : 2 + width], "little")
                    _check_heap(file, base + heap)
    except (struct.error, ValueError, OverflowError, OSError) as error:
        raise FrameReadError(
            f"{path}: the list of a dataset cannot be right ({error}): the file is "
            "damaged, or was made to do damage"
        ) from error


def _begin(file: BinaryIO) -> tuple[int, int]:
    """Where addresses count from, and their width, bytes (II.A)."""
    place, head = 0, file.read(64)
    while head[:8] != _SUPERBLOCK:  # after a user's own block, at 512, 1024 and so on
        place = max(512, 2 * place)
        file.seek(place)
        head = file.read(64)
        if len(head) < 64:
            raise ValueError("no superblock")
    old = head[8] < 2
    width, at = (head[13], 24 + 4 * (head[8] == 1)) if old else (head[9], 12)
    if width not in (2, 4, 8):
        raise ValueError(f"addresses of {width} bytes")
    return int.from_bytes(head[at : at + width], "little"), width


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    data = file.read(length)
    if len(data) < length:
        raise ValueError(f"{len(data)} bytes of {length} are there")
    return data


def _messages(file: BinaryIO, base: int, place: int, width: int) -> Iterator[Message]:
    """Messages of an object header, of both versions (IV.A.1)."""
    head = _read(file, place, 6)
    new = head[:4] == b"OHDR"
    if new:
        flags = head[5]
        place += 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
        size = 1 << (flags & 3)
        length = int.from_bytes(_read(file, place, size), "little")
        place, order = place + size, 2 * (flags >> 2 & 1)
    else:
        (length,) = struct.unpack("<I", _read(file, place + 8, 4))
        place, order = place + 16, 0
    blocks, told = [(place, length)], 0
    for place, length in blocks:
        for kind, data in _of_block(file, place, length, order if new else -1):
            told += 1
            if told > _MOST_MESSAGES or len(blocks) > _MOST_BLOCKS:
                raise ValueError("its header does not end")
            yield kind, data
            if kind == _CONTINUATION:
                start, size = (
                    int.from_bytes(data[n : n + width], "little") for n in (0, width)
                )
                # Of the new form: after a signature, before a checksum.
                blocks.append((base + start + 4 * new, size - 8 * new))


def _of_block(file: BinaryIO, place: int, length: int, order: int) -> Iterator[Message]:
    """Messages of one block; ``order`` as many bytes more, -1 for the old form."""
    if not 0 <= length <= _MOST_HEAP:
        raise ValueError(f"a header of {length} bytes")
    data = _read(file, place, length)
    form, head = ("<HHB3x", 8) if order < 0 else ("<BHB", 4 + order)
    at = 0
    while at + head <= len(data):
        kind, size, _ = struct.unpack_from(form, data, at)
        at += head
        yield kind, data[at : at + size]
        at += size


def _check_heap(file: BinaryIO, place: int) -> None:
    """Go over a global heap as HDF5 does (III.E)."""
    head = _read(file, place, 16)
    size = int.from_bytes(head[8:], "little")
    if head[:4] != b"GCOL" or not 16 < size <= _MOST_HEAP:
        raise ValueError(f"a heap of {size} bytes")
    heap, at = _read(file, place, size), 16
    while at + 16 <= size:
        number, length = struct.unpack_from("<H6xQ", heap, at)
        # The free space is number 0, and counts its own header.
        at += 16 + (length + 7) // 8 * 8 if number else length
        if at > size or (not number and length < 16):
            raise ValueError(f"an object of {length} bytes in a heap of {size}")

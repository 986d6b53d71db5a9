"""TIFF files as nobody writes them: any entries, in one directory or several."""

from __future__ import annotations

import struct

Entry = tuple[int, int, int, int]
"""Tag, type, number of values, and the value or where the values are (TIFF 6.0)."""

COLUMNS, ROWS, BITS, COMPRESSION, PHOTOMETRIC, STRIPS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS_PER_STRIP, LENGTHS, COLORS, SAMPLE_FORMAT = 277, 278, 279, 320, 339
SHORT, LONG = 3, 4
DEFLATE, FLOATS = 8, 3


def tiff(
    entries: list[Entry],
    *,
    big: bool = False,
    pixels: bytes = b"",
    following: int = 0,
    told: int | None = None,
) -> bytes:
    """A file of pixels and one directory behind them.

    Parameters
    ----------
    entries : list
        In this order, as they are.
    big : bool
        BigTIFF.
    pixels : bytes
        They begin at byte 16.
    following : int
        Where the next directory is said to be.
    told : int, optional
        How many entries there are said to be.
    """
    word, count = ("Q", "Q") if big else ("I", "H")
    place = 16 + len(pixels)
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, place) if big else b"II*\0"
    if not big:
        head += struct.pack("<II", place, 0) + bytes(4)
    number = len(entries) if told is None else told
    body = b"".join(struct.pack(f"<HH{word}{word}", *entry) for entry in entries)
    end = struct.pack(f"<{word}", following)
    return head + pixels + struct.pack(f"<{count}", number) + body + end


def image_entries(columns: int, rows: int, bits: int, length: int) -> list[Entry]:
    """What tells of an image in one strip of ``length`` bytes."""
    return [
        (COLUMNS, LONG, 1, columns),
        (ROWS, LONG, 1, rows),
        (BITS, SHORT, 1, bits),
        (COMPRESSION, SHORT, 1, 1),
        (PHOTOMETRIC, SHORT, 1, 1),
        (STRIPS, LONG, 1, 16),
        (SAMPLES, SHORT, 1, 1),
        (ROWS_PER_STRIP, LONG, 1, rows),
        (LENGTHS, LONG, 1, length),
    ]

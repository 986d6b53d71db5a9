"""TIFF files whose directories were drawn: what no change of a sound file leads to."""

from __future__ import annotations

import functools
import zlib

from router import Below
from tiff_files import COMPRESSION, DEFLATE, Entry, image_entries, tiff

EDGES = (1, 5, 6, 1000, 1100, 1400, 4000, 65_535, 1 << 31)
BITS = (1, 8, 12, 16, 32, 64, 999)
TAGS = (256, 257, 258, 270, 273, 277, 278, 279, 305, 320, 322, 323, 324, 325, 339, 700)
NUMBERS = (0, 1, 2, 3, 1000, 300_000, 900_000, 1_900_000, 0xFFFFFFFF)
OFTEN = (1, 1, 1, 2, 60, 300, 5000)
LARGEST = 8 << 20
"""Of what is packed."""


@functools.cache
def zeros(size: int) -> bytes:
    """That many, packed."""
    return zlib.compress(bytes(size))


def drawn_tiff(below: Below) -> bytes:
    """A directory of an image, mostly of zeros, changed in up to three entries."""
    edge = EDGES[below(len(EDGES))]
    columns, rows = (edge, edge) if below(2) else (edge, EDGES[below(len(EDGES))])
    bits = BITS[below(len(BITS))]
    pixels = zeros(min(LARGEST, columns * rows * bits // 8))
    entries = image_entries(columns, rows, bits, len(pixels))
    entries[[e[0] for e in entries].index(COMPRESSION)] = COMPRESSION, 3, 1, DEFLATE
    for _ in range(below(4)):
        at = below(len(entries))
        changed = _entry(below)
        entries[at : at + below(2)] = [changed] * OFTEN[below(len(OFTEN))]
    # What the values of many are read from; half of the files are small.
    rest = b"\x34\x12" * (0, 0, 500_000, 1_950_000)[below(4)]
    place = 16 + len(pixels)
    following = (0, 0, 0, place, 16, place + 2 + 12 * len(entries))[below(6)]
    told = (None, None, None, None, 0, 60_000)[below(6)]
    whole = tiff(
        entries, big=not below(4), pixels=pixels, following=following, told=told
    )
    return whole + rest


def _entry(below: Below) -> Entry:
    where = (0, 1, 16, 3000, 100_000, below(1 << 22))[below(6)]
    return TAGS[below(len(TAGS))], 1 + below(18), NUMBERS[below(len(NUMBERS))], where

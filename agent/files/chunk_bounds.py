"""Packed chunks of HDF5 datasets, looked at before HDF5 unpacks them.

What a chunk becomes is not bounded by what its dataset announces: deflate goes on as
long as there is input, others believe the size that the chunk itself tells, or walk
past its end where it lies about its blocks; and where less comes than was announced
HDF5 gives out what was in memory before. So a chunk's own words are compared with its
size first. That costs a look at its headers. Deflate has none: such a chunk is unpacked
once here, to see how long it gets, which takes half as long again as reading it.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator

import h5py

from ringwatch.agent.errors import ForbiddenFrameError, FrameReadError
from ringwatch.agent.files.block_headers import count_blocks

__all__ = [
    "BITSHUFFLE",
    "Place",
    "check_chunk",
    "chunks_of_frame",
    "filters_of",
    "stored_chunks",
]

Place = tuple[int, ...]
Values = tuple[int, ...]
"""Parameters of a filter, as they stand in the file."""

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
BLOSC, LZ4, BITSHUFFLE, ZSTD = 32001, 32004, 32008, 32015
"""Numbers of HDF5's own filters and of registered ones."""

_SLACK = 1 << 16
_PIECE = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST_ACROSS = 1 << 16  # chunks of one frame


def chunks_of_frame(dataset: h5py.Dataset, leading: Place) -> Iterator[Place]:
    """Where the chunks of one frame of a dataset (..., y, x) begin."""
    chunks, shape = dataset.chunks, dataset.shape
    if chunks is None:
        return
    first = [n // length * length for n, length in zip(leading, chunks, strict=False)]
    across = [
        range(0, length, step)
        for length, step in zip(shape[-2:], chunks[-2:], strict=True)
    ]
    if math.prod(map(len, across)) > _MOST_ACROSS:
        raise ForbiddenFrameError(
            f"{dataset.file.filename}: a frame lies in more than {_MOST_ACROSS} chunks"
        )
    for place in itertools.product(*across):
        yield (*first, *place)


def stored_chunks(dataset: h5py.Dataset) -> list[Place]:
    """Where all the chunks of a dataset begin that are in its file."""
    if dataset.chunks is None:
        return []
    places: list[Place] = []
    dataset.id.chunk_iter(lambda chunk: places.append(chunk.chunk_offset))
    return places


def check_chunk(dataset: h5py.Dataset, place: Place, most_bytes: int) -> bytes | None:
    """Look at one chunk; its bytes where all filters were used and one was looked at.

    Parameters
    ----------
    dataset : h5py.Dataset
    place : tuple of int
        Where the chunk begins.
    most_bytes : int
        It may take so much while it is unpacked.

    Raises
    ------
    ForbiddenFrameError
        Where it would become larger than the dataset says, or nobody can tell.
    FrameReadError
        Where it is damaged.
    """
    path = dataset.file.filename
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if size > most_bytes:
        raise ForbiddenFrameError(
            f"{path}: a chunk of {size} bytes is more than the {most_bytes} allowed: "
            "raise max_frame_bytes"
        )
    filters = filters_of(dataset)
    if not filters:
        return None
    stored = dataset.id.get_chunk_info_by_coord(place)
    if stored.byte_offset is None:
        return None
    used = [f for n, f in enumerate(filters) if not stored.filter_mask >> n & 1]
    packers = [f for f in used if f[0] not in (SHUFFLE, FLETCHER32)]
    if stored.size > size + size // 8 + _SLACK:
        raise ForbiddenFrameError(
            f"{path}: a chunk of {size} bytes is stored in {stored.size}: that is none"
        )
    if len(packers) > 1 or any(code not in _CHECKS for code, _ in packers):
        named = ", ".join(str(code) for code, _ in packers)
        raise ForbiddenFrameError(
            f"{path}: chunks packed by HDF5 filter {named} are not read, for nobody "
            "can tell how large they get: pack with gzip, bitshuffle, LZ4, Zstandard "
            "or Blosc"
        )
    packed = None
    for code, values in packers:
        check = _CHECKS[code]
        _, packed = dataset.id.read_direct_chunk(place)
        chunk = packed
        # A checksum of four bytes may have been added before it was packed, or after.
        sums = [n for n, f in enumerate(used) if f[0] == FLETCHER32]
        inside = sum(n < used.index((code, values)) for n in sums)
        chunk = chunk[: len(chunk) - 4 * (len(sums) - inside)]
        fault = check(chunk, size + 4 * inside, values, dataset.dtype.itemsize)
        if fault:
            raise FrameReadError(
                f"{path}: a chunk is no {size} bytes when it is unpacked ({fault}): it "
                "is damaged, or was made to do damage"
            )
    return packed if len(used) == len(filters) else None


def filters_of(dataset: h5py.Dataset) -> list[tuple[int, Values]]:
    """Numbers and parameters of the filters through which chunks go, in order."""
    made = dataset.id.get_create_plist()
    found = (made.get_filter(n) for n in range(made.get_nfilters()))
    return [(code, values) for code, _, values, _ in found]


# What is wrong with a chunk, '' for nothing, by the filter that packed it.


def _deflate(chunk: bytes, size: int, _: Values, _item: int) -> str:
    unpacker, made = zlib.decompressobj(), 0
    try:
        piece = unpacker.decompress(chunk, _PIECE)
        while piece:
            made += len(piece)
            if made > size:
                return "it goes on"
            piece = unpacker.decompress(unpacker.unconsumed_tail, _PIECE)
    except zlib.error as error:
        return str(error)
    return "" if made == size else f"{made} bytes come"


def _bitshuffle(chunk: bytes, size: int, values: Values, item: int) -> str:
    """Version, size of an element, of a block, way of packing (bshuf_h5filter.c)."""
    if len(values) < 3 or values[2] != item:
        return f"its elements should have {item} bytes"
    if len(values) < 5 or not values[4]:
        return ""  # shuffled only: as large as before
    return _blocks(chunk, size, item)


def _lz4(chunk: bytes, size: int, _: Values, _item: int) -> str:
    return _blocks(chunk, size, 0)


def _blocks(chunk: bytes, size: int, item: int) -> str:
    told, block = int.from_bytes(chunk[:8], "big"), int.from_bytes(chunk[8:12], "big")
    if len(chunk) < 12 or told != size:
        return f"it tells of {told}"
    if not 0 < block < 1 << 30 or (item and block % (8 * item)):
        return f"blocks of {block} bytes"
    return count_blocks(chunk, size, block, item)


def _zstd(chunk: bytes, size: int, _: Values, _item: int) -> str:
    """One frame, with its size (RFC 8878, section 3.1.1.1)."""
    if chunk[:4] != _ZSTD_MAGIC or len(chunk) < 14:
        return "no Zstandard frame"
    flags = chunk[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    begin = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    told = int.from_bytes(chunk[begin : begin + width], "little")
    told += 256 * (width == 2)
    return "" if width and told == size else f"it tells of {told}"


def _blosc(chunk: bytes, size: int, _: Values, _item: int) -> str:
    """Header of 16 bytes: sizes unpacked, of a block and packed (c-blosc's README)."""
    told, block, packed = (
        int.from_bytes(chunk[n : n + 4], "little") for n in (4, 8, 12)
    )
    if len(chunk) < 16 or told != size or not 0 < block <= max(size, 128):
        return f"it tells of {told}"
    return "" if packed <= len(chunk) else "it is cut off"


_CHECKS: dict[int, Callable[[bytes, int, Values, int], str]] = {
    DEFLATE: _deflate,
    BLOSC: _blosc,
    LZ4: _lz4,
    BITSHUFFLE: _bitshuffle,
    ZSTD: _zstd,
}

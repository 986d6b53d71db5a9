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
import threading
import zlib
from collections.abc import Callable, Iterator

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import ForbiddenFrameError, FrameReadError
from ringwatch.agent.files.block_headers import count_blocks

__all__ = [
    "BITSHUFFLE",
    "ChunkBounds",
    "Place",
    "chunks_of_frame",
    "filters_of",
    "stored_chunks",
]

Place = tuple[int, ...]
Values = tuple[int, ...]
"""Parameters of a filter, as they stand in the file."""
Filter = tuple[int, Values]
"""Number of a filter, and its parameters."""

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
BLOSC, LZ4, BITSHUFFLE, ZSTD = 32001, 32004, 32008, 32015
"""Numbers of HDF5's own filters and of registered ones."""

_NO_PACKERS = SHUFFLE, FLETCHER32
"""A chunk has the same size behind them, or four bytes more."""

_SLACK = 1 << 16
_PIECE = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST_ACROSS = 1 << 16  # chunks of one frame
_CHUNKS_KEPT = 1000  # of a dataset, remembered to be sound


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


class _Room(threading.local):
    """Where a thread has packed chunks put; kept, for large memory is slow to get."""

    _bytes = np.empty(0, np.uint8)

    def of(self, size: int) -> NDArray[np.uint8]:
        """So many bytes, written over by whoever asks next.

        What a file announces and does not fill is no memory: nothing touches it.
        """
        if self._bytes.size < size:
            self._bytes = np.empty(0, np.uint8)  # first without the old ones
            self._bytes = np.empty(size, np.uint8)
        return self._bytes[:size]


_ROOM = _Room()


class ChunkBounds:
    """Looks at the chunks of one dataset before they are unpacked.

    What is the same for all of them is asked of HDF5 once.

    Parameters
    ----------
    dataset : h5py.Dataset
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self._path = dataset.file.filename
        self._item = dataset.dtype.itemsize
        self._size = math.prod(dataset.chunks or (0,)) * self._item
        self._filters = filters_of(dataset)
        self._sound: set[Place] = set()

    def check(self, place: Place, most_bytes: int) -> None:
        """Look at one chunk, unless that was done before; as ``take``."""
        if place not in self._sound:
            self.take(place, most_bytes)
            if len(self._sound) >= _CHUNKS_KEPT:
                self._sound.clear()
            self._sound.add(place)

    def take(self, place: Place, most_bytes: int) -> memoryview | None:
        """Look at one chunk; its bytes where all filters were used and one looked at.

        They are there until the thread takes another one, of any dataset.

        Parameters
        ----------
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
        size = self._size
        if size > most_bytes:
            raise ForbiddenFrameError(
                f"{self._path}: a chunk of {size} bytes is more than the {most_bytes} "
                "allowed: raise max_frame_bytes"
            )
        stored = self._read(place) if self._filters else None
        if stored is None:
            return None
        packed, unused = stored
        used = [f for n, f in enumerate(self._filters) if not unused >> n & 1]
        packer = self._packer_of(used)
        if packer is None:
            self._measure(packed, used)
            return None
        self._compare(packed, packer, used)
        return packed if len(used) == len(self._filters) else None

    def _read(self, place: Place) -> tuple[memoryview, int] | None:
        """Read a chunk as it is stored, and which filters were left out of it.

        None where it is not there. It is read into a room of the size that it may have:
        to be told its size before, HDF5 goes through all chunks that were written
        before it, two milliseconds for 20,000.
        """
        most = self._size + self._size // 8 + _SLACK
        try:
            unused, packed = self.dataset.id.read_direct_chunk(
                place, out=_ROOM.of(most)
            )
        except (ValueError, OSError):
            stored = self.dataset.id.get_chunk_info_by_coord(place)
            if stored.byte_offset is None:
                return None
            if stored.size > most:
                raise ForbiddenFrameError(
                    f"{self._path}: a chunk of {self._size} bytes is stored in "
                    f"{stored.size}: that is none"
                ) from None
            raise
        return packed.toreadonly(), unused

    def _measure(self, stored: memoryview, used: list[Filter]) -> None:
        """See that a chunk that nothing packed has its size, checksums and all."""
        due = self._size + 4 * sum(code == FLETCHER32 for code, _ in used)
        if len(stored) != due:
            raise FrameReadError(
                f"{self._path}: a chunk of {due} bytes is stored in {len(stored)}: it "
                "is damaged, or was made to do damage"
            )

    def _packer_of(self, used: list[Filter]) -> Filter | None:
        """The one filter that decides how large a chunk gets."""
        packers = [f for f in used if f[0] not in _NO_PACKERS]
        if len(packers) > 1 or any(code not in _CHECKS for code, _ in packers):
            named = ", ".join(str(code) for code, _ in packers)
            raise ForbiddenFrameError(
                f"{self._path}: chunks packed by HDF5 filter {named} are not read, for "
                "nobody can tell how large they get: pack with gzip, bitshuffle, LZ4, "
                "Zstandard or Blosc"
            )
        return packers[0] if packers else None

    def _compare(self, packed: memoryview, packer: Filter, used: list[Filter]) -> None:
        """Compare what a chunk says of itself with its size."""
        code, values = packer
        # A checksum of four bytes may have been added before it was packed, or after.
        sums = [n for n, f in enumerate(used) if f[0] == FLETCHER32]
        inside = sum(n < used.index(packer) for n in sums)
        chunk = packed[: len(packed) - 4 * (len(sums) - inside)] if sums else packed
        fault = _CHECKS[code](chunk, self._size + 4 * inside, values, self._item)
        if fault:
            raise FrameReadError(
                f"{self._path}: a chunk is no {self._size} bytes when it is unpacked "
                f"({fault}): it is damaged, or was made to do damage"
            )


def filters_of(dataset: h5py.Dataset) -> list[Filter]:
    """Numbers and parameters of the filters through which chunks go, in order."""
    made = dataset.id.get_create_plist()
    found = (made.get_filter(n) for n in range(made.get_nfilters()))
    return [(code, values) for code, _, values, _ in found]


# What is wrong with a chunk, '' for nothing, by the filter that packed it.


def _deflate(chunk: memoryview, size: int, _: Values, _item: int) -> str:
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


def _bitshuffle(chunk: memoryview, size: int, values: Values, item: int) -> str:
    """Version, size of an element, of a block, way of packing (bshuf_h5filter.c)."""
    if len(values) < 3 or values[2] != item:
        return f"its elements should have {item} bytes"
    if len(values) < 5 or not values[4]:
        return ""  # shuffled only: as large as before
    return _blocks(chunk, size, item)


def _lz4(chunk: memoryview, size: int, _: Values, _item: int) -> str:
    return _blocks(chunk, size, 0)


def _blocks(chunk: memoryview, size: int, item: int) -> str:
    told, block = int.from_bytes(chunk[:8], "big"), int.from_bytes(chunk[8:12], "big")
    if len(chunk) < 12 or told != size:
        return f"it tells of {told}"
    if not 0 < block < 1 << 30 or (item and block % (8 * item)):
        return f"blocks of {block} bytes"
    return count_blocks(chunk, size, block, item)


def _zstd(chunk: memoryview, size: int, _: Values, _item: int) -> str:
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


def _blosc(chunk: memoryview, size: int, _: Values, _item: int) -> str:
    """Header of 16 bytes: sizes unpacked, of a block and packed (c-blosc's README)."""
    told, block, packed = (
        int.from_bytes(chunk[n : n + 4], "little") for n in (4, 8, 12)
    )
    if len(chunk) < 16 or told != size or not 0 < block <= max(size, 128):
        return f"it tells of {told}"
    return "" if packed <= len(chunk) else "it is cut off"


_CHECKS: dict[int, Callable[[memoryview, int, Values, int], str]] = {
    DEFLATE: _deflate,
    BLOSC: _blosc,
    LZ4: _lz4,
    BITSHUFFLE: _bitshuffle,
    ZSTD: _zstd,
}

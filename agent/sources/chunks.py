"""Rows of a stored array in slices, the next one fetched while one is worked off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MOST_BYTES",
    "MOST_ROWS",
    "first_chunks",
    "row_bytes",
    "slice_rows",
    "slices_ahead",
]

MOST_ROWS = 16
MOST_BYTES = 64 << 20
"""A slice holds at most so much: two of them are in memory at a time."""


def slice_rows(
    row_bytes: int, chunks: tuple[int, ...] = (), *, most: int = MOST_ROWS
) -> int:
    """How many rows to fetch at once, at least one.

    Parameters
    ----------
    row_bytes : int
    chunks : tuple of int
        Rows of each stored chunk. A slice holds whole chunks where they are small
        enough: the server decodes a chunk anew for each slice that touches it.
    most : int
        Rows that are enough, where chunks allow fewer.
    """
    room = max(1, MOST_BYTES // max(1, row_bytes))
    step = min(most, room)
    chunk = chunks[0] if chunks else 1
    if chunk > step:
        return chunk if chunk <= room else step
    return step // chunk * chunk


def slices_ahead(node: Any, rows: range, step: int) -> Iterator[NDArray[np.generic]]:
    """``node[start:stop]`` for each ``step`` of ``rows``, read one slice ahead.

    A thread fetches; what fails there is raised here. It ends with the iterator.
    """
    starts = list(range(rows.start, rows.stop, step))

    def fetch(start: int) -> NDArray[np.generic]:
        return np.asarray(node[start : min(start + step, rows.stop)])

    if len(starts) < 2:
        yield from map(fetch, starts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ringwatch-ahead") as ahead:
        coming: Future[NDArray[np.generic]] = ahead.submit(fetch, starts[0])
        for start in starts[1:]:
            block = coming.result()
            coming = ahead.submit(fetch, start)
            yield block
        yield coming.result()


def first_chunks(node: Any) -> tuple[int, ...]:
    """Rows of each stored chunk of an array client; () where it does not say."""
    chunks = getattr(node, "chunks", None) or ()
    return tuple(int(n) for n in chunks[0]) if chunks else ()


def row_bytes(node: Any) -> int:
    """Bytes of one row of an array client."""
    return int(math.prod(node.shape[1:])) * int(node.dtype.itemsize)

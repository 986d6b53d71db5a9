"""The frames of one data key of a stored stream, and to which events they belong."""

from __future__ import annotations

import logging
import math
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError, ReplayError
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.files.hdf5_files import HDF5Files
from ringwatch.agent.sources.chunks import (
    first_chunks,
    row_bytes,
    slice_rows,
    slices_ahead,
)

__all__ = ["FrameSet", "match_rows"]

COUNTERS = ("frame_number", "/entry/instrument/NDAttributes/NDArrayUniqueId")
STAMPS = (
    ("timestamp", 0.0),
    ("/entry/instrument/NDAttributes/NDArrayTimeStamp", 6.31152e8),
)
"""Datasets with the time of each frame, beside the frames or absolute, and the epoch
they count from; areaDetector counts from 1990."""
COUNTER_COLUMNS = ("frame_number", "array_counter", "unique_id")
MOST_FRAMES = 1 << 24
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSet:
    """The frames of one data key.

    Attributes
    ----------
    data_key : str
    node : tiled array client
        Shape (..., y, x).
    shape : tuple of int
        (y, x), pixels.
    rows : int
        Points in the catalogue.
    per_row : int
        Frames of a point.
    external : str
        ``STREAM:`` or another word of the descriptor for files, '' for arrays that the
        catalogue holds itself.
    files : tuple of Path
        HDF5 files that can be read here; () where there are none.
    uris : tuple of str
        Their addresses, as they were announced.
    dataset : str
        Path of the frames inside each file.
    roots : DataRoots
        Below which files may be read.
    """

    data_key: str
    node: Any
    shape: tuple[int, int]
    rows: int
    per_row: int
    external: str
    files: tuple[Path, ...]
    uris: tuple[str, ...]
    dataset: str
    roots: DataRoots = field(default_factory=DataRoots)

    @property
    def announced_before_event(self) -> bool:
        """Whether frames are announced whose event never came (a pause, a flight)."""
        return self.external.startswith("STREAM")

    def rows_per_file(self) -> list[int]:
        """Points in each file; one file holds them all."""
        if len(self.files) == 1:
            return [max(self.rows, 1 << 62)]
        with _reading(self) as files:
            shapes = [files.dataset(path, self.dataset).shape for path in self.files]
        return [math.prod(shape[:-2]) // self.per_row for shape in shapes]

    def points(self, rows: range) -> Iterator[NDArray[np.generic]]:
        """Pixels of each point through the catalogue, (per_row, y, x), in slices."""
        span = self.per_row if self.node.ndim == len(self.shape) + 1 else 1
        step = slice_rows(row_bytes(self.node), first_chunks(self.node))
        step = max(span, step // span * span)  # whole points
        nodes = range(rows.start * span, rows.stop * span)
        for block in slices_ahead(self.node, nodes, step):
            yield from block.reshape(-1, self.per_row, *self.shape)


def match_rows(events: list[dict[str, Any]], frames: FrameSet) -> list[int]:
    """The point (row of the frame array) of each event, rising.

    Where there are as many points as events, they pair up. Else the detector's counter
    decides, else the times; failing both, the first points are taken, with a warning.
    """
    rows = frames.rows
    counters: list[int] = []
    stamps: list[float] = []
    if frames.files:
        in_files, counters, stamps = _read_columns(frames)
        # Of classic datums the catalogue counts only those that events refer to.
        rows = rows if frames.announced_before_event else max(rows, in_files)
    if len(events) == rows:
        return list(range(rows))
    for column in events[0] if events else ():
        if column.endswith(COUNTER_COLUMNS) and not column.startswith("ts_"):
            matched = _match_counters([event[column] for event in events], counters)
            if matched:
                return matched
    if len(stamps) and (matched := _match_times([e["time"] for e in events], stamps)):
        return matched
    if events and rows > len(events):
        logger.warning(
            "%s: %d points but %d events, and neither a frame counter nor times in the "
            "file tell which belong together; the last points are taken as surplus",
            frames.data_key,
            rows,
            len(events),
        )
    return list(range(min(rows, len(events))))


def _match_counters(wanted: list[Any], counters: list[int]) -> list[int]:
    """Row of each wanted counter, rising; [] if one is missing."""
    matched, row = [], -1
    for value in wanted:
        try:
            row = counters.index(value, row + 1)
        except ValueError:
            return []
        matched.append(row)
    return matched


def _match_times(times: list[float], stamps: list[float]) -> list[int]:
    """Last row whose frame was complete when the event was made; [] if not rising."""
    matched = [int(n) - 1 for n in np.searchsorted(stamps, times, side="right")]
    rising = all(a < b for a, b in zip([-1, *matched], matched, strict=False))
    return matched if rising else []


def _read_columns(frames: FrameSet) -> tuple[int, list[int], list[float]]:
    """Points, counters and times in all files of a frame set, in their order."""
    images = 0
    counters: list[float] = []
    stamps: list[float] = []
    with _reading(frames) as files:
        for path in frames.files:
            dataset = files.dataset(path, frames.dataset)
            images += math.prod(dataset.shape[:-2])
            counters += _column(files, dataset, [(name, 0.0) for name in COUNTERS])
            stamps += _column(files, dataset, STAMPS)
    return images // frames.per_row, [int(n) for n in counters], stamps


def _column(
    files: HDF5Files, dataset: h5py.Dataset, names: Iterable[tuple[str, float]]
) -> list[float]:
    """The first of some columns that stands beside a dataset, [] if none does."""
    path, group = Path(dataset.file.filename), posixpath.dirname(dataset.name)
    for name, epoch in names:
        try:
            column = files.dataset(path, posixpath.join(group, name))
        except KeyError:
            continue
        if column.size <= MOST_FRAMES:
            files.check_all(column, 8 * MOST_FRAMES)
            return [float(value) + epoch for value in column[()].ravel()]
    return []


@contextmanager
def _reading(frames: FrameSet) -> Iterator[HDF5Files]:
    """Open the files of a frame set; what goes wrong with them ends the replay."""
    try:
        with HDF5Files(frames.roots) as files:
            yield files
    except (OSError, RuntimeError, LookupError, ValueError, FrameReadError) as error:
        raise ReplayError(
            f"the files of {frames.data_key} cannot be read ({error}): check that they "
            f"are whole, hold {frames.dataset!r} and lie below data_roots"
        ) from error

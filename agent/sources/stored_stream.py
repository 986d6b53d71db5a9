"""One stream of a stored run: its table, its frames, and which belongs to which.

A catalogue keeps, per stream, a table of events and an array of frames. It does not
keep which frame belongs to which event: with a pause in a step scan there are frames
whose point was taken again, announced or not, and the two differ in length. The
detector's own frame counter, kept in the file beside the frames and as a scalar of the
event, tells; the times of frames and events tell nearly as well.
"""

from __future__ import annotations

import logging
import math
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.data_roots import DataRoots
from ringwatch.agent.errors import FrameReadError, ReplayError
from ringwatch.agent.hdf5_files import HDF5Files
from ringwatch.agent.results import plain

__all__ = ["FrameSet", "StoredStream", "image_shape", "match_rows"]

HDF5 = "application/x-hdf5"
COUNTERS = ("frame_number", "/entry/instrument/NDAttributes/NDArrayUniqueId")
STAMPS = (
    ("timestamp", 0.0),
    ("/entry/instrument/NDAttributes/NDArrayTimeStamp", 6.31152e8),
)
"""Datasets with the time of each frame, beside the frames or absolute, and the epoch
they count from; areaDetector counts from 1990."""
COUNTER_COLUMNS = ("frame_number", "array_counter", "unique_id")
SLICE = 10
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
        step = max(1, SLICE // self.per_row)
        for start in range(rows.start, rows.stop, step):
            stop = min(start + step, rows.stop)
            block = np.asarray(self.node[start * span : stop * span])
            yield from block.reshape(stop - start, self.per_row, *self.shape)


class StoredStream:
    """A stream of a stored run.

    Parameters
    ----------
    name : str
        Name of the stream.
    client : BlueskyEventStream
        With data sources included.
    roots : DataRoots, optional
        Files outside are not opened: their frames come through the catalogue, whose
        server has its own rules.
    """

    def __init__(self, name: str, client: Any, roots: DataRoots | None = None) -> None:
        self.name = name
        self._roots = roots or DataRoots()
        self.descriptors: list[dict[str, Any]] = [plain(d) for d in client.descriptors]
        self.data_keys: dict[str, dict[str, Any]] = self.descriptors[0]["data_keys"]
        self._base = client.base
        self._parts = set(self._base.keys())
        self.images = [k for k, d in self.data_keys.items() if image_shape(d)]

    def events(self) -> list[dict[str, Any]]:
        """Rows of the event table in the order in which they were emitted.

        Rows of a point taken twice come twice. A row has ``seq_num``, ``time``, the
        scalars and their times as ``ts_...``.
        """
        if "internal" not in self._parts:
            return []
        table = self._base["internal"].read()
        # A database need not keep the order of rows; time does, seq_num would not.
        table = table.sort_values("time", kind="stable")
        rows = plain(table.to_dict(orient="list"))
        return [
            dict(zip(rows, values, strict=True))
            for values in zip(*rows.values(), strict=True)
        ]

    def arrays(self) -> dict[str, Any]:
        """Arrays of events that are no images and too large for the table, by key."""
        return {
            key: self._base[key]
            for key in self._parts - {"internal", *self.images}
            if key in self.data_keys and "external" not in self.data_keys[key]
        }

    def frames(self, data_key: str) -> FrameSet | None:
        """The frames under ``data_key``, None if none was stored."""
        if data_key not in self._parts:
            return None
        node, described = self._base[data_key], self.data_keys[data_key]
        source = node.data_sources()[0]
        shape = image_shape(described)
        assert shape is not None
        declared = math.prod(described["shape"]) // math.prod(shape)
        per_row = int(node.metadata.get("frame_per_point") or declared or 1)
        assets = sorted(source.assets, key=lambda asset: asset.num or 0)
        uris = tuple(asset.data_uri for asset in assets)
        external = str(described.get("external", ""))
        files: tuple[Path, ...] = ()
        if external and source.mimetype == HDF5:
            files = _reachable(uris, self._roots)
        return FrameSet(
            data_key=data_key,
            node=node,
            shape=shape,
            rows=math.prod(node.shape) // math.prod(shape) // per_row,
            per_row=per_row,
            external=external,
            files=files,
            uris=uris,
            dataset=str(source.parameters.get("dataset", "")),
            roots=self._roots,
        )


def image_shape(data_key: dict[str, Any]) -> tuple[int, int] | None:
    """(y, x) of the images under a data key, None if it holds none."""
    shape = [int(n) for n in data_key.get("shape") or () if n is not None]
    if len([n for n in shape if n > 1]) < 2:
        return None
    return shape[-2], shape[-1]


def _reachable(uris: tuple[str, ...], roots: DataRoots) -> tuple[Path, ...]:
    paths = [Path(unquote(urlsplit(uri).path)) for uri in uris]
    local = all(urlsplit(uri).scheme == "file" for uri in uris)
    try:
        checked = [roots.checked(path) for path in paths]
    except FrameReadError as error:
        logger.warning("frames come through the catalogue: %s", error)
        return ()
    return tuple(paths) if local and all(p.is_file() for p in checked) else ()


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
    if rows > len(events):
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

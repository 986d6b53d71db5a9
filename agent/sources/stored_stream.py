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
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dask
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.results import plain
from ringwatch.agent.sources.chunks import (
    first_chunks,
    row_bytes,
    slice_rows,
    slices_ahead,
)
from ringwatch.agent.sources.frame_set import FrameSet, match_rows

__all__ = ["FrameSet", "StoredStream", "image_shape", "match_rows"]

HDF5 = "application/x-hdf5"
MOST_SMALL_ROWS = 512
"""Rows fetched at once of arrays that are no images; 64 MiB at most all the same."""

logger = logging.getLogger(__name__)


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
        # All in one answer: to ask for each costs a call a part.
        self._parts: dict[str, Any] = dict(self._base.items())
        self.images = [k for k, d in self.data_keys.items() if image_shape(d)]
        self._frames: dict[str, FrameSet] = {}  # each costs a call or two

    def events(self) -> list[dict[str, Any]]:
        """Rows of the event table in the order in which they were emitted.

        Rows of a point taken twice come twice. A row has ``seq_num``, ``time``, the
        scalars and their times as ``ts_...``.
        """
        if "internal" not in self._parts:
            return []
        with dask.config.set({"dataframe.convert-string": False}):
            # Left alone, dask makes text of cells that hold arrays: "[0.1 0.333]".
            table = self._parts["internal"].read()
        # A database need not keep the order of rows; time does, seq_num would not.
        table = table.sort_values("time", kind="stable")
        rows = plain(table.to_dict(orient="list"))
        return [
            dict(zip(rows, values, strict=True))
            for values in zip(*rows.values(), strict=True)
        ]

    def arrays(self) -> dict[str, Iterator[NDArray[np.generic]]]:
        """Arrays of events that are no images and too large for the table, by key.

        One row an event, in the order of the events. Asked for after the events, of
        which more may come meanwhile, each has its row: arrays are written first.
        """
        return {
            key: _rows(node)
            for key, node in self._base.items()
            if key not in {"internal", *self.images}
            and key in self.data_keys
            and "external" not in self.data_keys[key]
        }

    def frame_count(self, detector: str | None) -> int:
        """Frames of the detector as the catalogue counts them, 0 without any."""
        key = self._image_of(detector)
        frames = self.frames(key) if key else None
        return frames.rows * frames.per_row if frames else 0

    def _image_of(self, detector: str | None) -> str | None:
        """The image that an agent takes from this stream, if any."""
        if detector is None or detector in self.images:
            return detector or next(iter(self.images), None)
        owners = ((k, self.data_keys[k].get("object_name")) for k in self.images)
        return next((key for key, owner in owners if owner == detector), None)

    def frames(self, data_key: str) -> FrameSet | None:
        """The frames under ``data_key``, None if none was stored."""
        if data_key in self._parts and data_key not in self._frames:
            self._frames[data_key] = self._frame_set(data_key)
        return self._frames.get(data_key)

    def _frame_set(self, data_key: str) -> FrameSet:
        node, described = self._parts[data_key], self.data_keys[data_key]
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


def _rows(node: Any) -> Iterator[NDArray[np.generic]]:
    step = slice_rows(row_bytes(node), first_chunks(node), most=MOST_SMALL_ROWS)
    for block in slices_ahead(node, range(node.shape[0]), step):
        yield from block


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

"""One stream of a run that is still being written to Tiled: what is new in it.

Tiled keeps a table of events and an array of frames, and a writer fills the two one
after the other, in batches if it likes. So while a run goes on it cannot be told for
certain which frame belongs to which event: frames wait for their events, and what is
said of them is provisional until the stored run is replayed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.results import NamedDocument, plain
from ringwatch.agent.sources.frame_set import COUNTER_COLUMNS
from ringwatch.agent.sources.moments import RANGE, Moment
from ringwatch.agent.sources.stored_stream import FrameSet, StoredStream, match_rows

__all__ = ["GrowingStream"]

Document = dict[str, Any]
HOLD_S = 2.0
"""How long frames wait for events that the stream promises, seconds."""


class GrowingStream(StoredStream):
    """A stream of a run without a stop document; each look gives what is new.

    Frames in files that can be read here are announced by StreamDatum, whatever the
    style in which they were: what identifies a frame is the same. Others come through
    Tiled, inside events.

    Parameters
    ----------
    name : str
    client : BlueskyEventStream
        With data sources included.
    roots : DataRoots
    detector : str, optional
        As in ``Settings``: frames of other images are left out.
    """

    def __init__(
        self, name: str, client: Any, roots: DataRoots, detector: str | None
    ) -> None:
        super().__init__(name, client, roots)
        self.image = self._image_of(detector)
        self._table: Any = None
        self._descriptor: Document = {}
        self._as_files = False
        # What was handed on; a look that breaks off leaves these as they were.
        self._told: set[str] = set()  # resources
        self._events = self._rows = self._last_seq = 0
        self._surplus_since = math.inf

    def nodes(self) -> list[Any]:
        """Nodes of which notices are worth while."""
        if self.image is None:
            return []
        found = [self._base, self._table]
        if self._as_files and self.image in self._frames:
            # Pixels inside notices would be sent for nothing.
            found.append(self._frames[self.image].node)
        return [node for node in found if node is not None]

    def news(self, *, complete: bool) -> Iterator[Moment]:
        """What was not told yet, in order.

        A moment counts as told once the next one is asked for: who breaks off gets the
        rest next time.

        Parameters
        ----------
        complete : bool
            Whether the run has stopped, so that nothing is left to be waited for.

        Raises
        ------
        httpx.HTTPError, KeyError, ReplayError
            If the server or a file fails on the way.
        """
        if self.image is None:
            return
        if self._table is None or self.image not in self._parts:
            self._parts = dict(self._base.items())
        # Events first: the frame of each was written before, if one at a time.
        known, fresh = self._read_events()
        if self.image in self._parts:  # it may have grown since
            self._parts[self.image] = self._base[self.image]
        self._frames.pop(self.image, None)
        frames = self.frames(self.image)
        if frames is None and not complete:
            return
        if not self._descriptor:
            descriptor = self._described(frames)
            yield descriptor["time"], [("descriptor", descriptor)]
            self._descriptor = descriptor
        if frames is None:
            return
        yield from self._with_events(known, fresh, frames, complete=complete)
        if self._has_surplus(frames, complete=complete):
            yield from self._without_events(frames, time.time())

    def _with_events(
        self,
        known: list[Document],
        fresh: list[Document],
        frames: FrameSet,
        *,
        complete: bool,
    ) -> Iterator[Moment]:
        rows = self._match(known, frames)[len(known) - len(fresh) :]
        pixels = self._pixels(frames, max(rows, default=-1) + 1)
        for values, row in zip(fresh, rows, strict=False):
            if row >= frames.rows and not complete:
                return  # its frame is still to come
            event = self._event(values)
            documents: list[NamedDocument] = []
            for earlier in range(self._rows, min(row + 1, frames.rows)):
                passed = earlier < row
                if self._as_files:
                    if not passed or frames.announced_before_event:
                        seq = event["seq_num"]
                        documents += self._datum(frames, earlier, earlier + 1, seq)
                elif not passed:
                    self._put(event, pixels, row)
                elif frames.announced_before_event:
                    copy = self._event(values)
                    self._put(copy, pixels, earlier)
                    documents.append(("event", copy))
            yield values["time"], [*documents, ("event", event)]
            self._note(documents)
            self._events += 1
            self._rows = max(self._rows, min(row + 1, frames.rows))
            self._last_seq = event["seq_num"]
            self._surplus_since = math.inf

    def _without_events(self, frames: FrameSet, when: float) -> Iterator[Moment]:
        """Frames of a flight, or the last of a broken scan."""
        pixels = self._pixels(frames, frames.rows)
        while self._rows < frames.rows:
            first, seq = self._rows, self._last_seq + 1
            end = min(first + RANGE, frames.rows, self._file_of(frames, first)[2])
            if self._as_files:
                documents = self._datum(frames, first, end, seq)
            else:
                end = first + 1
                event = self._event({"seq_num": seq, "time": when})
                self._put(event, pixels, first)
                documents = [("event", event)]
            yield when, documents
            self._note(documents)
            self._rows, self._last_seq = end, seq + end - first - 1

    def _has_surplus(self, frames: FrameSet, *, complete: bool) -> bool:
        """Whether frames are there that need not, or no longer, wait for an event."""
        if not frames.announced_before_event or frames.rows <= self._rows:
            self._surplus_since = math.inf
            return False
        kinds = {key["dtype"] for key in self.data_keys.values()}
        if complete or not kinds & {"number", "integer"}:
            return True
        self._surplus_since = min(self._surplus_since, time.monotonic())
        return time.monotonic() - self._surplus_since > HOLD_S

    # What Tiled has.

    def _read_events(self) -> tuple[list[Document], list[Document]]:
        """Time and counter of every event, and all of those not told yet."""
        if self._table is None and "internal" in self._parts:
            self._table = self._parts["internal"]
        if self._table is None:
            return [], []
        with dask.config.set({"dataframe.convert-string": False}):
            table = self._table.read()
        table = table.sort_values("time", kind="stable")
        names = [
            name
            for name in table.columns
            if name == "time"
            or (name.endswith(COUNTER_COLUMNS) and not name.startswith("ts_"))
        ]
        fresh = table.iloc[self._events :]
        return (
            plain(table[names].to_dict(orient="records")),
            plain(fresh.to_dict(orient="records")),
        )

    def _match(self, known: list[Document], frames: FrameSet) -> list[int]:
        """Row of the frame of each event, as far as can be told so far."""
        if frames.files and known and len(known[0]) > 1:
            return match_rows(known, frames)
        return list(range(len(known)))

    def _pixels(
        self, frames: FrameSet, end: int
    ) -> Iterator[tuple[int, NDArray[np.generic]]]:
        """Rows from the first that was not told, with their pixels."""
        rows = range(self._rows, min(end, frames.rows))
        if self._as_files or not rows:
            return iter(())
        return zip(rows, frames.points(rows), strict=False)

    # Documents.

    def _described(self, frames: FrameSet | None) -> Document:
        """The descriptor, which says how the frames are announced here."""
        assert self.image is not None
        self._as_files = frames is not None and bool(frames.files)
        descriptor = self.descriptors[0]
        said = dict(descriptor["data_keys"][self.image])
        said.pop("external", None)
        if frames is not None and self._as_files:
            said |= {"external": "STREAM:", "shape": [frames.per_row, *frames.shape]}
        data_keys = descriptor["data_keys"] | {self.image: said}
        return descriptor | {"data_keys": data_keys}

    def _event(self, values: Document) -> Document:
        descriptor = self._descriptor
        data = {k: v for k, v in values.items() if k in descriptor["data_keys"]}
        when = values["time"]
        return {
            "uid": f"{descriptor['uid']}-{values['seq_num']}-{when}",
            "descriptor": descriptor["uid"],
            "seq_num": int(values["seq_num"]),
            "time": when,
            "data": data,
            "timestamps": {key: values.get(f"ts_{key}", when) for key in data},
            "filled": {},
        }

    def _put(
        self,
        event: Document,
        pixels: Iterator[tuple[int, NDArray[np.generic]]],
        wanted: int,
    ) -> None:
        """Put the pixels of a row into an event."""
        point = next((point for row, point in pixels if row == wanted), None)
        if point is not None:
            event["data"][self.image] = point
            event["timestamps"][self.image] = event["time"]

    def _datum(
        self, frames: FrameSet, first: int, end: int, seq: int
    ) -> list[NamedDocument]:
        """Announce rows of one file; the file as well where that is news."""
        file, offset, _ = self._file_of(frames, first)
        uid = f"{self._descriptor['uid']}-{frames.data_key}-{file}"
        resource = {
            "uid": uid,
            "run_start": self._descriptor["run_start"],
            "data_key": frames.data_key,
            "mimetype": "application/x-hdf5",
            "uri": frames.uris[file],
            "parameters": {"dataset": frames.dataset},
        }
        datum = {
            "uid": f"{uid}/{first}",
            "stream_resource": uid,
            "descriptor": self._descriptor["uid"],
            "indices": {"start": first - offset, "stop": end - offset},
            "seq_nums": {"start": seq, "stop": seq + end - first},
        }
        is_known = uid in self._told
        return ([] if is_known else [("stream_resource", resource)]) + [
            ("stream_datum", datum)
        ]

    def _file_of(self, frames: FrameSet, row: int) -> tuple[int, int, int]:
        """File of a row, the first row in it, and the first beyond it."""
        if len(frames.files) < 2:
            return 0, 0, 1 << 62
        ends = [*accumulate(frames.rows_per_file()[:-1]), 1 << 62]
        file = next(n for n, end in enumerate(ends) if row < end)
        return file, ends[file - 1] if file else 0, ends[file]

    def _note(self, documents: list[NamedDocument]) -> None:
        self._told |= {doc["uid"] for name, doc in documents if "resource" in name}

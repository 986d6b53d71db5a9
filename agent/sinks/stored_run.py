"""One derived run in Tiled, written so that every step may be repeated.

The layout is that of ``bluesky_tiled_plugins.TiledWriter`` (the tests compare the two),
which itself cannot serve here: it writes a batch only when it is full, so a slow scan
would show nothing, and after a failed call its state is unknown, so a server that was
away for a minute would cost the run. Here the place of every row is known: containers
that exist are opened, arrays are written at an explicit offset, and table rows that
may have arrived are looked up before they are sent again.
"""

from __future__ import annotations

import math
from typing import Any

from ringwatch.agent.results import plain
from ringwatch.agent.tiled_client import (
    RUN_SPEC,
    STREAM_SPECS,
    ClientError,
    find_or_create,
)

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx
import numpy as np
import pyarrow as pa
from bluesky_tiled_plugins.utils import truncate_json_overflow

__all__ = ["StoredRun"]

# As TiledWriter has it: smaller arrays are cells of the table, larger ones zarr.
MAX_CELL = 16
MOST_TRIES = 5
VERDICT = (
    "raw_data_key", "raw_index", "revision", "final", "verdict", "primary_flag", "label"
)  # fmt: skip
CELL_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}


class StoredRun:
    """A derived run as a container of a Tiled catalogue.

    Parameters
    ----------
    catalogue : tiled container
        Where the run goes.
    start : dict
        Its start document.
    """

    def __init__(self, catalogue: Any, start: dict[str, Any]) -> None:
        self.uid = str(start["uid"])
        self._node = find_or_create(
            catalogue,
            start["uid"],
            specs=[RUN_SPEC],
            metadata={"start": truncate_json_overflow(plain(start))},
        )
        self._streams: dict[str, _Stream] = {}  # by descriptor uid

    def add_stream(self, descriptor: dict[str, Any]) -> None:
        """Make the container of a stream, or open it where it is there already."""
        for stream in self._streams.values():
            if stream.name == descriptor["name"]:  # described once more
                self._streams[descriptor["uid"]] = stream
                return
        self._streams[descriptor["uid"]] = _Stream(self._node, descriptor)

    def append(self, events: list[dict[str, Any]]) -> None:
        """Append events of one descriptor; repeat the call if it fails.

        Those that are there already, from this process or another, are left out.
        """
        self._streams[events[0]["descriptor"]].append(events)

    def count(self) -> int:
        """Events that a reader sees, each counted once."""
        return sum(len(set(s.stored())) for s in set(self._streams.values()))

    def verdicts(self) -> dict[str, tuple[int, list[dict[str, Any]]]]:
        """What is there of each stream, whoever wrote it.

        Returns
        -------
        dict of str to (int, list of dict)
            By stream: the number of the event that comes next; of each event what says
            which frame it is about, and what its verdict is.
        """
        return {name: _verdicts_of(self._node[name].base) for name in self._node}

    @property
    def doubled(self) -> bool:
        """Whether at the last look a reader saw an event twice.

        Rows that were given up when a server did not answer can still arrive, later
        than their second copy; Tiled cannot refuse them.
        """
        return any(stream.doubled for stream in self._streams.values())

    def drop_doubled(self) -> None:
        """Remove the rows of streams that hold some twice; append all of them again."""
        for stream in set(self._streams.values()):
            if stream.doubled:
                stream.drop()

    def stop(self, document: dict[str, Any]) -> None:
        """Store the stop document."""
        metadata = {"stop": truncate_json_overflow(plain(document))}
        self._node.update_metadata(metadata=metadata, drop_revision=True)


class _Stream:
    def __init__(self, run: Any, descriptor: dict[str, Any]) -> None:
        described = {
            key: plain(value)
            for key, value in descriptor.items()
            if key not in {"name", "object_keys", "run_start"}
        }
        self.name = str(descriptor["name"])
        self._keys: dict[str, dict[str, Any]] = described["data_keys"]
        for name, keys in descriptor.get("object_keys", {}).items():
            for key in keys:
                self._keys[key]["object_name"] = name
        self._node = find_or_create(
            run,
            descriptor["name"],
            specs=STREAM_SPECS,
            metadata=truncate_json_overflow(described),
        ).base
        self._large = [
            k for k, d in self._keys.items() if math.prod(d["shape"]) > MAX_CELL
        ]
        self._small = [k for k in self._keys if k not in self._large]
        self._table: Any = None
        self._arrays: dict[str, Any] = {}
        self._rows = 0  # that a reader sees
        self._doubt = False  # whether rows may have arrived unacknowledged
        self.doubled = False  # whether rows were seen twice at the last look

    def stored(self) -> list[int]:
        """Numbers of the events in the table, in its order."""
        if self._table is None:
            try:
                self._table = self._node["internal"]
            except KeyError:
                return []
            self._doubt = True
        stored = [int(n) for n in self._table.read(["seq_num"])["seq_num"]]
        self.doubled = len(set(stored)) < len(stored)
        return stored

    def append(self, events: list[dict[str, Any]]) -> None:
        if self._table is None:
            self._find_or_create_table()
        if self._doubt:
            stored = self.stored()
            self._rows = len(set(stored))
            events = _without(events, stored)
        if not events:
            self._doubt = False
            return
        # Before the rows: who sees a row finds its pattern. An array's place is that of
        # its row in the table, whatever the numbers of the events.
        self._doubt = True
        for key in self._large:
            rows = np.array([event["data"][key] for event in events])
            self._write_array(key, rows.astype(self._keys[key]["dtype_numpy"]))
        self._write_rows(events)
        self._rows += len(events)
        self._doubt = False

    def drop(self) -> None:
        """Remove the table, so that all events are written anew."""
        self._node.delete_contents("internal", external_only=False)
        self._table, self._rows, self.doubled = None, 0, False

    def _write_array(self, key: str, rows: np.ndarray[Any, Any]) -> None:
        if key not in self._arrays:
            # The chunk along time is the first batch, as TiledWriter has it.
            try:
                self._arrays[key] = self._node.write_array(
                    rows,
                    key=key,
                    metadata=self._keys[key],
                    dims=("time", *self._dims(key, rows.ndim - 1)),
                )
                return
            except ClientError as error:
                if error.response.status_code != httpx.codes.CONFLICT:
                    raise
                self._arrays[key] = self._node[key]
        self._arrays[key].patch(rows, offset=(self._rows,), extend=True)

    def _dims(self, key: str, ndim: int) -> list[str]:
        return self._keys[key].get("dims") or [f"{key}_{i}" for i in range(ndim)]

    def _write_rows(self, events: list[dict[str, Any]]) -> None:
        """Append rows until a reader sees each of them.

        A server may acknowledge rows and lose them: with DuckDB as its table storage
        all requests of Tiled 0.2 share one connection, and one that ends rolls back
        what another has not committed yet.
        """
        schema = self._schema()
        missing = events
        for _ in range(MOST_TRIES):
            table = pa.Table.from_pylist([self._row(e) for e in missing], schema=schema)
            self._table.append_partition(0, table)
            missing = _without(events, self.stored())
            if not missing:
                return
        raise RuntimeError(
            f"the server acknowledges rows but does not keep them: "
            f"{len(missing)} of {len(events)} are missing"
        )

    def _find_or_create_table(self) -> None:
        metadata = {key: self._keys[key] for key in self._small}
        try:
            self._table = self._node.create_appendable_table(
                schema=self._schema(), key="internal", metadata=metadata
            )
        except ClientError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
            self._table = self._node["internal"]
            self._doubt = True

    def _row(self, event: dict[str, Any]) -> dict[str, Any]:
        row = {"seq_num": event["seq_num"], "time": event["time"]}
        row |= {key: plain(event["data"][key]) for key in self._small}
        return row | {f"ts_{key}": ts for key, ts in event["timestamps"].items()}

    def _schema(self) -> pa.Schema:
        columns = {"seq_num": pa.int64(), "time": pa.float64()}
        for key in self._small:
            columns[key] = _cell_type(self._keys[key])
        return pa.schema(columns | {f"ts_{key}": pa.float64() for key in self._keys})


def _verdicts_of(node: Any) -> tuple[int, list[dict[str, Any]]]:
    try:
        table = node["internal"].read()
    except KeyError:  # killed between stream and table
        return 1, []
    following = max((int(n) + 1 for n in table["seq_num"]), default=1)
    if not {"final", "raw_data_key", "raw_index"} <= set(table.columns):
        return following, []
    told = table.drop_duplicates("seq_num").sort_values("seq_num")
    columns = [name for name in VERDICT if name in told.columns]
    return following, told[columns].to_dict("records")


def _without(events: list[dict[str, Any]], stored: list[int]) -> list[dict[str, Any]]:
    """Events that are not stored yet."""
    known = set(stored)
    return [event for event in events if event["seq_num"] not in known]


def _cell_type(data_key: dict[str, Any]) -> pa.DataType:
    if not data_key["shape"]:
        return CELL_TYPES[data_key["dtype"]]
    return pa.list_(pa.from_numpy_dtype(np.dtype(data_key["dtype_numpy"])))

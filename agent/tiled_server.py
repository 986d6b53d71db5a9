"""The process of an embedded Tiled server: ``python -m ringwatch.agent.tiled_server``.

Takes its orders as one line of JSON on stdin and the API key from the environment,
answers ``port N``, and serves until stdin ends, so that no server outlives who started
it: also where stdin ends while it starts. Not meant to be started by hand: see
``ringwatch.agent.embedded_tiled``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy.pool
import tiled.adapters.zarr
import tiled.catalog
from tiled.commandline._catalog import init
from tiled.media_type_registration import default_serialization_registry
from tiled.server import SimpleTiledServer
from tiled.storage import EmbeddedSQLStorage

__all__ = ["serve"]

_EXPORTERS = "bluesky_tiled_plugins.exporters"
_GRACE_S = 15.0
"""To close in once stdin has ended; less than who started us waits."""


def _share_no_connection() -> None:
    """One request at a time on the connection to DuckDB.

    Tiled 0.2 hands the one connection to all threads at once (a StaticPool): a request
    that ends rolls back the rows that another has not committed, and two writers at
    once crash the process. A pool of one makes them wait for each other.
    """

    def pool(storage: EmbeddedSQLStorage) -> sqlalchemy.pool.Pool:
        return sqlalchemy.pool.QueuePool(
            storage.create_adbc_connection, pool_size=1, max_overflow=0, timeout=60
        )

    attribute = functools.cached_property(pool)
    attribute.__set_name__(EmbeddedSQLStorage, "_connection_pool")
    EmbeddedSQLStorage._connection_pool = attribute


def _write_over_orphans() -> None:
    """Arrays whose server was killed before it noted them stand in nobody's way.

    Their folder is there and their node is not: Tiled would answer 500 to whoever sends
    them again, for ever. A node is in the database before its folder is made, so what
    has none is nobody's.
    """
    create = tiled.adapters.zarr.create_array
    tiled.adapters.zarr.create_array = functools.partial(create, overwrite=True)


def _initialize_here() -> None:
    """Make the tables of a new catalogue in this process.

    Tiled starts another Python for that, which takes as long as all the rest, because
    it cannot know whether threads run already. Here none does.
    """
    from_uri = tiled.catalog.from_uri

    def initialized(uri: Any, *, init_if_not_exists: bool, **options: Any) -> Any:
        if init_if_not_exists:
            init(str(uri), if_not_exists=True)
        return from_uri(uri, **options)

    tiled.catalog.from_uri = initialized


async def _documents(
    mimetype: str, adapter: Any, metadata: Any, filter_for_access: Any
) -> AsyncIterator[str]:
    """``bluesky_tiled_plugins.exporters.json_seq_exporter``, loaded when it is wanted.

    With it comes Tiled's whole client, xarray and dask: three quarters of the time in
    which a server would start. Others are served meanwhile.
    """
    exporters = await asyncio.to_thread(importlib.import_module, _EXPORTERS)
    export = exporters.json_seq_exporter
    async for line in export(mimetype, adapter, metadata, filter_for_access):
        yield line


def _watch(up: threading.Event, left: threading.Event) -> None:
    """Note that stdin has ended; end the process where nothing else does.

    ``os._exit``: the server's own thread, and one that hangs, keep Python running.
    """
    # Not through sys.stdin: Python cannot end while a thread is within its buffer.
    while os.read(0, 4096):
        pass
    left.set()
    if up.is_set():
        time.sleep(_GRACE_S)
    os._exit(1)


def _order() -> Any:
    """The line of JSON; None where stdin ended before it was whole.

    Read byte by byte: what is buffered would be lost to who watches for the end.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        if not (byte := os.read(0, 1)):
            return None
        line += byte
    return json.loads(line)


def serve() -> None:
    """Serve until stdin ends."""
    if (order := _order()) is None:
        return
    up, left = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(up, left), daemon=True).start()
    # Before the server is made: otherwise `run.documents()` answers 406.
    default_serialization_registry.register(
        "BlueskyRun", "application/json-seq", _documents
    )
    _share_no_connection()
    _write_over_orphans()
    _initialize_here()
    server = SimpleTiledServer(
        directory=order["directory"],
        api_key=os.environ["TILED_EMBEDDED_KEY"],
        port=order["port"],
        readable_storage=order["readable_storage"],
    )
    if not order["streams"]:
        # A server as most still are: notices are neither kept nor sent.
        server.catalog.context.streaming_cache = None
    up.set()
    with contextlib.suppress(BrokenPipeError):  # who started us has gone: it is left
        os.write(1, f"port {server.port}\n".encode())
    left.wait()
    server.close()


if __name__ == "__main__":
    serve()

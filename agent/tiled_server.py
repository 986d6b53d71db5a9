"""The process of an embedded Tiled server: ``python -m ringwatch.agent.tiled_server``.

Takes its orders as one line of JSON on stdin and the API key from the environment,
answers ``port N``, and serves until stdin ends, so that no server outlives who started
it. Not meant to be started by hand: see ``ringwatch.agent.embedded_tiled``.
"""

from __future__ import annotations

import functools
import json
import os
import sys

import sqlalchemy.pool
from bluesky_tiled_plugins.exporters import json_seq_exporter
from tiled.media_type_registration import default_serialization_registry
from tiled.server import SimpleTiledServer
from tiled.storage import EmbeddedSQLStorage

__all__ = ["serve"]


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


def serve() -> None:
    """Serve until stdin ends."""
    order = json.loads(sys.stdin.readline())
    # Before the server is made: otherwise `run.documents()` answers 406.
    default_serialization_registry.register(
        "BlueskyRun", "application/json-seq", json_seq_exporter
    )
    _share_no_connection()
    server = SimpleTiledServer(
        directory=order["directory"],
        api_key=os.environ["TILED_EMBEDDED_KEY"],
        port=order["port"],
        readable_storage=order["readable_storage"],
    )
    if not order["streams"]:
        # A server as most still are: notices are neither kept nor sent.
        server.catalog.context.streaming_cache = None
    print(f"port {server.port}", flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    serve()

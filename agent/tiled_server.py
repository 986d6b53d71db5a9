"""The process of an embedded Tiled server: ``python -m ringwatch.agent.tiled_server``.

Takes its orders as one line of JSON on stdin and the API key from the environment,
answers ``port N``, and serves until stdin ends, so that no server outlives who started
it. Not meant to be started by hand: see ``ringwatch.agent.embedded_tiled``.
"""

from __future__ import annotations

import json
import os
import sys

from bluesky_tiled_plugins.exporters import json_seq_exporter
from tiled.media_type_registration import default_serialization_registry
from tiled.server import SimpleTiledServer

__all__ = ["serve"]


def serve() -> None:
    """Serve until stdin ends."""
    order = json.loads(sys.stdin.readline())
    # Before the server is made: otherwise `run.documents()` answers 406.
    default_serialization_registry.register(
        "BlueskyRun", "application/json-seq", json_seq_exporter
    )
    server = SimpleTiledServer(
        directory=order["directory"],
        api_key=os.environ["TILED_EMBEDDED_KEY"],
        port=order["port"],
        readable_storage=order["readable_storage"],
    )
    print(f"port {server.port}", flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    serve()

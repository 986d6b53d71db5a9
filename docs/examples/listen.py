"""Print a line for every verdict that an agent publishes.

    python listen.py 127.0.0.1:5578

Needs bluesky and msgpack, and nothing of Ringwatch.
"""

import sys

import msgpack
from bluesky.callbacks.zmq import RemoteDispatcher


def show(name, doc):
    """Print the verdict in an event."""
    data = doc["data"]
    print(data["raw_index"], data["verdict"], data["label"], data["reason"], flush=True)


if __name__ == "__main__":
    dispatcher = RemoteDispatcher(sys.argv[1], deserializer=msgpack.unpackb)
    dispatcher.subscribe(show, "event")
    dispatcher.start()  # until Ctrl-C

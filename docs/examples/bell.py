"""Ring a bell when an alarm begins: once per cause and run.

    python bell.py 127.0.0.1:5578
    python bell.py 127.0.0.1:5578 mail -s "Ringwatch" hutch@example.org

Rings the terminal's bell; a command that is given gets the message on its standard
input. Needs bluesky and msgpack, and nothing of Ringwatch.
"""

import subprocess
import sys

import msgpack
from bluesky.callbacks.zmq import RemoteDispatcher


class Bell:
    """Rings on ``alarm_new``, and when the agent itself is in trouble."""

    def __init__(self, command=()):
        self.command = list(command)
        self.runs = {}  # descriptor: start document of its run
        self.starts = {}

    def __call__(self, name, doc):
        """Take one document."""
        if name == "start":
            self.starts[doc["uid"]] = doc
            if doc.get("purpose") == "alarm of the agent":  # a full disk, no Tiled
                self.ring(f"the agent: {doc['reason']}")
        elif name == "descriptor":
            self.runs[doc["uid"]] = self.starts.get(doc["run_start"], {})
        elif name == "event" and doc["data"]["alarm_new"]:
            scan = self.runs.get(doc["descriptor"], {}).get("scan_id", "?")
            data = doc["data"]
            self.ring(f"scan {scan}, frame {data['raw_index']}: {data['reason']}")

    def ring(self, message):
        """Tell people."""
        print(f"\a{message}", flush=True)
        if self.command:
            subprocess.run(self.command, input=message, text=True, check=False)


if __name__ == "__main__":
    dispatcher = RemoteDispatcher(sys.argv[1], deserializer=msgpack.unpackb)
    dispatcher.subscribe(Bell(sys.argv[2:]))
    dispatcher.start()  # until Ctrl-C

"""From a document to a published verdict: `python benchmarks/end_to_end.py`.

Frames of CeO2 in an HDF5 file, bitshuffle-LZ4, one a chunk, as detectors write them,
and the documents of a step scan of them (StreamResource, a StreamDatum and an event a
frame), made by event-model. Four callbacks take the same documents in this process, in
turns, and each publishes on 0MQ; a subscriber on the loopback counts, and the clock
stops when it has a message for each frame and the end of the run:

- ours: `Agent`, with cake, second look, all flags and the shipped network;
- naive: h5py, pyFAI's `integrate1d_ng` as most people call it (bbox-csr), the same
  network in eager torch;
- best pyFAI: h5py, its fastest engine (no-csc), the network in ONNX Runtime;
- floor: h5py, a sum over the pixels and their index, the network on a fixed pattern.

One thread a worker. Median of the rounds, milliseconds a frame. No peer looks at a
single flag, and all have as many bins as the agent takes by itself. "same label" is the
share of frames to which a peer gives our label.

For example: `python benchmarks/end_to_end.py --mpx 1 4 --frames 40 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    COUNT,
    MPX,
    REPEATS,
    SILENT,
    Parser,
    Steps,
    await_ready,
    end_in_one_line,
    steps,
    whole,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy, torch and pyFAI read once.
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ringwatch.agent import Agent
from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.agent.wire.messages import decode
from ringwatch.benchmarks.frame_file import DATA_KEY, FrameFile
from ringwatch.benchmarks.listener import subscribe
from ringwatch.benchmarks.peer_callbacks import BEST, FLOOR, NAIVE, callbacks
from ringwatch.benchmarks.peers import (
    POLARIZATION,
    edge_of,
    median_ms,
    ratio,
    show_json,
    show_table,
    take_turns,
)
from ringwatch.benchmarks.speed_lines import held

Taker = Callable[[str, dict[str, Any]], None]
"""A Bluesky callback."""

OURS = "ours"
_PATIENCE_S = 120.0
_ASKED = (
    "Asked of ours: at 1 Mpx at least 6 times faster than naive and 2 times than best "
    "pyFAI; at 4 Mpx 8 and 3 times."
)


class Subscriber:
    """Listens on the loopback and keeps the messages of one round."""

    def __init__(self, sink: ZmqSink) -> None:
        self._socket = subscribe(sink.address)
        if not sink.wait_for_subscriber(10.0):
            raise SystemExit(f"nobody can subscribe to {sink.address}")

    def take(self) -> list[bytes]:
        """Wait for the end of the run; gives the messages of its verdicts, packed."""
        messages: list[bytes] = []
        while self._socket.poll(int(_PATIENCE_S * 1e3)):
            message = self._socket.recv()
            name = message.split(b" ", 2)[1]
            if name == b"stop":
                return messages
            if name == b"event":
                messages.append(message)
        raise SystemExit(f"a run of {len(messages)} verdicts did not end")

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()


def measure(
    edge: int,
    folder: Path,
    *,
    frames: int = 100,
    repeats: int = 5,
    bins: int | None = None,
    told: Steps = SILENT,
) -> list[dict[str, Any]]:
    """All ways over one file, in turns, each round a scan of its own.

    Parameters
    ----------
    edge : int
        Of the square frames, pixels.
    folder : Path
        For the file; ``frames * edge**2 * 2`` bytes at most.
    frames : int
        Of a scan.
    repeats : int
        Rounds.
    bins : int, optional
        Of q; by default as many as the agent takes, about one a pixel of radius.
    told : Steps
        Where it is said what begins.

    Returns
    -------
    list of dict
        One row a way: milliseconds a frame, ratios, verdicts counted.
    """
    torch.set_num_threads(1)
    size = f"{edge**2 / 2**20:g} Mpx"
    told.begin(f"{size}: {frames} frames are drawn, the agent starts")
    store = FrameFile.write(folder, edge, frames)
    sink = ZmqSink("tcp://127.0.0.1:0", limit=4 * frames + 100)
    agent = Agent(
        poni=store.poni,
        mask=store.mask,
        detector=DATA_KEY,
        npt=bins,
        polarization=POLARIZATION,
        classifier="onnx",
        sinks=(sink,),
    )
    subscriber = Subscriber(sink)
    heard: dict[str, list[bytes]] = {}
    try:
        await_ready(agent)
        q = agent.analysis.bins((edge, edge))
        assert q is not None
        peers = callbacks(store, sink, q.size)
        takers: dict[str, Taker] = {OURS: agent.feed, **peers}
        ways = {
            way: _scans(store, repeats, way, take, subscriber, heard)
            for way, take in takers.items()
        }
        told.begin(f"{size}: four ways, a round to warm up and {repeats}")
        taken = take_turns(ways, repeats)
    finally:
        agent.close()
        subscriber.close()
    return [_row(way, taken, heard, store) | {"bins": q.size} for way in taken]


def _scans(
    store: FrameFile,
    repeats: int,
    way: str,
    take: Taker,
    subscriber: Subscriber,
    heard: dict[str, list[bytes]],
) -> Callable[[int], object]:
    """What feeds one way with a scan a round; the documents are made beforehand."""
    ready = [store.documents() for _ in range(repeats + 1)]  # one to warm up

    def scan(turn: int) -> None:
        for name, doc in ready.pop():
            take(name, doc)
        heard[way] = subscriber.take()

    return scan


def _row(
    way: str,
    taken: dict[str, list[float]],
    heard: dict[str, list[bytes]],
    store: FrameFile,
) -> dict[str, Any]:
    labels = {w: [decode(m).doc["data"]["label"] for m in heard[w]] for w in heard}
    same = [a == b for a, b in zip(labels[OURS], labels[way], strict=False)]
    return {
        "mpx": store.edge**2 / 2**20,
        "way": way,
        "ms": median_ms(taken[way], store.frames),
        "fastest_ms": min(taken[way]) / store.frames * 1e3,
        "faster_than_naive": ratio(taken[NAIVE], taken[way]),
        "faster_than_best_pyfai": ratio(taken[BEST], taken[way]),
        "times_the_floor": ratio(taken[way], taken[FLOOR]),
        "frames": store.frames,
        "verdicts": len(heard[way]),
        "same_label": None if way == FLOOR else sum(same) / store.frames,
    }


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.option("--mpx", MPX, [1.0, 4.0], "sizes of frames, 2^20 pixels")
    parser.option("--frames", COUNT, 100, "of a scan")
    parser.option("--repeats", REPEATS, 5, "rounds")
    parser.option("--bins", whole(64, 2047), None, "of q (about one a pixel of radius)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    each = {key: getattr(options, key) for key in ("frames", "repeats", "bins")}
    with steps("end to end", 2 * len(options.mpx)) as told:
        for mpx in options.mpx:
            with tempfile.TemporaryDirectory(prefix="ringwatch-end-to-end-") as folder:
                rows += measure(edge_of(mpx), Path(folder), **each, told=told)
    if options.json:
        show_json(rows)
    else:
        asked = held("end_to_end", rows, _ASKED)
        show_table(rows, "From a document to a published verdict, ms a frame", asked)


if __name__ == "__main__":
    main()

"""From a document to its 0MQ message at 20 frames/s: `python benchmarks/latency.py`.

Frames of CeO2 stand in an HDF5 file, bitshuffle-LZ4, before the clock starts. Their
documents (a StreamDatum and an event a frame) are handed to the agent by the clock, 20
a second. The agent has all flags, the shipped network, 0MQ, and a real Tiled server, in
a process of its own, that stores every verdict. A subscriber in another process notes
when the first message of each frame arrives. Latency is from the call with the
StreamDatum to that moment; the first frames of a run count like all others.

Three runs and their medians, milliseconds. "late ms" is how far behind the clock the
slowest document was handed over: much of that, and the machine was too busy to measure.
"stored" counts the final verdicts that a reader finds in Tiled afterwards. At a rate
that the agent cannot follow the command says so and ends: no latency is true there.

There is no peer (nobody publishes such a figure) and no floor but "min ms": a frame
that met nothing in its way.

For example: `python benchmarks/latency.py --frames 100 --mpx 1 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    MPX,
    SILENT,
    Number,
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

# After the environment is set, which numpy and pyFAI read once.
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tiled.queries import Key

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.benchmarks.frame_file import DATA_KEY, FrameFile
from ringwatch.benchmarks.listener import Listener
from ringwatch.benchmarks.peers import (
    POLARIZATION,
    edge_of,
    show_json,
    show_table,
)
from ringwatch.benchmarks.speed_lines import held

RUNS = 3
RATE = 20.0
_WARM = 8  # frames of a run before, which does not count: it loads compiled code
_PATIENCE_S = 120.0
_MOST_WAITING, _MOST_WAITING_S = 15, 0.2
"""More frames in the queue than both: it will only grow."""
_ASKED = (
    "Asked at 20 frames/s of 1 Mpx, Tiled on: p50 at most 15 ms, p99 at most 60 ms, "
    "median of three runs."
)


def _wait_for(listener: Listener, sink: ZmqSink) -> None:
    while not sink.wait_for_subscriber(0.5):
        if not listener.alive:
            raise SystemExit(f"the subscriber of {sink.address} died: see above")


def measure(
    edge: int,
    folder: Path,
    *,
    frames: int = 300,
    runs: int = RUNS,
    rate: float = RATE,
    told: Steps = SILENT,
) -> list[dict[str, Any]]:
    """Runs at a steady pace; see the module.

    Parameters
    ----------
    edge : int
        Of the square frames, pixels.
    folder : Path
        For the frames and the Tiled server.
    frames : int
        Of a run.
    runs : int
        How many.
    rate : float
        Frames a second.
    told : Steps
        Where it is said what begins: two steps and one a run.

    Returns
    -------
    list of dict
        One row a run, and a last one with the medians of all columns.

    Raises
    ------
    SystemExit
        If the agent cannot keep up with the rate, or frames get no message.
    """
    told.begin(f"{frames} frames are drawn; Tiled, subscriber and agent start")
    store = FrameFile.write(folder, edge, frames)
    sink = ZmqSink("tcp://127.0.0.1:0", limit=4 * frames + 100)
    try:
        with (
            EmbeddedTiled(folder / "tiled") as tiled,
            Listener(sink.address) as listener,
        ):
            _wait_for(listener, sink)
            agent = Agent(
                poni=store.poni,
                mask=store.mask,
                detector=DATA_KEY,
                polarization=POLARIZATION,
                classifier="onnx",
                sinks=(sink,),
                tiled=tiled.uri,
                api_key=tiled.api_key,
            )
            try:
                await_ready(agent)
                told.begin(f"{_WARM} frames that do not count")
                warm = FrameFile.write(_made(folder / "warm"), edge, _WARM)
                _paced(agent, warm, listener, rate)
                rows = []
                for run in range(1, runs + 1):
                    told.begin(f"run {run}: {frames / rate:.0f} s by the clock")
                    found = _paced(agent, store, listener, rate)
                    agent.wait_idle(_PATIENCE_S)
                    stored = _stored(tiled, found.pop("uid"))
                    rows.append({"run": str(run)} | found | {"stored": stored})
            finally:
                agent.close()
    finally:
        sink.close(1.0)
    median = {
        key: statistics.median(row[key] for row in rows) for key in list(rows[0])[1:]
    }
    return [
        {"mpx": edge**2 / 2**20, "rate": rate} | row
        for row in [*rows, {"run": "median"} | median]
    ]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _paced(
    agent: Agent, store: FrameFile, listener: Listener, rate: float
) -> dict[str, Any]:
    """One run by the clock: its uid and figures."""
    documents = store.documents()
    handed: list[float] = []
    late: list[float] = []
    before, began = agent.counters.analysed, time.perf_counter()
    for name, doc in documents:
        if name == "stream_datum":
            due = began + (len(handed) + 1) / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            handed.append(time.perf_counter())
            late.append(handed[-1] - due)
            done = agent.counters.analysed - before
            if len(handed) - done > max(_MOST_WAITING, rate * _MOST_WAITING_S):
                raise SystemExit(
                    f"cannot keep up with {rate:g} frames/s, the queue grows: of "
                    f"{len(handed)} frames {len(handed) - done} wait; what rate is "
                    "followed here, python benchmarks/end_to_end.py says"
                )
        agent(name, doc)
    try:
        came = listener.take(_PATIENCE_S)
    except TimeoutError as error:
        raise SystemExit(f"{error}: is the machine overloaded?") from error
    if missing := set(range(store.frames)) - set(came):
        raise SystemExit(f"{len(missing)} of {store.frames} frames got no message")
    took = np.array([came[i] - handed[i] for i in range(store.frames)]) * 1e3
    return {
        "uid": _uid(documents),
        "frames": store.frames,
        "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)),
        "max_ms": float(took.max()),
        "min_ms": float(took.min()),
        "late_ms": max(late) * 1e3,
    }


def _uid(documents: list[NamedDocument]) -> str:
    return str(documents[0][1]["uid"])


def _stored(tiled: EmbeddedTiled, uid: str) -> int:
    """Final verdicts of a raw run that a reader finds in Tiled."""
    derived = tiled.catalog("analysis").search(Key("raw_uid") == uid).values()
    return sum(
        int(np.sum(run[stream]["final"].read())) for run in derived for stream in run
    )


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.option("--mpx", MPX, 1.0, "2^20 pixels")
    parser.option("--frames", whole(20, 100_000), 300, "of a run")
    parser.option("--rate", Number(least=0.1, most=1000), RATE, "frames a second")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with (
        steps("latency", 2 + RUNS) as told,
        tempfile.TemporaryDirectory(prefix="ringwatch-latency-") as folder,
    ):
        each = {"frames": options.frames, "rate": options.rate}
        rows = measure(edge_of(options.mpx), Path(folder), **each, told=told)
    if options.json:
        show_json(rows)
    else:
        asked = held("latency", rows, _ASKED)
        show_table(rows, f"From a document to 0MQ at {options.rate:g} frames/s", asked)


if __name__ == "__main__":
    main()

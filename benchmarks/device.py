"""Frames a second on a GPU, each classified: `python benchmarks/device.py`.

Frames of CeO2, uint16, go in batches through a line of three threads: transfer to the
device, sums there and back (`DeviceSummation`); cake and pattern of each frame on the
host, on `--threads` threads; the shipped network over the patterns of a batch, on the
device. All three work at the same time on batches that follow each other. Ways:

- decoded: the frames lie in (pinned) memory, where a receiver would have put them;
- bslz4: the frames are unpacked into it first, on the same threads.

Frames a second over the whole line, milliseconds a frame that each stage was busy, and
its share of all. Stages wait for the device to end, so that the times are their own.
"sums equal" compares every sum with the CPU's, "apart" the probabilities of all classes
with those of ONNX Runtime.

For example: `python benchmarks/device.py --device cuda --mpx 1 4 --json`. Without a GPU
`--device cpu` runs the same line, which says nothing of how fast a GPU is.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    COUNT,
    MPX,
    REPEATS,
    Parser,
    end_in_one_line,
    steps,
    whole,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and torch read once.
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import torch

from ringwatch.agent.device_sums import find_device
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.files.unpack import Unpack, unpacker_of
from ringwatch.benchmarks.device_line import DISTINCT, STAGES, Line
from ringwatch.benchmarks.frame_file import FrameFile
from ringwatch.benchmarks.peers import (
    BINS,
    edge_of,
    show_json,
    show_table,
)

DECODED, PACKED, ALL = "decoded", "bslz4", "all"
_ASKED = "Asked of an H200: at least 1,500 frames/s of 4 Mpx"
_ASKED_FPS = 1500


def packed(edge: int, folder: Path) -> tuple[list[bytes], Unpack] | None:
    """Chunks of frames and what unpacks them; None without a decoder."""
    store = FrameFile.write(folder, edge, DISTINCT)
    with h5py.File(store.path, "r") as file:
        data = file["data"]
        unpack = unpacker_of(data)
        if unpack is None:
            return None
        rows = range(DISTINCT)
        return [data.id.read_direct_chunk((row, 0, 0))[1] for row in rows], unpack


def measure(
    edge: int,
    folder: Path,
    *,
    device: str,
    batch: int = 16,
    batches: int = 40,
    repeats: int = 5,
    threads: int = 1,
    bins: int = BINS,
) -> list[dict[str, Any]]:
    """One row a way and stage; each round sends all batches down the line.

    Parameters
    ----------
    edge : int
        Of the square frames, pixels.
    folder : Path
        For a file of eight frames.
    device : str
        As torch names it.
    batch, batches, repeats : int
        Frames of a batch, batches of a round, rounds (and one to warm up).
    threads : int
        On the host, for what is done frame by frame.
    bins : int
        Of q.
    """
    line = Line(edge, device, batch, threads, bins)
    mpx, rows = edge**2 / 2**20, list[dict[str, Any]]()
    try:
        equal, apart = line.check()
        ways: dict[str, tuple[list[bytes], Unpack] | None] = {DECODED: None}
        found = packed(edge, folder)
        if found is not None:
            ways[PACKED] = found
        for way, source in ways.items():
            line.run(2, source)
            line.busy = dict.fromkeys(STAGES, 0.0)
            taken, said = [], 0
            for _ in range(repeats):
                began = time.perf_counter()
                said += len(line.run(batches, source))
                taken.append(time.perf_counter() - began)
            frames = batch * batches
            rows += [
                {"mpx": mpx, "way": way} | row
                for row in _stages(line, frames * repeats)
            ]
            rows.append(
                dict.fromkeys(rows[-1])
                | {
                    "mpx": mpx,
                    "way": way,
                    "stage": ALL,
                    "frames_a_second": frames / statistics.median(taken),
                    "classified": said / (frames * repeats),
                }
            )
    finally:
        line.close()
    same = {
        "sums_equal": equal,
        "apart": apart,
        "batch": batch,
        "threads": threads,
        "device": _name_of(device),
    }
    return [row | same for row in rows]


def _stages(line: Line, frames: int) -> list[dict[str, Any]]:
    """How long each stage was busy with a frame, and its share of all."""
    every = sum(line.busy.values())
    return [
        {
            "stage": stage,
            "ms_a_frame": busy / frames * 1e3,
            "share": busy / every,
            "frames_a_second": None,
            "classified": None,
        }
        for stage, busy in line.busy.items()
    ]


def _name_of(device: str) -> str:
    place = torch.device(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else str(place)


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--device", default="cuda", help="torch's name of the GPU (cuda), or cpu"
    )
    parser.option("--mpx", MPX, [1.0, 4.0], "sizes of frames, 2^20 pixels")
    parser.option("--batch", whole(1, 1024), 16, "frames of a batch")
    parser.option("--batches", COUNT, 40, "batches of a round")
    parser.option("--repeats", REPEATS, 5, "rounds")
    cores = max(1, (os.cpu_count() or 2) - 2)
    parser.option("--threads", whole(1, 1024), cores, "on the host")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        find_device(options.device)
    except SettingsError as error:
        parser.error(f"{error} (here: --device cpu)")
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    each = {
        key: getattr(options, key)
        for key in ("device", "batch", "batches", "repeats", "threads")
    }
    with steps("device", len(options.mpx)) as told:
        for mpx in options.mpx:
            told.begin(f"{mpx:g} Mpx on {options.device}")
            with tempfile.TemporaryDirectory(prefix="ringwatch-device-") as folder:
                rows += measure(edge_of(mpx), Path(folder), **each)
    if options.json:
        show_json(rows)
    else:
        show(rows)


def _held(rows: list[dict[str, Any]]) -> str:
    """What is asked, and whether it is met where it can be."""
    every = {
        row["way"]: row["frames_a_second"]
        for row in rows
        if row["stage"] == ALL and row["mpx"] == 4 and "H200" in row["device"]
    }
    if not every:
        return f"{_ASKED}: not that device and size."
    said = (
        f"{way} {'met' if fps >= _ASKED_FPS else 'NOT met'}"
        for way, fps in every.items()
    )
    return f"{_ASKED}: {', '.join(said)}."


def show(rows: list[dict[str, Any]]) -> None:
    """Print the stages; what is the same for all of them stands below."""
    shown = ("mpx", "way", "stage", "ms_a_frame", "share", "frames_a_second")
    each = rows[0]
    apart = max(row["apart"] for row in rows)
    equal = all(row["sums_equal"] for row in rows)
    said = "are" if equal else "are NOT"
    show_table(
        [{key: row[key] for key in shown} for row in rows],
        f"Frames on {each['device']}, each classified",
        f"{_held(rows)} Batches of {each['batch']}, {each['threads']} threads on the "
        f"host. Sums {said} those of the CPU; probabilities lie at most "
        f"{apart:.1g} from ONNX Runtime's.",
    )


if __name__ == "__main__":
    main()

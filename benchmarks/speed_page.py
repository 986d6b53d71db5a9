"""The measured speed on a page, in JSON and between two marks of the README."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ringwatch.agent.settings import Settings
from ringwatch.benchmarks.speed_line import SpeedLine

__all__ = ["BEGIN", "END", "between_marks", "conditions", "page", "publish", "table"]

BEGIN, END = "<!-- speed -->", "<!-- /speed -->"
_VERSIONS = (
    *("ringwatch", "numpy", "numba", "pyFAI", "onnxruntime", "torch", "bluesky"),
    *("tiled", "pyzmq", "h5py", "hdf5plugin", "pyxtal", "pymatgen"),
)
_HEADINGS = (
    "what",
    "ours",
    "frames/s",
    "peer",
    "ratio",
    "floor",
    "times the floor",
    "asked",
)


def conditions(seeds: Mapping[str, int]) -> dict[str, Any]:
    """When and on what machine something is measured.

    Parameters
    ----------
    seeds : mapping of str to int
        Of what is drawn.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
        "seeds": dict(seeds),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(lines: list[SpeedLine]) -> str:
    """Lines as a table in Markdown, with a newline at its end."""
    rows = [_HEADINGS, ("---", *["---:"] * 6, "---"), *map(_cells, lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(line: SpeedLine) -> tuple[str, ...]:
    peer = _figure(line.peer, line.unit)
    met = {None: ": not that size", True: ": yes", False: ": **no**"}[line.met]
    return (
        line.what,
        _figure(line.ours, line.unit),
        _figure(line.frames_a_second),
        f"{peer} ({line.peer_name})" if line.peer_name else peer,
        _figure(line.ratio),
        _figure(line.floor, line.unit),
        _figure(line.times_the_floor),
        f"{line.asked}{met}" if line.asked else "-",
    )


def _figure(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    told = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{told} {unit}".strip()


def page(lines: list[SpeedLine], measured: Mapping[str, Any]) -> str:
    """``docs/speed.md``: what was measured, on what, and how to do it again."""
    versions = ", ".join(f"{k} {v}" for k, v in measured["versions"].items())
    seeds = ", ".join(f"{k} {v}" for k, v in measured["seeds"].items())
    return f"""# Speed

Written by `make bench`; do not edit. One thread a worker, ours and the others in turns,
medians.

{table(lines)}
{_legend()}
Measured {measured["date"]} on {measured["cpu"]}, {measured["cores"]} cores, load
{measured["load"]} before the first benchmark and {measured["load_after"]} after the
last, Python {measured["python"]}; {versions}. Seeds: {seeds}.

The same in [JSON](speed.json), with all rows of all benchmarks.
"""


def _legend() -> str:
    """How the table is to be read."""
    labels, frames = (
        f"{Settings.model_fields[name].default:g} s"
        for name in ("shed_labels_after_s", "shed_frames_after_s")
    )
    return f"""How to read it:

- **Can my detector be followed?** If it gives fewer frames a second than "frames/s" of
  "document to published verdict" at its size: reading, flags, label and 0MQ of one
  agent on this machine (throughput). "frame to pattern" is the reduction alone.
- **Latency** is how long after its document a frame's verdict is out, at a rate that
  can be followed.
- **Above that** the queue grows. {labels} behind, the agent leaves out labels; {frames}
  behind, whole frames, whose verdict is `unknown`. Each verdict says so. Those after a
  frame that was left out are provisional (`final` false), and a second pass over the
  stored run gives each frame its final verdict. Frames that are stored nowhere are
  left out only where the memory for what waits is full.
- **ratio**: how many times better than the peer ours is. **floor**: what nobody can
  beat, such as reading a frame and the index of its pixels once. Both ratios hold on
  another machine sooner than the figures do.
- **asked**: what was set as a goal before it was measured; "not that size" where this
  form of the benchmark is shorter than the goal.
- **pyFAI no-csc** is `integrate1d_ng` in its fastest engine, without pixel splitting;
  full-csc splits pixels fully, bbox-csr by bounding boxes (what most people use).
- **Bins** of q: 2000 for "frame to pattern", elsewhere about one a pixel of radius; a
  cake has 32 sectors of each.
- Each line's benchmark is a command in `benchmarks/`, whose `--help` says what is
  measured beside what. A file there whose first line names no command is a part of
  these. GPUs: `python benchmarks/device.py`.
"""


def between_marks(text: str, inside: str) -> str:
    """Replace what stands between the two marks, and nothing else.

    Raises
    ------
    ValueError
        Where the marks are not there, once each and in their order.
    """
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in old + after or END in before + after:
        raise ValueError(
            f"the README needs {BEGIN} and below it {END}, once each: put both where "
            "the table of speed belongs"
        )
    return f"{before}{begin}\n\n{inside}\n{end}{after}"


def publish(
    root: Path,
    lines: list[SpeedLine],
    measured: Mapping[str, Any],
    rows: Mapping[str, Any],
) -> list[Path]:
    """Write ``docs/speed.md``, ``docs/speed.json`` and the table of ``README.md``.

    The README gets the lines that are held against something, the page gets all.

    All three are made ready beside their places first and then renamed: whoever stops
    this finds each either as it was or whole.

    Parameters
    ----------
    root : Path
        Folder of the README.
    lines : list of SpeedLine
    measured : mapping
        ``conditions``, with ``load_after``.
    rows : mapping
        What the benchmarks printed, by name.

    Raises
    ------
    ValueError
        Where the README has no marks; nothing is written then.
    """
    readme, docs = root / "README.md", root / "docs"
    told = {**measured, "lines": [asdict(line) for line in lines], "rows": dict(rows)}
    texts = {
        readme: between_marks(readme.read_text(encoding="utf-8"), _first_lines(lines)),
        docs / "speed.md": page(lines, measured),
        docs / "speed.json": json.dumps(told, indent=1, allow_nan=False) + "\n",
    }
    docs.mkdir(exist_ok=True)
    ready: list[tuple[Path, Path]] = []
    try:
        for path, text in texts.items():
            ready.append((_beside(path, text), path))
        for made, path in ready:
            made.replace(path)
    finally:
        for made, _ in ready:
            made.unlink(missing_ok=True)
    return list(texts)


def _first_lines(lines: list[SpeedLine]) -> str:
    """Those that are held against something, if any are, and where the others are."""
    asked = [line for line in lines if line.asked] or lines
    if len(asked) == len(lines):
        return table(lines)
    return f"{table(asked)}\nAll {len(lines)} lines: [docs/speed.md](docs/speed.md).\n"


def _beside(path: Path, text: str) -> Path:
    """A file with the text in the same folder, on the disk."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    made = Path(file.name)
    made.chmod(path.stat().st_mode if path.exists() else 0o644)
    return made

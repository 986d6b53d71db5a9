"""All benchmarks of speed in their short form, one table: `python benchmarks/bench.py`.

Each runs in a process of its own, one after the other, under ten minutes in all on a
quiet machine. The table goes to docs/speed.md, with all rows to docs/speed.json, and
between the marks <!-- speed --> and <!-- /speed --> of README.md, where nothing else
changes. Nothing is written before the last benchmark has ended: Ctrl-C, or one that
fails, leaves the files as they were. With --only nothing is written at all.

For example: `python benchmarks/bench.py --only network latency`. Each command by itself
takes longer and other sizes: `python benchmarks/reduction.py --help`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import Parser, Steps, end_in_one_line, steps

if __name__ == "__main__":
    end_in_one_line()

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from ringwatch.benchmarks.generator import SEED as CRYSTALS_SEED
from ringwatch.benchmarks.peers import SEED
from ringwatch.benchmarks.speed_line import SpeedLine
from ringwatch.benchmarks.speed_lines import LINES_OF
from ringwatch.benchmarks.speed_page import between_marks, conditions, publish, table

__all__ = ["SHORT", "BenchmarkError", "main", "run_one"]

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 900.0
_GRACE_S = 30.0

SHORT: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "reduction": ("--mpx", "1", "4", "--repeats", "7"),
        "network": ("--batch", "1", "16"),
        "end_to_end": ("--mpx", "1", "4", "--frames", "100"),
        "latency": ("--frames", "200"),
        "run_engine": ("--points", "20"),
        "replay": ("--frames", "200", "--obvious", "20"),
        "generator": ("--crystals", "100"),
        "scaling": ("--mpx", "1", "4", "16", "--frames", "400", "--edge", "256"),
        "flags": (),
    }
)
"""By benchmark: options of its short form. `flags` is `ringwatch bench flags-cost`."""


class BenchmarkError(Exception):
    """A benchmark failed, or printed no JSON."""


def run_one(name: str, options: Sequence[str] | None = None) -> Any:
    """Run one benchmark in a process of its own; its rows.

    Parameters
    ----------
    name : str
        Key of ``SHORT``.
    options : sequence of str, optional
        In place of those of its short form.

    Raises
    ------
    BenchmarkError
        If it ends with an error, or prints no JSON.
    """
    command = [sys.executable, "-m", f"ringwatch.benchmarks.{name}"]
    if name == "flags":
        ask = "from ringwatch.agent.cli import main; main()"
        command = [sys.executable, "-c", ask, "bench", "flags-cost"]
    command += [*(SHORT[name] if options is None else options), "--json"]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = None
        try:
            with _ctrl_c_held_back():  # until it is known which process to end
                # In a session of its own: it gets Ctrl-C from us, once, and cleans up.
                process = subprocess.Popen(
                    command, stdout=out, stderr=err, start_new_session=True
                )
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{name}: no end after {_SECONDS:.0f} s") from None
        finally:
            if process is not None:
                _end(process)
        for stream in (out, err):
            stream.seek(0)
        told, complaint = out.read(), err.read()
    if code:
        last = "\n".join(complaint.strip().splitlines()[-8:])
        raise BenchmarkError(f"{' '.join(command[1:])} ended with {code}:\n{last}")
    try:
        found = json.loads(told)
    except ValueError as error:
        raise BenchmarkError(f"{name} printed no JSON: {error}") from error
    return found if isinstance(found, list) else found["rows"]


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Have Ctrl-C interrupt what follows, not what is within."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, if it has not, as Ctrl-C does; see to it that it ends."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_all(names: Sequence[str], told: Steps) -> dict[str, Any]:
    """Rows of each benchmark by its name; says which one runs, and how long it took."""
    rows: dict[str, Any] = {}
    for name in names:
        told.begin(name)
        began = time.monotonic()
        rows[name] = run_one(name)
        told.note(f"{name}: {time.monotonic() - began:.0f} s")
    return rows


def main() -> None:
    """Measure, print, and write."""
    parser = Parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SHORT), help="print these")
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="folder of README.md and docs (ours)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not options.only:
        check_root(parser, options.root)
    err = Console(stderr=True)
    measured = conditions({"frames": SEED, "crystals": CRYSTALS_SEED})
    names = options.only or list(SHORT)
    try:
        with steps("speed", len(names)) as told:
            rows = run_all(names, told)
        lines = [line for name, each in rows.items() for line in LINES_OF[name](each)]
        measured["load_after"] = round(os.getloadavg()[0], 2)
        written = [] if options.only else publish(options.root, lines, measured, rows)
    except KeyboardInterrupt:
        err.print("interrupted: nothing was written")
        raise SystemExit(130) from None
    except BenchmarkError as error:
        err.print(f"{error}\nNothing was written.", highlight=False, markup=False)
        raise SystemExit(1) from None
    show(lines, measured, options.json)
    for path in written:
        err.print(f"written: {path}", style="dim", highlight=False)


def check_root(parser: Parser, root: Path) -> None:
    """Refuse, before minutes are spent, a folder whose README cannot take the table."""
    try:
        between_marks((root / "README.md").read_text(encoding="utf-8"), "")
    except (OSError, ValueError) as error:
        parser.error(f"--root {root}: {error}")


def show(lines: list[SpeedLine], measured: Mapping[str, Any], as_json: bool) -> None:
    """Print the lines, as a table or as JSON."""
    if as_json:
        told = {**measured, "lines": [asdict(line) for line in lines]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    Console().print(Markdown(table(lines)))


if __name__ == "__main__":
    main()

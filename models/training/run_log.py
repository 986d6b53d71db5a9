"""The log of a training run: one JSON object a line, none of a step that was lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["append_line", "cut_log"]


def append_line(path: Path, values: Mapping[str, float]) -> None:
    """Append one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def cut_log(path: Path, samples: int) -> None:
    """Leave out what was logged after a checkpoint that training goes on from.

    Those samples are seen again, and would be in the log twice. The log of a run whose
    checkpoint is gone is kept beside, as ``.old``.

    Parameters
    ----------
    path : Path
        The log; nothing is done where there is none.
    samples : int
        Of the checkpoint. Lines with more are left out, and what is no line of a log,
        such as half a line that a crash left.
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if _samples(line) <= samples]
    if kept == lines:
        return
    if not kept:
        path.replace(path.with_name(f"{path.name}.old"))
        return
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    partial.replace(path)


def _samples(line: str) -> float:
    """Samples of a line of the log; infinite if it is none."""
    try:
        return float(json.loads(line)["samples"])
    except (ValueError, TypeError, KeyError):
        return float("inf")

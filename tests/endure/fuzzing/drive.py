"""Fuzzes in a process of its own: ``drive.py FOLDER STATE TARGET:WAY:RUNS:SEED ...``.

A process that crashes, hangs or grows cannot take the tests with it; what it did is in
the file STATE. The last part may be guided: that way never returns.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "agent"))  # for wire_inputs

import ways
from guard import Guard


def main() -> None:
    logging.disable()  # what is refused is logged: a million lines
    folder, state, *parts = sys.argv[1:]
    guard = Guard(Path(state))
    targets = ways.targets(Path(folder))
    for target in targets.values():
        target.warm_up()
    guard.bound_memory()
    for part in parts:
        name, way, runs, seed = part.split(":")
        targets[name].run(way, int(runs), int(seed), guard)


main()

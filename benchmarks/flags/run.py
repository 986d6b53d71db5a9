"""Runs the flags' benchmark: recall, false alarms, figures, tables."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ringwatch import simulated_beamline
from ringwatch.agent import (
    cakes,
    cell_passes,
    flags,
    geometry,
    integer_kernel,
    kernel,
    list_kernels,
    nouns,
    outlier_kernel,
    packed_kernel,
    pixel_lists,
    pixel_values,
    quality,
    reduction,
    second_look,
    stretch_kernel,
    sums,
)
from ringwatch.benchmarks.flags import (
    baselines,
    case,
    cases,
    false_alarms,
    injections,
    plan,
    recall,
    sample_cases,
    scores,
    stage,
    stories,
    tally,
    whole_frames,
)
from ringwatch.benchmarks.flags.false_alarms import draw_runs, judge_run
from ringwatch.benchmarks.flags.ledger import Ledger
from ringwatch.benchmarks.flags.plan import Form, Piece, recall_pieces
from ringwatch.benchmarks.flags.recheck import Recheck
from ringwatch.benchmarks.flags.tally import summarize
from ringwatch.benchmarks.flags.task import Task, do_all
from ringwatch.benchmarks.flags.whole_frames import draw_frame_runs, judge_frame_run

__all__ = [
    "FRAME_SIZES",
    "SIZES",
    "code_hash",
    "open_ledgers",
    "recheck_ledgers",
    "report",
    "save",
    "tasks",
    "work",
]

SIZES: dict[Form, tuple[int, int]] = {
    "quick": (12, 60),
    "standard": (180, 1000),
    "slow": (3600, 1000),
}
"""Runs of cakes without a fault and cakes a run, for each form."""
FRAME_SIZES: dict[Form, tuple[int, int]] = {
    "quick": (8, 30),
    "standard": (30, 250),
    "slow": (120, 250),
}
"""The same of whole frames; the slow form takes a quarter of an hour of one core."""

_KEYS = ("story", "geometry", "sample", "flat_plate")
_FRAME_KEYS = (*_KEYS, "margin_px")


def tasks(form: Form, seed: int) -> list[Task]:
    """All of the benchmark, the cheap first."""
    runs, frames = SIZES[form]
    every = [
        Task("recall", piece.name, _measure, (piece, seed))
        for piece in recall_pieces(form)
    ]
    every += [
        Task("frames", str(run.number), judge_frame_run, (run,))
        for run in draw_frame_runs(*FRAME_SIZES[form], seed)
    ]
    return every + [
        Task("alarms", str(run.number), judge_run, (run,))
        for run in draw_runs(runs, frames, seed)
    ]


def _measure(piece: Piece, seed: int) -> dict[str, Any]:
    return piece.measure(seed)


def code_hash() -> str:
    """Hash over the code that decides the outcome: flags, reduction, simulation.

    Comments and docstrings do not count: words may be mended while a ledger fills.
    """
    digest = hashlib.sha256()
    for path in sorted(_decisive()):
        digest.update(path.name.encode() + _code_of(path).encode())
    return digest.hexdigest()[:16]


def _decisive() -> Iterator[Path]:
    modules = [baselines, case, cases, false_alarms, injections, recall, stage, stories]
    modules += [sample_cases, scores, tally, whole_frames]
    modules += [cakes, flags, geometry, kernel, list_kernels, nouns, outlier_kernel]
    modules += [pixel_lists, plan, reduction, second_look, stretch_kernel]
    modules += [integer_kernel, packed_kernel, cell_passes, pixel_values, sums]
    for module in modules:
        yield Path(str(module.__file__))
    for package in (quality, simulated_beamline):
        yield from Path(next(iter(package.__path__))).rglob("*.py")


def _code_of(path: Path) -> str:
    """Source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # of a module, class, function or block
            body[:] = [each for each in body if not _is_text(each)]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    """Whether it is a string that nobody uses, as docstrings are."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def open_ledgers(form: Form, seed: int, out: Path) -> dict[str, Ledger]:
    """Ledgers in a folder; those of an interrupted benchmark are gone on with."""
    return {name: Ledger(path, w) for name, path, w in _ledgers(form, seed, out)}


def recheck_ledgers(
    form: Form, seed: int, out: Path, number: int, anew: Collection[str] = ()
) -> Recheck:
    """How to take over ledgers of earlier code.

    Parameters
    ----------
    form, seed, out
    number : int
        Pieces of each ledger that are done again.
    anew : collection of str
        Stories and flags of which all pieces are to be done anew.

    Raises
    ------
    LedgerError
        If one is of other work altogether.
    """
    every = tasks(form, seed)
    return Recheck(
        (
            (path, work, {task.name: task for task in every if task.ledger == name})
            for name, path, work in _ledgers(form, seed, out)
        ),
        number,
        anew,
    )


def _ledgers(
    form: Form, seed: int, out: Path
) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Name, file and work of each ledger."""
    cakes_a_run, frames_a_run = SIZES[form][1], FRAME_SIZES[form][1]
    work = {"version": version("ringwatch"), "code": code_hash(), "seed": seed}
    yield "recall", out / f"recall-{form}.jsonl", work
    yield "frames", out / "frames.jsonl", work | {"frames_a_run": frames_a_run}
    yield "alarms", out / "alarms.jsonl", work | {"frames_a_run": cakes_a_run}


def work(
    every: Sequence[Task], ledgers: dict[str, Ledger], processes: int
) -> Iterator[Task]:
    """Do what the ledgers lack; yields each task when it is written down.

    Parameters
    ----------
    every : sequence of Task
    ledgers : dict
        By name.
    processes : int
        1: in this one.
    """
    due = [task for task in every if task.name not in ledgers[task.ledger]]
    for task, result in do_all(due, processes):
        ledgers[task.ledger].add(task.name, result)
        yield task


def report(form: Form, seed: int, ledgers: dict[str, Ledger]) -> dict[str, Any]:
    """What was found, ready for JSON."""
    runs, frames = SIZES[form]
    frame_runs, frames_a_run = FRAME_SIZES[form]
    return {
        "benchmark": "flags",
        "form": form,
        "seed": seed,
        "version": version("ringwatch"),
        "codes": dict.fromkeys(ledgers, code_hash()),
        "rechecked": {name: of.rechecked for name, of in ledgers.items()},
        "simulated": "all of it: cakes drawn cell by cell, frames pixel by pixel",
        "recall": [result for _, result in ledgers["recall"].results()],
        "false_alarms": summarize(ledgers["alarms"], _KEYS)
        | {"runs": runs, "frames_a_run": frames},
        "whole_frames": summarize(ledgers["frames"], _FRAME_KEYS)
        | {"runs": frame_runs, "frames_a_run": frames_a_run},
    }


def save(found: dict[str, Any], path: Path) -> Path:
    """Write a report as JSON."""
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path

"""Hours of finished pieces kept over a change of code that changes no outcome."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.ledger import Ledger, LedgerError, work_of
from ringwatch.benchmarks.flags.stories import STORIES
from ringwatch.benchmarks.flags.task import Task, do_all

__all__ = ["Recheck", "check_names"]

Pieces = tuple[Path, Mapping[str, Any], Mapping[str, Task]]
"""File of a ledger, its work as it would be today, and all its pieces by name."""


def check_names(anew: Collection[str]) -> None:
    """Raise ``LedgerError`` where a name is neither that of a story nor of a flag."""
    flags = [flag.label for flag in Flag]
    if strange := sorted(set(anew) - STORIES.keys() - set(flags)):
        raise LedgerError(
            f"{strange[0]!r} is no story ({', '.join(STORIES)}) and no flag "
            f"({', '.join(flags)})"
        )


class Recheck:
    """Repeats pieces of ledgers with today's code, then has all belong to that.

    A faster kernel or a moved module decides nothing; a sample of pieces shows it:
    every word and count in them comes out the same, and every number but for the last
    bits, which another processor rounds otherwise. A ledger remembers how many were
    repeated. Nothing is done where the code is the same.
    A change that does decide something needs new ledgers, even if the sample is equal;
    or, where what it can touch has a name, those pieces anew. A flag that the change
    may raise where it was not raised before names too little: name the stories.

    Parameters
    ----------
    ledgers : iterable of (Path, mapping, mapping of str to Task)
        File, work as it would be today, and all pieces by name, of each.
    number : int
        Pieces of each to repeat, drawn by the code's hash.
    anew : collection of str
        Names of stories and of flags: pieces of these stories, and those in which
        earlier code raised one of these flags or named it as the cause, or in which it
        is injected, are forgotten instead, to be done anew.

    Raises
    ------
    LedgerError
        If one is of other work altogether.
    """

    def __init__(
        self, ledgers: Iterable[Pieces], number: int, anew: Collection[str] = ()
    ) -> None:
        self._anew = anew
        self._samples = [
            _draw(path, before, work, every, number, set(anew))
            for path, work, every in ledgers
            if (before := work_of(path)) and before != dict(work)
        ]

    def __len__(self) -> int:
        """Pieces to repeat."""
        return sum(len(sample.chosen) for sample in self._samples)

    def repeat(self, processes: int = 1) -> Iterator[str]:
        """Do them again, and take all ledgers over; yields what came out the same.

        Parameters
        ----------
        processes : int
            1: in this one.

        Raises
        ------
        LedgerError
            If one comes out differently. Then all are left as they are.
        """
        for sample in self._samples:
            for task, result in do_all(sample.chosen, processes):
                if not _same(json.loads(json.dumps(result)), sample.done[task.name]):
                    raise LedgerError(
                        f"{sample.ledger.path}: {task.name!r} comes out differently "
                        "with today's code: its pieces must be done again, in another "
                        "folder"
                    )
                yield task.name
        for ledger, code, chosen, touched, _ in self._samples:
            ledger.adopt(code, len(chosen), forgotten=touched, why=self._anew)


class _Sample(NamedTuple):
    """What is to be repeated of a ledger of earlier code."""

    ledger: Ledger
    code: str
    chosen: list[Task]
    touched: set[str]
    done: Mapping[str, Any]


def _draw(
    path: Path,
    before: dict[str, Any],
    work: Mapping[str, Any],
    every: Mapping[str, Task],
    number: int,
    anew: set[str],
) -> _Sample:
    ledger = _earlier(path, before, work, every)
    done = dict(ledger.results())
    touched = {name for name, told in done.items() if _concerns(told, anew)}
    names = sorted(done.keys() - touched)
    rng = np.random.default_rng(int(work["code"], 16))
    places = rng.choice(len(names), min(number, len(names)), replace=False)
    chosen = [every[names[k]] for k in sorted(places)]
    return _Sample(ledger, work["code"], chosen, touched, done)


def _earlier(
    path: Path,
    before: dict[str, Any],
    work: Mapping[str, Any],
    every: Mapping[str, Task],
) -> Ledger:
    """A ledger of earlier code for the same work; ``LedgerError`` if it is none."""
    if before | {"code": work["code"]} != dict(work):
        raise LedgerError(
            f"{path} belongs to other work ({before}): go on with the same seed, sizes "
            "and version, or name another folder"
        )
    ledger = Ledger(path, before)
    if unknown := sorted(dict(ledger.results()).keys() - every.keys()):
        raise LedgerError(
            f"{path} holds pieces that today's benchmark does not have, such as "
            f"{unknown[0]!r}: name another folder"
        )
    return ledger


def _same(one: object, other: object) -> bool:
    """Whether two results are equal, but for how numbers were rounded."""
    match one, other:
        case float(), float():
            return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
        case dict(), dict():
            return one.keys() == other.keys() and all(
                _same(value, other[key]) for key, value in one.items()
            )
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _concerns(result: Mapping[str, Any], names: set[str]) -> bool:
    """Whether a piece is of one of these stories, or has to do with such a flag."""
    told = {result.get("story"), result.get("flag")}
    told.update(*(result.get(key, ()) for key in ("flags", "raises", "causes")))
    return not told.isdisjoint(names)

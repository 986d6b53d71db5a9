"""Hours of finished pieces kept over a change of code that changes no outcome."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.ledger import Ledger, LedgerError, work_of
from ringwatch.benchmarks.flags.stories import STORIES
from ringwatch.benchmarks.flags.task import Task

__all__ = ["check_names", "recheck"]

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


def recheck(
    ledgers: Iterable[Pieces], number: int, anew: Collection[str] = ()
) -> Iterator[str]:
    """Repeat pieces of ledgers with today's code, then have all belong to that.

    A faster kernel or a moved module decides nothing; a sample of pieces shows it. A
    ledger remembers how many were repeated. Nothing is done where the code is the same.
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

    Yields
    ------
    str
        Name of a piece that came out the same.

    Raises
    ------
    LedgerError
        If one comes out differently, or a ledger is of other work altogether. Then all
        are left as they are.
    """
    sampled = []
    for path, work, every in ledgers:
        before = work_of(path)
        if not before or before == dict(work):
            continue
        ledger = _earlier(path, before, work, every)
        done = dict(ledger.results())
        touched = {name for name, told in done.items() if _concerns(told, set(anew))}
        names = sorted(done.keys() - touched)
        rng = np.random.default_rng(int(work["code"], 16))
        chosen = rng.choice(len(names), min(number, len(names)), replace=False)
        for name in (names[k] for k in sorted(chosen)):
            again = json.loads(json.dumps(every[name].do(*every[name].arguments)))
            if again != done[name]:
                raise LedgerError(
                    f"{path}: {name!r} comes out differently with today's code: its "
                    "pieces must be done again, in another folder"
                )
            yield name
        sampled.append((ledger, work["code"], len(chosen), touched))
    for ledger, code, pieces, touched in sampled:
        ledger.adopt(code, pieces, forgotten=touched, why=anew)


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


def _concerns(result: Mapping[str, Any], names: set[str]) -> bool:
    """Whether a piece is of one of these stories, or has to do with such a flag."""
    told = {result.get("story"), result.get("flag")}
    told.update(*(result.get(key, ()) for key in ("flags", "raises", "causes")))
    return not told.isdisjoint(names)

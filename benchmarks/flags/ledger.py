"""A file of finished pieces of work, so that hours of it survive an interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Ledger", "LedgerError", "work_of"]


class LedgerError(ValueError):
    """A ledger that belongs to other work, or is no ledger."""


class Ledger:
    """One JSON object a line: first what the work is, then each finished piece.

    The first line also tells which pieces were repeated with later code.

    A last line that an interruption cut short is dropped and its piece done again.

    Parameters
    ----------
    path : Path
        Made if absent, with its folders.
    work : mapping
        What decides the outcome: seed, version, sizes.

    Raises
    ------
    LedgerError
        If the file belongs to other work.
    """

    def __init__(self, path: Path, work: Mapping[str, Any]) -> None:
        self.path = path
        self._done: dict[str, dict[str, Any]] = {}
        self._work: dict[str, Any] = json.loads(json.dumps(dict(work)))
        self.rechecked: list[dict[str, Any]] = []
        if path.exists() and path.stat().st_size:
            self._resume()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._first_line())

    def _resume(self) -> None:
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        try:
            first, *rest = (json.loads(line) for line in whole.splitlines())
        except ValueError as error:
            raise LedgerError(
                f"{self.path} is no ledger of a benchmark: name another file"
            ) from error
        if first.get("work") != self._work:
            raise LedgerError(
                f"{self.path} belongs to other work ({first.get('work')}): go on with "
                "the same seed, sizes and version, or name another file; what other "
                "code has finished is taken over with --recheck"
            )
        self.rechecked = first.get("rechecked", [])
        for line in rest:
            self._done[line["piece"]] = line["result"]
        if torn:
            os.truncate(self.path, len(whole) + 1)

    def __contains__(self, piece: str) -> bool:
        """Whether a piece is finished."""
        return piece in self._done

    def __len__(self) -> int:
        """Finished pieces."""
        return len(self._done)

    def add(self, piece: str, result: Mapping[str, Any]) -> None:
        """Write down a finished piece; on disk when this returns."""
        line = json.dumps({"piece": piece, "result": result}) + "\n"
        with self.path.open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._done[piece] = dict(result)

    def adopt(
        self,
        code: str,
        pieces: int,
        *,
        forgotten: Collection[str] = (),
        why: Collection[str] = (),
    ) -> None:
        """Have the ledger belong to other code, with which pieces came out the same.

        Parameters
        ----------
        code : str
            Hash of it.
        pieces : int
            How many were repeated.
        forgotten : collection of str
            Pieces that are to be done anew.
        why : collection of str
            What they have in common.
        """
        note: dict[str, Any] = {"from": self._work["code"], "pieces": pieces}
        if why:
            note |= {"anew": sorted(why), "forgotten": len(forgotten)}
        self.rechecked.append(note)
        for piece in forgotten:
            del self._done[piece]
        self._work["code"] = code
        lines = [
            json.dumps({"piece": piece, "result": result}) + "\n"
            for piece, result in self._done.items()
        ]
        written = self.path.with_suffix(".new")
        written.write_text(self._first_line() + "".join(lines))
        written.replace(self.path)

    def _first_line(self) -> str:
        first: dict[str, Any] = {"work": self._work}
        if self.rechecked:
            first["rechecked"] = self.rechecked
        return json.dumps(first) + "\n"

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Finished pieces and their results, in the order of their names."""
        for piece in sorted(self._done):
            yield piece, self._done[piece]


def work_of(path: Path) -> dict[str, Any]:
    """What a ledger says its work is; empty where there is no ledger yet.

    Raises
    ------
    LedgerError
        If it says nothing.
    """
    if not path.exists() or not path.stat().st_size:
        return {}
    with path.open() as file:
        first = file.readline()
    try:
        return dict(json.loads(first)["work"])
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{path} is no ledger of a benchmark: name another file"
        ) from error

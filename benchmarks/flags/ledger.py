"""A file of finished pieces of work, so that hours of it survive an interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Ledger", "LedgerError"]


class LedgerError(ValueError):
    """A ledger that belongs to other work, or is no ledger."""


class Ledger:
    """One JSON object a line: first what the work is, then each finished piece.

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
        header = {"work": dict(work)}
        if path.exists() and path.stat().st_size:
            self._resume(header)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(header) + "\n")

    def _resume(self, header: Mapping[str, Any]) -> None:
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        try:
            first, *rest = (json.loads(line) for line in whole.splitlines())
        except ValueError as error:
            raise LedgerError(
                f"{self.path} is no ledger of a benchmark: name another file"
            ) from error
        if first != json.loads(json.dumps(header)):
            raise LedgerError(
                f"{self.path} belongs to other work ({first.get('work')}): go on with "
                "the same seed, sizes and version, or name another file"
            )
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

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Finished pieces and their results, in the order of their names."""
        for piece in sorted(self._done):
            yield piece, self._done[piece]

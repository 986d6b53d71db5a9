"""Rows of Parquet files: read, chosen by part, and counted where they are skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "DatasetError",
    "Part",
    "Reasons",
    "UnusableRowError",
    "random_choice",
    "read_rows",
    "rows_in_part",
    "told_reasons",
    "unless_unusable",
]

_Made = TypeVar("_Made")

Part = Literal["report", "all", "train", "choose", "seen", "test"]
"""Part of the development data; ``report``: what was never used for any choice, that
is ``seen`` and ``test``. ``all`` is everything."""


Reasons = Counter[str]
"""Why rows were skipped, and how many for each reason."""


class DatasetError(ValueError):
    """A data set is missing, is no Parquet, lacks columns, or has no such part."""


class UnusableRowError(ValueError):
    """A row cannot be used; the message is the reason, the same for all alike."""


def told_reasons(reasons: Reasons) -> str:
    """Say how many rows were skipped and why: ``3 (2 of one reason, 1 of another)``."""
    told = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    return f"{reasons.total()} ({told})" if told else "0"


def unless_unusable(
    convert: Callable[[dict[str, Any]], _Made],
    row: dict[str, Any],
    reasons: Reasons | None,
) -> _Made | None:
    """Convert a row; None, and one more of its reason, where it cannot be used."""
    try:
        return convert(row)
    except UnusableRowError as error:
        if reasons is not None:
            reasons[str(error)] += 1
        return None


def read_rows(
    path: Path, columns: tuple[str, ...], *, optional: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Rows of a Parquet file, of the columns named; ``optional`` ones if there."""
    try:
        names = pq.read_schema(path).names
        if missing := sorted(set(columns) - set(names)):
            raise DatasetError(f"{path} lacks the columns {missing}; it has {names}")
        wanted = [*columns, *(name for name in optional if name in names)]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=wanted).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: no readable Parquet file ({error})") from error
    return rows


def rows_in_part(
    rows: list[dict[str, Any]], part: Part, path: Path
) -> list[dict[str, Any]]:
    """Rows of a part; all of them where the file names none."""
    if part == "all" or not any(row["part"] for row in rows):
        return rows
    wanted = ("seen", "test") if part == "report" else (part,)
    chosen = [row for row in rows if row["part"] in wanted]
    if not chosen:
        known = sorted({row["part"] for row in rows})
        raise DatasetError(f"{path} has no rows of part {part!r}; it has {known}")
    return chosen


def random_choice(
    rows: list[dict[str, Any]], limit: int, seed: int
) -> list[dict[str, Any]]:
    """A random choice of so many rows, in their order; 0: all."""
    if not 0 < limit < len(rows):
        return rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return [rows[i] for i in sorted(chosen)]

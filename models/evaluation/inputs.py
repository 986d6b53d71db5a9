"""Network inputs of evaluation: structures drawn in two ways, and measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.evaluation.datasets import (
    DatasetError,
    Facts,
    LabelledPattern,
    Part,
    RealStructure,
    Reasons,
    read_patterns,
    read_structures,
    told_reasons,
)
from ringwatch.models.evaluation.views import BEAMLINE, CLEAN, View, draw
from ringwatch.models.inputs import InputGrid, PatternError, network_input

__all__ = [
    "BATCH",
    "VIEWS",
    "InputSet",
    "Tick",
    "batches",
    "check_left",
    "drawn",
    "evaluation_sets",
    "no_tick",
    "tables",
]

Tick = Callable[[], None]
"""Called once per piece of work, for a progress bar."""

VIEWS: Mapping[str, View] = {"clean": CLEAN, "beamline": BEAMLINE}
"""How real structures are drawn, by name of the table."""

BATCH = 256
"""Patterns that go through a network at once."""


def no_tick() -> None:
    """Report no progress."""


@dataclass(frozen=True)
class InputSet:
    """Network inputs of labelled patterns.

    Attributes
    ----------
    x : ndarray, (B, 3, n_bins), float32
        As `ringwatch.models.inputs.network_input` makes them.
    space_group : ndarray, (B,), int64
        1 to 230.
    facts : tuple of Facts, (B,)
        What else is known of each.
    skipped : int
        Rows that could not be used.
    """

    x: NDArray[np.float32]
    space_group: NDArray[np.int64]
    facts: tuple[Facts, ...] = ()
    skipped: int = 0

    @property
    def cluster(self) -> tuple[str, ...]:
        """What intervals are resampled over, (B,)."""
        return tuple(fact.cluster for fact in self.facts)


def batches(
    patterns: Iterable[LabelledPattern | None],
    grid: InputGrid,
    reasons: Reasons | None = None,
) -> Iterator[InputSet]:
    """Network inputs, a batch at a time.

    Parameters
    ----------
    patterns : iterable of LabelledPattern or None
        None, and what is no pattern, counts as skipped.
    grid : InputGrid
        The network's.
    reasons : Counter, optional
        Counts the patterns that the network cannot take; why others are None, their
        reader counts.

    Yields
    ------
    InputSet
        Of `BATCH` patterns; the last one is smaller, and may be empty.
    """
    inputs: list[NDArray[np.float32]] = []
    kept: list[LabelledPattern] = []
    skipped = 0

    def batch() -> InputSet:
        x = np.stack(inputs) if inputs else np.empty((0, 3, grid.n_bins), np.float32)
        groups = np.array([p.space_group for p in kept], np.int64)
        return InputSet(x, groups, tuple(p.facts for p in kept), skipped)

    for pattern in patterns:
        if pattern is None:
            skipped += 1
            continue
        try:
            inputs.append(network_input(pattern.q, pattern.intensity, grid=grid))
        except PatternError:
            skipped += 1
            if reasons is not None:
                reasons["too few points in the network's range"] += 1
            continue
        kept.append(pattern)
        if len(inputs) == BATCH:
            yield batch()
            inputs, kept, skipped = [], [], 0
    yield batch()


def drawn(
    structures: Sequence[RealStructure | None], view: View, tick: Tick = no_tick
) -> Iterator[LabelledPattern | None]:
    """Patterns of structures, as a view shows them; None stays None."""
    for structure in structures:
        tick()
        yield None if structure is None else draw(structure, view)


def tables(
    structures: Path | None,
    patterns: Path | None,
    *,
    part: Part,
    limit: int = 0,
    tick: Tick = no_tick,
    reasons: dict[str, Reasons] | None = None,
) -> Iterator[tuple[str, Iterable[LabelledPattern | None]]]:
    """Name and patterns of each table, one after the other.

    Parameters
    ----------
    structures, patterns : Path or None
        Parquet files; either may be left out.
    part : str
        See `ringwatch.models.evaluation.datasets.Part`.
    limit : int
        A random choice of so many structures; 0: all.
    tick : callable
        Called once per structure read or drawn: three times in all.
    reasons : dict of str to Counter, optional
        Is given, by table, why rows could not be used: complete when the table's
        patterns were all taken.

    Yields
    ------
    (str, iterable of LabelledPattern or None)
        ``clean`` and ``beamline`` for structures, ``measured`` for patterns.

    Raises
    ------
    DatasetError
        If a file or a column is missing, or the part is empty.
    ValueError
        If neither file is named.
    """
    if structures is None and patterns is None:
        raise ValueError("nothing to evaluate on: name structures, patterns or both")
    told = {} if reasons is None else reasons
    if structures is not None:
        found, why = [], Reasons()
        for structure in read_structures(
            structures, part=part, limit=limit, reasons=why
        ):
            found.append(structure)
            tick()
        for name, view in VIEWS.items():
            told[name] = Reasons(why)
            yield name, drawn(found, view, tick)
    if patterns is not None:
        why = told["measured"] = Reasons()
        yield "measured", read_patterns(patterns, part=part, reasons=why)


def check_left(name: str, left: int, reasons: Reasons) -> None:
    """Refuse a table of which nothing is left.

    Raises
    ------
    DatasetError
        With the reasons, counted.
    """
    if not left:
        raise DatasetError(
            f"{name}: no pattern could be used; rows skipped: {told_reasons(reasons)}"
        )


def evaluation_sets(
    structures: Path | None = None,
    patterns: Path | None = None,
    *,
    part: Part = "choose",
    limit: int = 0,
    grid: InputGrid | None = None,
) -> dict[str, InputSet]:
    """Inputs to score any network on, kept in memory: 25 kB a pattern and table.

    Parameters
    ----------
    structures, patterns : Path, optional
        Parquet files; either may be left out.
    part : str
        See `ringwatch.models.evaluation.datasets.Part`.
    limit : int
        A random choice of so many structures; 0: all.
    grid : InputGrid, optional
        The network's.

    Returns
    -------
    dict of str to InputSet
        ``clean`` and ``beamline`` for structures, ``measured`` for patterns.

    Raises
    ------
    DatasetError
        If a file or a column is missing, the part is empty, or no row can be used.
    ValueError
        If neither file is named.
    """
    sets = {}
    reasons: dict[str, Reasons] = {}
    for name, found in tables(
        structures, patterns, part=part, limit=limit, reasons=reasons
    ):
        pieces = list(batches(found, grid or InputGrid(), reasons[name]))
        check_left(name, sum(len(p.space_group) for p in pieces), reasons[name])
        sets[name] = InputSet(
            np.concatenate([piece.x for piece in pieces]),
            np.concatenate([piece.space_group for piece in pieces]),
            tuple(fact for piece in pieces for fact in piece.facts),
            sum(piece.skipped for piece in pieces),
        )
    return sets

"""Real structures and measured patterns for evaluation: Parquet files to q and I(q).

Rows know which part of the development data they belong to (`ringwatch.models.splits`),
so that a report never shows what a choice was made on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.diffraction import Crystal, Reflections, reflections
from ringwatch.models.diffraction.unit_cell import Cell
from ringwatch.models.evaluation.table_rows import (
    DatasetError,
    Part,
    Reasons,
    UnusableRowError,
    random_choice,
    read_rows,
    rows_in_part,
    told_reasons,
    unless_unusable,
)
from ringwatch.models.splits import pattern_part, structure_part

__all__ = [
    "DatasetError",
    "Facts",
    "LabelledPattern",
    "Part",
    "RealStructure",
    "Reasons",
    "count_structures",
    "read_patterns",
    "read_structures",
    "told_reasons",
]

_STRUCTURE_COLUMNS = (
    *("space_group", "a", "b", "c", "alpha", "beta", "gamma"),
    *("site_element", "site_occ", "site_frac"),
)
_MEASURED_COLUMNS = ("x", "intensity", "x_unit", "wavelength_A")
_PATTERN_COLUMNS = (*_MEASURED_COLUMNS, "space_group", "usable_for_sg_scoring")
_B_ISO = 0.4
"""A usual displacement at room temperature, in Angstrom^2; relaxed cells have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a pattern beside its intensities and its space group.

    Attributes
    ----------
    cluster : str
        What shares one is no independent evidence: structure type, or the group of
        near-duplicate measurements.
    part : str
        Of `ringwatch.models.splits`; empty where the file does not tell.
    volume : float
        Of the conventional cell, Angstrom^3; NaN where unknown.
    q_min, q_max : float
        Measured range, 1/Angstrom.
    """

    cluster: str = ""
    part: str = ""
    volume: float = math.nan
    q_min: float = 0.0
    q_max: float = math.inf


@dataclass(frozen=True, kw_only=True)
class RealStructure:
    """Lines of a real structure and what it is.

    Attributes
    ----------
    space_group : int
        1 to 230.
    lines : Reflections
        From 0.25 to 6.1 1/Angstrom.
    volume, cell : float, six floats
        Of the conventional cell: Angstrom^3; edges in Angstrom, angles in degrees.
    row : int
        Number among the rows of its file that may be used.
    cluster, part : str
        Structure type, and part, as in `Facts`.
    """

    space_group: int
    lines: Reflections
    volume: float
    cell: Cell
    row: int = 0
    cluster: str = ""
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelledPattern:
    """A pattern and its space group.

    Attributes
    ----------
    space_group : int
        1 to 230.
    q, intensity : ndarray, (n,)
        1/Angstrom; any unit.
    facts : Facts
    """

    space_group: int
    q: NDArray[np.float64]
    intensity: NDArray[np.float64]
    facts: Facts = field(default_factory=Facts)


def _structure_rows(
    path: Path,
    part: Part,
    limit: int,
    seed: int,
    columns: tuple[str, ...] = _STRUCTURE_COLUMNS,
) -> list[dict[str, Any]]:
    """Rows of a part, numbered before the part and the choice were taken."""
    rows = read_rows(
        path, columns, optional=("recommended", "structure_type", "formula")
    )
    rows = [row for row in rows if row.get("recommended") is not False]
    for number, row in enumerate(rows):
        kind, formula = row.get("structure_type"), row.get("formula")
        row["number"] = number
        row["part"] = structure_part(kind, formula) if kind and formula else ""
    return random_choice(rows_in_part(rows, part, path), limit, seed)


def count_structures(path: Path, *, part: Part = "all", limit: int = 0) -> int:
    """How many structures `read_structures` would yield; reads little of the file.

    Raises DatasetError as that does.
    """
    return len(_structure_rows(path, part, limit, 0, columns=("space_group",)))


def read_structures(
    path: Path,
    *,
    part: Part = "all",
    limit: int = 0,
    seed: int = 0,
    reasons: Reasons | None = None,
) -> Iterator[RealStructure | None]:
    """Read structures and compute their lines; None for a row that cannot be used.

    Parameters
    ----------
    path : Path
        Parquet with ``space_group``, cell and sites of the conventional cell. Where
        there is a column ``recommended``, rows in which it is false are left out.
        ``structure_type`` and ``formula`` say what part a row belongs to; a file
        without them is read whole.
    part : str
        What to read.
    limit : int
        A random choice of so many structures of the part; 0: all.
    seed : int
        Of the choice.
    reasons : Counter, optional
        Counts why rows could not be used.

    Raises
    ------
    DatasetError
        If the file or a column is missing, or the part is empty.
    """
    for row in _structure_rows(path, part, limit, seed):
        yield unless_unusable(_structure, row, reasons)


def _space_group(row: dict[str, Any]) -> int:
    """Space group of a row, checked."""
    try:
        number = float(row["space_group"])
    except (TypeError, ValueError):
        number = math.nan
    if not (1 <= number <= 230 and number.is_integer()):
        raise UnusableRowError("space_group outside 1..230")
    return int(number)


def _structure(row: dict[str, Any]) -> RealStructure:
    """Compute the lines of one row."""
    group = _space_group(row)
    try:
        elements = tuple("H" if e == "D" else str(e) for e in row["site_element"])
        crystal = Crystal(
            space_group=group,
            a=float(row["a"]),
            b=float(row["b"]),
            c=float(row["c"]),
            alpha=float(row["alpha"]),
            beta=float(row["beta"]),
            gamma=float(row["gamma"]),
            elements=elements,
            positions=np.asarray(row["site_frac"], np.float64).reshape(-1, 3),
            occupancies=np.asarray(row["site_occ"], np.float64),
            b_iso=np.full(len(elements), _B_ISO),
        )
        if not len(elements) == len(crystal.positions) == len(crystal.occupancies):
            raise ValueError("a site lacks its element, position or occupancy")
        lines = reflections(crystal, q_min=0.25, q_max=6.1)
    except (TypeError, ValueError) as error:
        raise UnusableRowError("cell or sites make no crystal") from error
    if len(lines.q) == 0:
        raise UnusableRowError("crystal without lines")
    return RealStructure(
        space_group=crystal.space_group,
        lines=lines,
        volume=crystal.volume,
        cell=crystal.cell,
        row=row["number"],
        cluster=row.get("structure_type") or f"row {row['number']}",
        part=row["part"],
    )


def read_patterns(
    path: Path, *, part: Part = "all", reasons: Reasons | None = None
) -> Iterator[LabelledPattern | None]:
    """Read the scorable measured patterns; None for a row that cannot be used.

    Parameters
    ----------
    path : Path
        Parquet with the pattern, its units, its space group, and
        ``usable_for_sg_scoring``. ``group``, shared by near-duplicates, says what
        part a row belongs to; a file without it is read whole.
    part : str
        Which part to read.
    reasons : Counter, optional
        Counts why rows could not be used.

    Raises
    ------
    DatasetError
        If the file or a column is missing, or the part is empty.
    """
    rows = read_rows(path, _PATTERN_COLUMNS, optional=("group",))
    rows = [row for row in rows if row["usable_for_sg_scoring"] == 1]
    for number, row in enumerate(rows):
        group = row.get("group")
        row["part"] = "" if group is None else pattern_part(str(group))
        row["cluster"] = f"row {number}" if group is None else str(group)
    for row in rows_in_part(rows, part, path):
        yield unless_unusable(_pattern, row, reasons)


def _pattern(row: dict[str, Any]) -> LabelledPattern:
    """Convert one measured row to q."""
    group = _space_group(row)
    try:
        x = np.asarray(row["x"], np.float64)
        intensity = np.asarray(row["intensity"], np.float64)
    except (TypeError, ValueError) as error:
        raise UnusableRowError("x or intensity no list of numbers") from error
    if x.ndim != 1 or x.shape != intensity.shape:
        raise UnusableRowError("x and intensity of different lengths")
    known = np.isfinite(x)
    if not (known & np.isfinite(intensity)).any():
        raise UnusableRowError("without a finite point")
    if row["x_unit"] == "2theta_deg":
        wavelength = _mean_wavelength(str(row["wavelength_A"]))
        x = np.where(known, x, np.nan)  # of infinity there is no sine
        x = 4 * math.pi / wavelength * np.sin(np.radians(x / 2))
    elif row["x_unit"] != "q_A^-1":
        raise UnusableRowError("x_unit neither 2theta_deg nor q_A^-1")
    low, high = float(x[known].min()), float(x[known].max())
    facts = Facts(cluster=row["cluster"], part=row["part"], q_min=low, q_max=high)
    return LabelledPattern(space_group=group, q=x, intensity=intensity, facts=facts)


def _mean_wavelength(text: str) -> float:
    """Wavelength in Angstrom; of a doublet the mean, alpha 1 twice as strong."""
    try:
        parts = [float(part) for part in text.split("+")]
    except ValueError:
        parts = [math.nan]
    if not all(0 < part < math.inf for part in parts):
        raise UnusableRowError("wavelength not above 0")
    return (2 * parts[0] + parts[1]) / 3 if len(parts) == 2 else parts[0]

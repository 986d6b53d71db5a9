"""Real structures and measured patterns for evaluation: Parquet files to q and I(q).

Nothing here is ever trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ringwatch.models.diffraction import (
    Crystal,
    Grid,
    Reflections,
    lorentz_polarization,
    reflections,
    render,
)

__all__ = [
    "BEAMLINE",
    "CLEAN",
    "DatasetError",
    "LabelledPattern",
    "RealStructure",
    "View",
    "draw",
    "read_patterns",
    "read_structures",
]

_STRUCTURE_COLUMNS = ("space_group", "a", "b", "c", "alpha", "beta", "gamma")
_SITE_COLUMNS = ("site_element", "site_occ", "site_frac")
_PATTERN_COLUMNS = (
    "x",
    "intensity",
    "x_unit",
    "wavelength_A",
    "space_group",
    "usable_for_sg_scoring",
)
_B_ISO = 0.4
"""A usual displacement at room temperature, in Angstrom^2; relaxed cells have none."""


class DatasetError(ValueError):
    """A data set is missing, is no Parquet, or lacks columns."""


@dataclass(frozen=True)
class RealStructure:
    """Lines of a real structure and its space group."""

    space_group: int
    lines: Reflections
    volume: float


@dataclass(frozen=True)
class LabelledPattern:
    """A measured pattern: q (n,) in 1/Angstrom, intensity (n,), and its space group."""

    space_group: int
    q: NDArray[np.float64]
    intensity: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class View:
    """How a structure is drawn for evaluation.

    Attributes
    ----------
    q_min, q_max, step : float
        Range and sampling, 1/Angstrom.
    wavelength : float
        Angstrom.
    polarization : float
        1 for a tube, 0 for a beamline's corrected reduction.
    fwhm : float
        1/Angstrom, half Gaussian and half Lorentzian.
    pedestal : float
        Constant background relative to the highest line.
    counts : float
        Counts per point at the highest line; 0: no noise.
    """

    q_min: float
    q_max: float
    step: float
    wavelength: float
    polarization: float
    fwhm: float
    pedestal: float = 0.0
    counts: float = 0.0


CLEAN = View(
    q_min=0.356, q_max=5.76, step=0.002, wavelength=1.5418, polarization=1.0, fwhm=0.008
)
"""Cu K-alpha, 5 to 90 degrees, no disturbance."""

BEAMLINE = View(
    q_min=0.8,
    q_max=5.5,
    step=0.004,
    wavelength=0.3,
    polarization=0.0,
    fwhm=0.02,
    pedestal=0.05,
    counts=20_000.0,
)
"""An area detector at high energy: broader lines, a pedestal, counting noise."""


def draw(structure: RealStructure, view: View, *, seed: int) -> LabelledPattern:
    """Draw the pattern of a structure; ``seed`` is that of the counting noise."""
    n = round((view.q_max - view.q_min) / view.step) + 1
    grid = Grid(n_bins=n, q_min=view.q_min, q_max=view.q_max, logarithmic=False)
    lines = structure.lines
    f_squared = lines.f_squared * lines.multiplicity
    area = f_squared * lorentz_polarization(lines.q, view.wavelength, view.polarization)
    y = render(
        grid,
        np.array([0, len(area)]),
        lines.q.astype(np.float32),
        (area / area.max()).astype(np.float32),
        np.full(len(area), view.fwhm, np.float32),
        np.array([0.5], np.float32),
    )[0].astype(np.float64)
    y = y / y.max() + view.pedestal
    if view.counts:
        rng = np.random.default_rng(seed)
        y = rng.poisson(y * view.counts).astype(np.float64)
    return LabelledPattern(structure.space_group, grid.q, y)


def _read(
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


def read_structures(
    path: Path, *, limit: int = 0, seed: int = 0
) -> Iterator[RealStructure | None]:
    """Read structures and compute their lines; None for a row that cannot be used.

    Parameters
    ----------
    path : Path
        Parquet with ``space_group``, cell and sites of the conventional cell. Where
        there is a column ``recommended``, rows in which it is false are left out.
    limit : int
        A random choice of so many rows; 0: all.
    seed : int
        Of the choice.

    Raises
    ------
    DatasetError
        If the file or a column is missing.
    """
    columns = (*_STRUCTURE_COLUMNS, *_SITE_COLUMNS)
    rows = _read(path, columns, optional=("recommended",))
    rows = [row for row in rows if row.get("recommended") is not False]
    if 0 < limit < len(rows):
        chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
        rows = [rows[i] for i in sorted(chosen)]
    for row in rows:
        yield _structure(row)


def _structure(row: dict[str, Any]) -> RealStructure | None:
    """Compute the lines of one row; None where the row makes no crystal."""
    try:
        elements = tuple("H" if e == "D" else str(e) for e in row["site_element"])
        crystal = Crystal(
            space_group=int(row["space_group"]),
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
        lines = reflections(crystal, q_min=0.25, q_max=6.1)
    except (TypeError, ValueError):
        return None
    if len(lines.q) == 0:
        return None
    return RealStructure(crystal.space_group, lines, crystal.volume)


def read_patterns(path: Path) -> Iterator[LabelledPattern | None]:
    """Read the scorable measured patterns; None for a row that cannot be used.

    Raises
    ------
    DatasetError
        If the file or a column is missing.
    """
    for row in _read(path, _PATTERN_COLUMNS):
        if row["usable_for_sg_scoring"] == 1:
            yield _pattern(row)


def _pattern(row: dict[str, Any]) -> LabelledPattern | None:
    """Convert one measured row to q; None where units or values make no sense."""
    try:
        group = int(row["space_group"])
        x = np.asarray(row["x"], np.float64)
        intensity = np.asarray(row["intensity"], np.float64)
        if row["x_unit"] == "2theta_deg":
            wavelength = _mean_wavelength(str(row["wavelength_A"]))
            x = 4 * math.pi / wavelength * np.sin(np.radians(x / 2))
        elif row["x_unit"] != "q_A^-1":
            return None
    except (TypeError, ValueError):
        return None
    if not 1 <= group <= 230 or x.shape != intensity.shape or not len(x):
        return None
    return LabelledPattern(group, x, intensity)


def _mean_wavelength(text: str) -> float:
    """Wavelength in Angstrom; of a doublet the mean, alpha 1 twice as strong."""
    parts = [float(part) for part in text.split("+")]
    return (2 * parts[0] + parts[1]) / 3 if len(parts) == 2 else parts[0]

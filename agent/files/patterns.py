"""Measured files as people have them: one-dimensional patterns in columns of text."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError, SettingsError
from ringwatch.agent.files.pattern_axes import Axis, Unit, axis_of
from ringwatch.agent.nouns import Pattern

__all__ = ["PATTERN_SUFFIXES", "is_pattern_file", "read_axis", "read_pattern"]

PATTERN_SUFFIXES = frozenset({".xy", ".xye", ".chi", ".dat", ".csv", ".txt"})

_MAX_BYTES = 1 << 24  # half a million points
_HEADER_BYTES = 1 << 16
_PIECE = 1 << 16
_LONGEST_LINE = 2000  # what is longer costs some expressions its length squared
_LEAST_ROWS = 10
_COMMENT = re.compile(r"^\s*([#!;'\"/*].*)?$")


def is_pattern_file(path: Path) -> bool:
    """Whether the name says that it holds columns of text (``.gz`` allowed)."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    return bool(suffixes) and suffixes[-1] in PATTERN_SUFFIXES


def read_axis(
    path: Path, *, unit: Unit | None = None, wavelength: float | None = None
) -> Axis:
    """Say what ``read_pattern`` takes the first column of a file for.

    Raises
    ------
    SettingsError
        Where ``unit`` contradicts the header, or the wavelength cannot be.
    FrameReadError
        Where the file cannot be read.
    """
    beginning = _bytes(path, _HEADER_BYTES).decode("utf-8", errors="replace")
    return axis_of(beginning, path, unit=unit, wavelength=wavelength)


def read_pattern(
    path: Path, *, unit: Unit | None = None, wavelength: float | None = None
) -> Pattern:
    """Read x, intensity and, where there is a third column, its standard deviation.

    Parameters
    ----------
    path : Path
        Text with two or three columns; header and comment lines are passed over.
    unit : str, optional
        Of the first column; by default what the header of pyFAI or Fit2D says, else
        ``2theta_deg`` where a wavelength is given, ``q_A^-1`` otherwise.
    wavelength : float, optional
        Angstrom; needed for ``2theta_deg``; by default the one in pyFAI's header.

    Returns
    -------
    Pattern
        In rising q, 1/Angstrom. ``sigma`` is NaN where the file has none; points that
        are not finite have ``coverage`` 0.

    Raises
    ------
    SettingsError
        Where unit and wavelength do not go together with the header or the numbers.
    FrameReadError
        Where the file holds no pattern.
    """
    text = _text(path)
    axis = axis_of(text[:_HEADER_BYTES], path, unit=unit, wavelength=wavelength)
    columns = _columns(text, path)
    q = _to_q(columns[:, 0], axis.unit, axis.wavelength, path)
    order = np.argsort(q, kind="stable")
    q, intensity = q[order], columns[order, 1]
    has_sigma = columns.shape[1] > 2
    sigma = columns[order, 2] if has_sigma else np.full(q.size, math.nan)
    finite = np.isfinite(q) & np.isfinite(intensity)
    if not finite.any():
        raise FrameReadError(f"{path} holds no finite intensity")
    keep = np.isfinite(q)
    return Pattern(
        q=q[keep],
        intensity=np.where(finite, intensity, 0.0)[keep],
        sigma=sigma[keep],
        coverage=finite[keep].astype(np.float64),
    )


def _text(path: Path) -> str:
    raw = _bytes(path, _MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise FrameReadError(f"{path} is larger than {_MAX_BYTES} bytes: no pattern")
    return raw.decode("utf-8", errors="replace")


def _bytes(path: Path, most: int) -> bytes:
    """The beginning of a file, unpacked."""
    if path.is_dir():
        raise FrameReadError(f"{path} is a folder: name the files in it")
    if not path.is_file():
        raise FrameReadError(f"{path} is not there")
    try:
        packed = path.suffix.lower() == ".gz"
        with gzip.open(path) if packed else path.open("rb") as file:
            # In pieces: a file makes room for all that it is asked for.
            pieces, left = [], most
            while left and (piece := file.read(min(_PIECE, left))):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
    except (OSError, EOFError, zlib.error) as error:
        raise FrameReadError(f"{path} cannot be read: {error}") from error


def _columns(text: str, path: Path) -> NDArray[np.float64]:
    """Numbers of the data lines, (n, 2) or (n, 3)."""
    rows: list[list[float]] = []
    single = 0  # lines of one number, as the header of .chi has one
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > _LONGEST_LINE and rows:
            raise FrameReadError(f"{path}, line {number}: {len(line)} letters long")
        if len(line) > _LONGEST_LINE or _COMMENT.match(line):
            continue
        if _DECIMAL_COMMA.match(line):
            raise FrameReadError(
                f"{path}, line {number}: {line.strip()[:40]!r} has decimal commas: "
                "write points"
            )
        row = _numbers(line)
        if row is None or len(row) < 2:
            if not rows or not row:
                if rows:
                    raise FrameReadError(
                        f"{path}, line {number}: {line.strip()[:60]!r} is no row of "
                        "numbers"
                    )
                single += bool(row)
                continue  # still in the header
            raise FrameReadError(f"{path}, line {number}: one column where two belong")
        rows.append(row[:3])
    # A header may hold numbers too: the table is what the last rows look like.
    width = min(len(rows[-1]), 3) if rows else 0
    table = [row[:width] for row in rows if len(row) >= width]
    if single > 1 and not table:
        raise FrameReadError(
            f"{path}: two or three columns of numbers are needed, this has one"
        )
    if len(table) < _LEAST_ROWS:
        raise FrameReadError(
            f"{path} holds {len(table)} rows of numbers: {_LEAST_ROWS} are needed at "
            "least, in two or three columns (x, intensity, sigma)"
        )
    return np.array(table, np.float64)


_DECIMAL_COMMA = re.compile(r"^\s*-?\d+,\d+[\s;]+-?\d")


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(word) for word in re.split(r"[\s,;]+", line.strip()) if word]
    except ValueError:
        return None


def _to_q(
    x: NDArray[np.float64], unit: Unit, wavelength: float | None, path: Path
) -> NDArray[np.float64]:
    if not np.isfinite(x).any():
        raise FrameReadError(f"{path}: no number in the first column is finite")
    x = np.where(np.isfinite(x), x, math.nan)
    largest = float(np.nanmax(np.abs(x)))
    if unit == "2theta_deg":
        if wavelength is None:
            raise SettingsError(
                f"{path}: 2theta needs a wavelength in Angstrom: --wavelength 1.5406"
            )
        if largest > 180:
            raise SettingsError(
                f"{path}: 2theta reaches {largest:g} degrees; see --unit"
            )
        return 4 * math.pi * np.sin(np.radians(x / 2)) / wavelength
    q = x / 10 if unit == "q_nm^-1" else x
    if largest > (400 if unit == "q_nm^-1" else 40):
        raise SettingsError(
            f"{path}: the first column reaches {largest:g}, too much for {unit}: if "
            "it is 2theta, say --unit 2theta_deg --wavelength 1.5406"
        )
    return q

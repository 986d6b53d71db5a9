"""What the first column of a pattern is: as told, as its header says, or assumed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

from ringwatch.agent.errors import SettingsError

__all__ = ["Axis", "Unit", "axis_of", "check_wavelength"]

Unit = Literal["q_A^-1", "q_nm^-1", "2theta_deg"]

_UNITS: dict[str, Unit | None] = {
    # As pyFAI names its columns; None where nothing is made of it here.
    "2th_deg": "2theta_deg",
    "q_nm^-1": "q_nm^-1",
    "q_a^-1": "q_A^-1",
    "2th_rad": None,
    "r_mm": None,
    "r_m": None,
    "d*2_a^-2": None,
    "d*2_nm^-2": None,
    # Fit2D writes this above its numbers.
    "2-theta angle (degrees)": "2theta_deg",
}
_NAMED = re.compile(
    rf"^[\s#]*({'|'.join(map(re.escape, _UNITS))})(?=[\s,;]|$)", re.IGNORECASE
)
_WAVELENGTH = re.compile(r'^[\s#]*"wavelength":\s*([-+.\deE]+),?\s*$')
"""pyFAI's, in metres."""
_LONGEST_LINE = 200  # the expressions take its length squared, or worse
_ROW = re.compile(r"^\s*[-+]?\.?\d\S*?[\s,;]+[-+]?\.?\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What the first column of a pattern holds.

    Attributes
    ----------
    unit : str
        Of the numbers.
    wavelength : float or None
        Angstrom, where anybody told.
    assumed : bool
        Whether neither the user nor the file's header said the unit.
    """

    unit: Unit
    wavelength: float | None
    assumed: bool


def check_wavelength(wavelength: float | None) -> None:
    """Refuse a wavelength that cannot be.

    Raises
    ------
    SettingsError
        Where it is given, and is not a finite number above 0.
    """
    if wavelength is not None and not 0 < wavelength < math.inf:
        raise SettingsError(
            f"wavelength {wavelength:g}: a wavelength is above 0, in Angstrom"
        )


def axis_of(
    text: str, path: Path, *, unit: Unit | None, wavelength: float | None
) -> Axis:
    """Take what is told, then what the header says, then what is usual.

    Parameters
    ----------
    text : str
        The file, or its beginning.
    path : Path
        Names it in errors.
    unit : str, optional
        As the user told; must not contradict the header.
    wavelength : float, optional
        Angstrom, as the user told; goes before that of the header.

    Raises
    ------
    SettingsError
        Where the header says another unit than the user, or one that cannot be used,
        or the wavelength cannot be.
    """
    check_wavelength(wavelength)
    named, metres = "", None
    for line in _header(text):
        if found := _NAMED.match(line):
            named = found[1]
        elif found := _WAVELENGTH.match(line):
            metres = _number(found[1])
    said = _UNITS[named.lower()] if named else None
    if named and unit not in (None, said):
        raise SettingsError(
            f"{path}: its header says {named}, --unit says {unit}: leave --unit out, "
            "or correct the header"
        )
    if named and said is None:
        raise SettingsError(
            f"{path}: its header says {named}: write the pattern over q_A^-1, q_nm^-1 "
            "or 2theta in degrees"
        )
    usual: Unit = "q_A^-1" if wavelength is None else "2theta_deg"
    if wavelength is None and metres is not None:
        wavelength = metres * 1e10
    return Axis(
        unit=unit or said or usual,
        wavelength=wavelength,
        assumed=unit is None and said is None,
    )


def _header(text: str) -> Iterator[str]:
    """Lines above the first row of numbers."""
    lines = (line[:_LONGEST_LINE] for line in text.splitlines())
    return takewhile(lambda line: not _ROW.match(line), lines)


def _number(word: str) -> float | None:
    """A wavelength that can be."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None

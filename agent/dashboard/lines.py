"""Reflections of the predicted class, as far as a pattern lets a cell be found."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.dashboard.cells import Fit, fit_cubic, fit_uniaxial
from ringwatch.agent.dashboard.peaks import peaks_of
from ringwatch.models.symmetry import POWDER_CLASSES

__all__ = ["Lines", "find_lines"]

logger = logging.getLogger(__name__)

_FEWEST = 3  # peaks: of two any cell explains one, and half of them the other
_CUBIC = ("cP", "cI", "cF")
_UNIAXIAL = {
    "tP": "tetragonal",
    "tI": "tetragonal",
    "hP": "hexagonal",
    "hR": "hexagonal",
}
_BY_NUMBER = {entry.number: entry for entry in POWDER_CLASSES}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Where lines of a class are to be expected.

    Attributes
    ----------
    number : int
        Of the class, 0 where there is none.
    q : (n,) float64
        1/Angstrom; empty where there is no cell.
    hkl : tuple of str
        Indices of each line.
    said : str
        Which cell was assumed, or why there is none.
    curves : list
        Rings on the picture of the frame, see ``RingCurves``.
    """

    number: int
    said: str
    q: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    hkl: tuple[str, ...] = ()
    curves: list[Any] = field(default_factory=list)

    def with_curves(self, curves: list[Any]) -> Lines:
        """The same with rings for a picture."""
        return replace(self, curves=curves)

    @property
    def told(self) -> dict[str, Any]:
        """Fit for JSON."""
        return {
            "number": self.number,
            "said": self.said,
            "q": np.round(self.q, 4).tolist(),
            "hkl": list(self.hkl),
            "curves": self.curves,
        }


def find_lines(
    number: int,
    q: NDArray[np.floating],
    intensity: NDArray[np.floating],
    sigma: NDArray[np.floating],
) -> Lines:
    """Lines of a class, with a cell that is fitted to the peaks of a pattern.

    A label says which reflections are absent, not how large the cell is. So the cell is
    looked for: one edge for cubic classes, two for tetragonal, hexagonal and trigonal
    ones. For lower symmetry nothing is marked: with three free edges and more some
    cell fits any peaks.

    Parameters
    ----------
    number : int
        Of the powder class.
    q, intensity, sigma : (n,) array
        1/Angstrom, counts.
    """
    entry = _BY_NUMBER.get(number)
    if entry is None:
        return Lines(number=0, said="No class is predicted, so no lines are marked.")
    name = f"{entry.symbol} (no. {number}, {entry.bravais})"
    if entry.bravais not in (*_CUBIC, *_UNIAXIAL):
        return Lines(
            number=number,
            said=f"No lines are marked: the cell of {name} has three free edges or "
            "more, and a label does not say how long they are.",
        )
    peaks = peaks_of(np.asarray(q, float), np.asarray(intensity, float), sigma)
    if peaks.q.size < _FEWEST:
        return Lines(
            number=number,
            said=f"No lines are marked: {peaks.q.size} peaks stand out of this frame, "
            f"too few to find the cell of {name}.",
        )
    q_max = float(np.max(q))
    try:
        if entry.bravais in _CUBIC:
            fit = fit_cubic(number, peaks, q_max)
        else:
            fit = fit_uniaxial(number, _UNIAXIAL[entry.bravais], peaks, q_max)
    except (ValueError, np.linalg.LinAlgError) as error:
        logger.warning("no cell of %s could be fitted: %r", name, error)
        fit = None
    if fit is None:
        return Lines(
            number=number,
            said=f"No lines are marked: no cell of {name} explains the "
            f"{peaks.q.size} strongest peaks of this frame.",
        )
    return Lines(
        number=number, q=fit.q, hkl=fit.hkl, said=_said(name, fit, peaks.q.size)
    )


def _said(name: str, fit: Fit, peaks: int) -> str:
    cell = ", ".join(f"{edge} = {size:.4f} Å" for edge, size in fit.cell.items())
    return (
        f"Lines of {name} with {cell}, fitted to {fit.explained} of the {peaks} "
        "strongest peaks of this frame. The label does not say the cell."
    )

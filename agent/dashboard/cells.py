"""Cells of one or two free edges that explain the peaks of a pattern."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.dashboard.peaks import Peaks
from ringwatch.models.reflection_conditions import systematic_absences

__all__ = ["Fit", "fit_cubic", "fit_uniaxial"]

_SMALLEST, _LARGEST = 2.0, 30.0  # Angstrom
_FIRST = 8  # lines that the strongest peaks are tried as
_STRONGEST = 5  # peaks that are tried
_EXPLAINED = 0.85  # of the heights of all peaks
_MISSING = 0.35  # what a predicted line without a peak costs, over all of them
_MOST_LINES = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A cell, and its lines in the range of the pattern.

    Attributes
    ----------
    cell : dict of str to float
        Free edges, Angstrom.
    q : (n,) float64
        1/Angstrom.
    hkl : tuple of str
    explained : int
        Peaks that lie on a line.
    """

    cell: dict[str, float]
    q: NDArray[np.float64]
    hkl: tuple[str, ...]
    explained: int


def fit_cubic(number: int, peaks: Peaks, q_max: float) -> Fit | None:
    """The edge of a cubic cell; None where none explains the peaks.

    q = 2 pi sqrt(h^2 + k^2 + l^2) / a.
    """
    form, hkl = _cubic_lines(number)
    tried = np.argsort(-peaks.height)[:_STRONGEST]
    edges = 2 * np.pi * np.sqrt(form[:_FIRST]) / peaks.q[tried][:, None]
    edges = np.unique(np.round(edges.ravel(), 6))
    edges = edges[(edges > _SMALLEST) & (edges < _LARGEST)]
    factors = np.column_stack([(2 * np.pi / edges) ** 2, np.zeros_like(edges)])
    return _best(
        factors,
        np.column_stack([form, np.zeros_like(form)]),
        hkl,
        peaks,
        q_max,
        names=("a",),
        scales=(1.0,),
    )


def fit_uniaxial(number: int, system: str, peaks: Peaks, q_max: float) -> Fit | None:
    """The edges a and c of a tetragonal or hexagonal cell; None where none does.

    (q / 2 pi)^2 = (h^2 + k^2) / a^2 + l^2 / c^2, or 4/3 (h^2 + hk + k^2) / a^2 + ...
    """
    form, hkl = _uniaxial_lines(number, system)
    tried = np.sort(np.argsort(-peaks.height)[:_STRONGEST])
    low = np.arange(min(3, peaks.q.size))
    tried = np.unique(np.concatenate([tried, low]))
    first = form[: 2 * _FIRST]
    pairs = np.array([(i, j) for i in range(len(first)) for j in range(len(first))])
    matrix = first[pairs]  # (pairs, 2, 2)
    solvable = np.abs(np.linalg.det(matrix)) > 1e-9
    inverse = np.linalg.inv(matrix[solvable])
    found = [
        inverse @ (peaks.q[[one, two]] ** 2) for one, two in combinations(tried, 2)
    ]
    factors = np.concatenate(found)
    least, most = ((2 * np.pi / edge) ** 2 for edge in (_LARGEST, _SMALLEST))
    # For hexagonal axes the factor of a is 4/3 of that: its bounds are wide enough.
    inside = (factors > least) & (factors < most)
    factors = np.unique(np.round(factors[inside.all(axis=1)], 6), axis=0)
    scale = 1.0 if system == "tetragonal" else np.sqrt(4 / 3)
    return _best(
        factors, form, hkl, peaks, q_max, names=("a", "c"), scales=(scale, 1.0)
    )


def _best(
    factors: NDArray[np.float64],
    form: NDArray[np.float64],
    hkl: tuple[str, ...],
    peaks: Peaks,
    q_max: float,
    *,
    names: tuple[str, ...],
    scales: tuple[float, ...],
) -> Fit | None:
    """Of cells (m, 2) the one that explains most with fewest lines too many.

    q^2 of each line is ``form`` (n, 2) times ``factors``.
    """
    if not len(factors):
        return None
    scores = np.array([_score(np.sqrt(form @ f), peaks, q_max) for f in factors])
    best = factors[int(np.argmax(scores))]
    for _ in range(2):  # refined by the peaks that it explains
        line, near = _nearest(np.sqrt(form @ best), peaks)
        weight = np.sqrt(peaks.height[near])[:, None]
        used = form[line[near]][:, : len(names)]
        if np.linalg.matrix_rank(used) < len(names):
            return None
        solved, *_ = np.linalg.lstsq(
            used * weight, peaks.q[near] ** 2 * weight[:, 0], rcond=None
        )
        best = np.append(solved, 0.0)[:2]
        if (solved <= 0).any():
            return None
    q = np.sqrt(form @ best)
    _, near = _nearest(q, peaks)
    if peaks.height[near].sum() < _EXPLAINED * peaks.height.sum() or near.sum() < 3:
        return None
    order = np.argsort(q, kind="stable")
    order = order[q[order] <= q_max][:_MOST_LINES]
    cell = {
        name: float(2 * np.pi / np.sqrt(f) * scale)
        for name, f, scale in zip(names, best, scales, strict=False)
    }
    return Fit(
        cell=cell,
        q=q[order],
        hkl=tuple(hkl[i] for i in order),
        explained=int(near.sum()),
    )


def _nearest(
    q: NDArray[np.float64], peaks: Peaks
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The line nearest to each peak, and whether it is near enough."""
    away = np.abs(peaks.q[:, None] - q[None, :])
    line = np.argmin(away, axis=1)
    return line, away[np.arange(line.size), line] <= peaks.tolerance


def _score(q: NDArray[np.float64], peaks: Peaks, q_max: float) -> float:
    line, near = _nearest(q, peaks)
    top = min(q_max, float(peaks.q.max()) * 1.02)
    expected = int((np.unique(np.round(q, 3)) <= top).sum())
    explained = float(peaks.height[near].sum() / peaks.height.sum())
    missing = 1 - np.unique(line[near]).size / max(expected, 1)
    return explained - _MISSING * missing


@cache
def _cubic_lines(number: int) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """h^2 + k^2 + l^2 of the lines of a class, rising, and an hkl of each."""
    lines: dict[int, str] = {}
    for hkl in _present(number, _triples(12)):
        h, k, l = sorted(map(abs, hkl), reverse=True)  # noqa: E741
        lines.setdefault(h * h + k * k + l * l, f"{h}{k}{l}")
    form = sorted(lines)
    return np.array(form, float), tuple(lines[n] for n in form)


@cache
def _uniaxial_lines(
    number: int, system: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Forms (n, 2) of a^-2 and c^-2, by rising sum, and an hkl of each."""
    lines: dict[tuple[float, int], str] = {}
    triples = _triples(8)
    for h, k, l in _present(number, triples):  # noqa: E741
        mixed = h * h + k * k + (0 if system == "tetragonal" else h * k)
        key = float(mixed), l * l
        if h >= k >= 0 and l >= 0:
            lines.setdefault(key, f"{h}{k}{l}")
    form = sorted(lines, key=lambda key: (key[0] + key[1], key))
    return np.array(form, float), tuple(lines[key] for key in form)


def _triples(most: int) -> NDArray[np.int64]:
    axis = np.arange(most + 1)
    hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    # A line is there if any of its reflections is: 120 beside 210 in P a -3.
    return hkl[hkl.any(axis=1)]


def _present(number: int, hkl: NDArray[np.int64]) -> list[list[int]]:
    found: list[list[int]] = hkl[~systematic_absences(number, hkl)].tolist()
    return found

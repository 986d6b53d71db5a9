"""Lines of the predicted class: right where a cell is found, absent where none is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.dashboard.lines import find_lines
from ringwatch.models.reflection_conditions import systematic_absences
from ringwatch.models.symmetry import powder_class

Q = np.arange(0.6, 8.0, 0.012)


def pattern(lines: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Counts of lines at some q, of falling height, over a background."""
    rng = np.random.default_rng(seed)
    height = 800 * np.exp(-0.3 * lines) * rng.uniform(0.4, 1.0, lines.size)
    drawn = 40 + height @ np.exp(-0.5 * ((Q - lines[:, None]) / 0.02) ** 2)
    return rng.poisson(drawn).astype(float)


def test_a_cubic_edge_is_found() -> None:
    n = np.array([3, 4, 8, 11, 12, 16, 19, 20, 24, 27])
    counts = pattern(2 * np.pi * np.sqrt(n) / 5.4115)
    found = find_lines(powder_class(225), Q, counts, np.sqrt(counts))
    assert "a = 5.41" in found.said
    assert found.hkl[:4] == ("111", "200", "220", "311")
    assert found.q[0] == pytest.approx(2 * np.pi * np.sqrt(3) / 5.4115, rel=5e-4)


@pytest.mark.parametrize(
    ("group", "a", "c"),
    [(136, 4.594, 2.959), (194, 3.209, 5.211)],
    ids=["rutile", "magnesium"],
)
def test_two_edges_are_found(group: int, a: float, c: float) -> None:
    number = powder_class(group)
    box = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    box = box[box.any(axis=1)]
    h, k, l = box[~systematic_absences(number, box)].T  # noqa: E741
    mixed = h * h + k * k if group < 143 else 4 / 3 * (h * h + h * k + k * k)
    q = np.unique(np.round(2 * np.pi * np.sqrt(mixed / a**2 + l * l / c**2), 5))
    counts = pattern(q[q < 6])
    found = find_lines(number, Q, counts, np.sqrt(counts))
    cell = re.search(r"a = ([\d.]+) Å, c = ([\d.]+) Å", found.said)
    assert cell is not None
    assert [float(edge) for edge in cell.groups()] == pytest.approx([a, c], rel=3e-3)
    assert np.abs(found.q[:, None] - q[None, :]).min(axis=1)[:20].max() < 0.02


def test_a_wrong_class_gets_no_lines() -> None:
    """Body-centred tetragonal lines are no primitive cubic ones."""
    rng = np.random.default_rng(3)
    counts = pattern(np.sort(rng.uniform(1.5, 7, 14)))
    found = find_lines(powder_class(229), Q, counts, np.sqrt(counts))
    assert found.q.size == 0
    assert "no cell" in found.said


def test_low_symmetry_is_not_guessed() -> None:
    counts = pattern(np.linspace(1, 6, 12))
    found = find_lines(powder_class(14), Q, counts, np.sqrt(counts))
    assert found.q.size == 0
    assert "three free edges" in found.said


def test_noise_has_no_lines() -> None:
    counts = np.random.default_rng(1).poisson(50, Q.size).astype(float)
    found = find_lines(powder_class(225), Q, counts, np.sqrt(counts))
    assert found.q.size == 0
    assert "too few" in found.said


def test_no_class_no_lines() -> None:
    assert "No class" in find_lines(0, Q, Q, Q).said

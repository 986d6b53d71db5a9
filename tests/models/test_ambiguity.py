"""Neighbouring classes: their table against the operations, and ranges too short."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ringwatch.models.ambiguity import ambiguities, neighbours
from ringwatch.models.classifier import Classifier
from ringwatch.models.extinction import bravais_lattice, derive_neighbours
from ringwatch.models.reflection_conditions import systematic_absences
from ringwatch.models.symmetry import POWDER_CLASSES


@pytest.fixture(scope="module")
def predicted():
    """A prediction whose best class is the one asked for."""
    q = np.linspace(0.5, 5.5, 2000)
    found = Classifier.load(backend="onnx").predict(q, np.exp(-(((q - 2) / 0.02) ** 2)))

    def of(number):
        classes = sorted(found.classes, key=lambda c: c.number != number)
        return dataclasses.replace(found, classes=tuple(classes))

    return of


def test_deciding_lines_are_shown_by_one_class_and_absent_in_the_other():
    checked = 0
    for pair in neighbours():
        first, second = pair.classes
        assert bravais_lattice(first) == bravais_lattice(second)
        assert 1 <= len(pair.lines) <= min(pair.count, 4)
        assert pair.absent_in in pair.classes
        # Lines are those of the first class's setting.
        members = np.array(pair.lines[:1])
        if pair.absent_in == first:
            assert systematic_absences(first, members).all(), pair
        else:
            assert not systematic_absences(first, members).any(), pair
        checked += 1
    assert checked == 56
    named = {(pair.classes, pair.absent_in) for pair in neighbours()}
    assert ((3, 4), 4) in named  # a screw axis
    assert ((7, 14), 14) in named
    assert ((195, 198), 198) in named
    assert not any({3, 14} == set(pair.classes) for pair in neighbours())


@pytest.mark.slow
def test_the_table_is_what_the_operations_give():
    derived = derive_neighbours(most=12)
    assert len(derived) == len(neighbours())
    for row, pair in zip(derived, neighbours(), strict=True):
        assert tuple(row["classes"]) == pair.classes
        assert row["count"] == pair.count
        assert tuple(tuple(line) for line in row["lines"]) == pair.lines
        assert row["absent_in"] == pair.absent_in


def test_a_screw_axis_is_told_by_its_axis(predicted):
    [found] = ambiguities(predicted(4), (0.5, 5.5))
    assert (found.number, found.symbol) == (3, "P1-1")
    assert found.lines[:2] == ("010", "030")
    # 010 lies at 2 pi / b, 050 at five times that.
    assert found.edges == pytest.approx((2 * math.pi / 5.5, 10 * math.pi / 0.5))
    assert found.always
    assert not found.outside
    assert found.sentence == (
        "P1-1 (3) differs from P1211 (4) by 7 lines, 010, 030, 050, 070, ... (010 is "
        "absent in P1211): one of the three lowest lies within q 0.5 to 5.5 1/Angstrom "
        "for all cell edges of 3 to 25 Angstrom, but may be weak or hidden."
    )
    probability = {c.number: c.probability for c in predicted(4).classes}
    assert found.probability == probability[3]


@pytest.mark.parametrize("q_range", [(0.001, 0.2), (20.0, 25.0)])
def test_a_range_that_misses_the_deciding_lines_is_said_to(predicted, q_range):
    [found] = ambiguities(predicted(4), q_range)
    assert found.outside
    assert not found.always
    assert "none of the lowest lies within" in found.sentence
    assert found.sentence.endswith("so this pattern cannot tell.")


def test_a_range_that_holds_them_for_some_cells_only_says_for_which(predicted):
    """003 and 009 of 144 and 169, looked at through q 0.5 to 5.5 and 2 to 4."""
    of_144 = {a.number: a for a in ambiguities(predicted(144), (0.5, 5.5))}
    assert not of_144[169].always
    assert not of_144[169].outside
    assert "only for cell edges of 3.4 to 25 Angstrom" in of_144[169].sentence
    # Between 9.4 and 14 Angstrom 003 is too low and 009 too high.
    of_144 = {a.number: a for a in ambiguities(predicted(144), (2.0, 4.0))}
    assert of_144[169].edges == pytest.approx((6 * math.pi / 4, 18 * math.pi / 2))
    assert "only for some cell edges of 4.7 to 25 Angstrom" in of_144[169].sentence
    # 2.5 to 26 Angstrom are spanned, but 5.2 to 7.5 lie between 010 and 030.
    [of_4] = ambiguities(predicted(4), (1.2, 2.5))
    assert not of_4.always
    assert "only for some cell edges of 3 to 25 Angstrom" in of_4.sentence


def test_one_line_is_called_one(predicted):
    of_196 = {a.number: a for a in ambiguities(predicted(196), (0.5, 5.5))}
    assert "by one line, 200 (200 is absent in F41--): it lies" in of_196[210].sentence


def test_orders_of_lines_in_each_metric(predicted):
    """100 of a cube at 2 pi / a; 110 at sqrt(2) times that; 300 hexagonal on c."""
    of_212 = {a.number: a for a in ambiguities(predicted(212), (0.5, 5.5))}
    assert set(of_212) == {195, 198, 201, 205}
    assert of_212[205].edges[0] == pytest.approx(math.sqrt(2) * 2 * math.pi / 5.5)
    of_144 = {a.number: a for a in ambiguities(predicted(144), (0.5, 5.5))}
    assert of_144[169].lines == ("003", "009")
    assert of_144[169].edges[0] == pytest.approx(3 * 2 * math.pi / 5.5)


def test_neighbours_come_by_falling_probability(predicted):
    found = [a.probability for a in ambiguities(predicted(94), (0.5, 5.5))]
    assert len(found) == 5
    assert found == sorted(found, reverse=True)
    assert ambiguities(predicted(22), (0.5, 5.5)) == ()
    assert len(POWDER_CLASSES) == 97


@pytest.mark.parametrize("q_range", [(2.0, 1.0), (0.0, 3.0)])
def test_no_range_is_refused(predicted, q_range):
    with pytest.raises(ValueError, match="0 < low < high"):
        ambiguities(predicted(4), q_range)

"""Structures: bond lengths of the literature, expansion, the transition."""

from __future__ import annotations

import numpy as np
import pytest
from pyFAI.calibrant import get_calibrant

from ringwatch.models.diffraction import direct_metric, reflections
from ringwatch.simulated_beamline.phases import PHASES, TRANSITION_K, phase
from ringwatch.simulated_beamline.sample import BariumTitanate, Mixture

# Shortest distances between two kinds of atoms, Angstrom, as textbooks and the
# structures' papers have them: independent of how the positions were typed in.
BONDS = {
    ("CeO2", "Ce", "O"): [2.343],
    ("LaB6", "B", "B"): [1.660, 1.765],
    ("LaB6", "La", "B"): [3.054],
    ("Si", "Si", "Si"): [2.352],
    ("NaCl", "Na", "Cl"): [2.820],
    ("Ni", "Ni", "Ni"): [2.492],
    ("Al", "Al", "Al"): [2.863],
    ("BaTiO3 cubic", "Ti", "O"): [2.006],
    ("BaTiO3 tetragonal", "Ti", "O"): [1.862, 1.999, 2.173],
    ("rutile", "Ti", "O"): [1.949, 1.980],
    ("anatase", "Ti", "O"): [1.934, 1.980],
    ("quartz", "Si", "O"): [1.605, 1.614],
    ("corundum", "Al", "O"): [1.855, 1.971],
    ("calcite", "C", "O"): [1.281],
    ("calcite", "Ca", "O"): [2.360],
}
ATOMS = {
    "CeO2": 12, "LaB6": 7, "Si": 8, "NaCl": 8, "Ni": 4, "Al": 4, "BaTiO3 cubic": 5,
    "BaTiO3 tetragonal": 5, "rutile": 6, "anatase": 12, "quartz": 9, "corundum": 30,
    "calcite": 30,
}  # fmt: skip


@pytest.mark.parametrize(("name", "one", "other"), BONDS)
def test_bond_lengths(name: str, one: str, other: str) -> None:
    crystal = phase(name).crystal(phase(name).reference_k)
    metric = direct_metric(crystal.cell)
    elements = np.array(crystal.elements)
    start = crystal.positions[elements == one][0]
    cells = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 1, 3)
    vectors = (crystal.positions[elements == other] + cells - start).reshape(-1, 3)
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", vectors, metric, vectors))
    expected = BONDS[name, one, other]
    shortest = np.unique(lengths[lengths > 0.1].round(3))[: len(expected)]
    np.testing.assert_allclose(shortest, expected, atol=0.0015)


@pytest.mark.parametrize("name", PHASES)
def test_content_of_the_cell_and_a_source(name: str) -> None:
    assert len(phase(name).crystal(298.0).elements) == ATOMS[name]
    assert phase(name).source


def test_linear_expansion() -> None:
    salt = phase("NaCl")
    assert salt.cell(salt.reference_k)[0] == 5.6402
    assert salt.cell(398.0)[0] / salt.cell(298.0)[0] == pytest.approx(1.004)
    calcite = phase("calcite")
    assert calcite.cell(398.0)[0] < calcite.cell(298.0)[0]
    assert calcite.cell(398.0)[2] > calcite.cell(298.0)[2]


def test_titanate_jumps_at_the_transition_but_its_volume_does_not() -> None:
    tetragonal, cubic = BariumTitanate().phases
    a, _, c, *_ = tetragonal.cell(TRANSITION_K)
    assert c / a == pytest.approx(1.005)
    assert (a * a * c) ** (1 / 3) == pytest.approx(cubic.cell(TRANSITION_K)[0], 1e-4)
    ratios = [tetragonal.cell(t)[2] / tetragonal.cell(t)[0] for t in (298, 350, 392)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx(4.0352 / 3.9909)


def test_fractions_cross_at_the_transition() -> None:
    titanate = BariumTitanate(width=0.5)
    assert titanate.fractions(TRANSITION_K) == (0.5, 0.5)
    assert titanate.fractions(380.0)[0] > 1 - 1e-9
    assert titanate.fractions(406.0)[1] > 1 - 1e-9
    assert sum(titanate.fractions(393.7)) == pytest.approx(1.0)


def test_splitting_of_the_lines_ends_at_the_transition() -> None:
    tetragonal, cubic = BariumTitanate().phases
    near_200 = {"q_min": 3.10, "q_max": 3.17}
    split = reflections(tetragonal.crystal(360.0), **near_200)
    single = reflections(cubic.crystal(400.0), **near_200)
    assert [tuple(hkl) for hkl in split.hkl] == [(0, 0, 2), (2, 0, 0)]
    assert len(single.q) == 1


def test_mixtures() -> None:
    assert Mixture({"Si": 1.0, "Ni": 3.0}).fractions(300.0) == (0.25, 0.75)
    with pytest.raises(ValueError, match="No phase is called 'unobtainium'"):
        Mixture({"unobtainium": 1.0})
    with pytest.raises(ValueError, match="expected a number above 0"):
        Mixture({"Si": 0.0})
    with pytest.raises(ValueError, match="at least one phase"):
        Mixture({})


@pytest.mark.parametrize(
    ("name", "calibrant"),
    [
        ("CeO2", "CeO2"),
        ("LaB6", "LaB6"),
        ("Si", "Si"),
        ("NaCl", "NaCl"),
        ("Ni", "Ni"),
        ("rutile", "TiO2"),
        ("corundum", "alpha_Al2O3"),
    ],
)
def test_lines_are_those_of_pyfai_s_calibrants(name: str, calibrant: str) -> None:
    """Numbers that somebody else typed in, from standards and other papers."""
    theirs = np.array(get_calibrant(calibrant).dspacing[:6])
    known = phase(name)
    lines = reflections(known.crystal(known.reference_k), q_min=0.5, q_max=8.0)
    for d in theirs:
        assert np.abs(lines.d_spacing / d - 1).min() < 6e-4, (name, d)

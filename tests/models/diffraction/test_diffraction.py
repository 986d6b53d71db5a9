"""Reflections and factors against closed formulas and pymatgen."""

from __future__ import annotations

import math
import warnings

import gemmi
import numpy as np
import pytest

from ringwatch.models.diffraction import (
    Crystal,
    cell_volume,
    lorentz_polarization,
    reflections,
)
from ringwatch.models.diffraction.form_factors import (
    form_factor_coefficients,
    form_factor_table,
)
from ringwatch.models.diffraction.unit_cell import atomic_number, direct_metric
from ringwatch.models.reflection_conditions import systematic_absences


def cubic(space_group, a, elements, positions, **more):
    return Crystal.from_sites(
        space_group=space_group,
        cell=(a, a, a, 90, 90, 90),
        elements=elements,
        positions=positions,
        **more,
    )


def form_factor(symbol, q):
    a, b = form_factor_coefficients()
    z = atomic_number(symbol)
    s2 = (np.asarray(q) / (4 * np.pi)) ** 2
    return (a[z] * np.exp(-b[z] * s2[:, None])).sum(axis=1)


def ceria():
    return cubic(225, 5.4115, ["Ce", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]])


QUARTZ = {  # Levien, Prewitt, Weidner, Am. Mineral. 65 (1980) 920, rounded as printed
    "space_group": 152,
    "cell": (4.916, 4.916, 5.4054, 90, 90, 120),
    "elements": ["Si", "O"],
    "positions": [[0.4697, 0, 0.3333], [0.4135, 0.2669, 0.4524]],
}


def test_ceria_lines_lie_where_bragg_puts_them():
    lines = reflections(ceria(), q_min=1.0, q_max=6.5)
    n = (lines.hkl**2).sum(axis=1)
    assert n.tolist() == [3, 4, 8, 11, 12, 16, 19, 20, 24, 27]
    assert lines.multiplicity.tolist() == [8, 6, 12, 24, 8, 6, 24, 24, 24, 32]
    np.testing.assert_allclose(lines.q, 2 * np.pi * np.sqrt(n) / 5.4115, rtol=1e-12)
    np.testing.assert_allclose(lines.d_spacing * lines.q, 2 * np.pi, rtol=1e-12)
    assert lines.hkl[[0, 3]].tolist() == [[1, 1, 1], [3, 1, 1]]


def test_fluorite_structure_factors_in_closed_form():
    lines = reflections(ceria(), q_min=1.0, q_max=6.5)
    ce, o = form_factor("Ce", lines.q), form_factor("O", lines.q)
    # F = 4 (f_Ce + 2 f_O cos(pi (h+k+l) / 2)) for unmixed indices.
    cosine = np.round(np.cos(np.pi / 2 * lines.hkl.sum(axis=1)))
    expected = 16 * (ce + 2 * o * cosine) ** 2
    np.testing.assert_allclose(lines.f_squared, expected, rtol=1e-9)


def test_displacements_and_occupancies_enter_as_in_the_textbook():
    site = {"space_group": 221, "a": 4.0, "elements": ["Fe"], "positions": [[0, 0, 0]]}
    at_rest = reflections(cubic(*site.values()), q_min=1, q_max=6)
    moving = cubic(*site.values(), b_iso=1.3, occupancies=0.5)
    damped = reflections(moving, q_min=1, q_max=6)
    factor = 0.25 * np.exp(-2 * 1.3 * (at_rest.q / (4 * np.pi)) ** 2)
    np.testing.assert_allclose(damped.f_squared, at_rest.f_squared * factor, rtol=1e-12)


@pytest.mark.parametrize(("setting", "x"), [("F d -3 m:1", 0.0), ("F d -3 m:2", 0.125)])
def test_silicon_does_not_depend_on_the_origin(setting, x):
    silicon = cubic(227, 5.431, ["Si"], [[x, x, x]], setting=setting)
    assert len(silicon.elements) == 8
    lines = reflections(silicon, q_min=1, q_max=6)
    assert [tuple(row) for row in lines.hkl[:4]] == [
        (1, 1, 1),
        (2, 2, 0),
        (3, 1, 1),
        (4, 0, 0),
    ]  # 222 is absent
    f = form_factor("Si", lines.q)
    shares = np.array([32, 64, 32, 64])
    np.testing.assert_allclose(lines.f_squared[:4], shares * f[:4] ** 2, rtol=1e-9)


def test_rounded_special_positions_are_put_right():
    quartz = Crystal.from_sites(**QUARTZ)
    assert quartz.elements == ("Si",) * 3 + ("O",) * 6
    lines = reflections(quartz, q_min=0.5, q_max=6)
    on_axis = lines.hkl[(lines.hkl[:, :2] == 0).all(axis=1), 2]
    assert on_axis.tolist() == [3]  # 00l: l = 3n, though 0.3333 is not a third


def test_an_orbit_at_the_edge_of_the_tolerance_is_refused():
    with pytest.raises(ValueError, match="special position"):
        cubic(221, 4.0, ["Fe"], [[0.009, 0.004, 0.0]], tolerance=0.05)


def test_lines_equal_by_symmetry_merge_and_no_others():
    rutile = Crystal.from_sites(
        space_group=136,
        cell=(4.594, 4.594, 2.959, 90, 90, 90),
        elements=["Ti", "O"],
        positions=[[0, 0, 0], [0.3053, 0.3053, 0]],
    )
    lines = reflections(rutile, q_min=0.5, q_max=6)
    assert (np.diff(lines.q) > 1e-6).all()
    inverse = np.linalg.inv(direct_metric(rutile.cell))
    box = np.array(list(np.ndindex(13, 13, 13))) - 6
    q = 2 * np.pi * np.sqrt(np.einsum("ni,ij,nj->n", box, inverse, box))
    counts = [(abs(q - line) < 1e-6).sum() for line in lines.q]
    assert lines.multiplicity.tolist() == counts
    assert (0, 0, 1) not in {tuple(row) for row in lines.hkl}


def test_a_line_is_named_by_a_member_that_is_there():
    pyrite = cubic(205, 5.4166, ["Fe", "S"], [[0, 0, 0], [0.3851, 0.3851, 0.3851]])
    lines = reflections(pyrite, q_min=0.5, q_max=8)
    absent = systematic_absences(205, lines.hkl)
    assert not absent.any()
    names = {tuple(row) for row in lines.hkl.tolist()}
    assert (3, 0, 2) in names
    assert (3, 2, 0) not in names  # hk0 needs an even h


def test_dispersion_averages_friedel_pairs():
    wavelength = 1.0
    arsenide = cubic(216, 5.653, ["Ga", "As"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    lines = reflections(arsenide, q_min=1, q_max=6, wavelength=wavelength)
    energy = 12398.4198 / wavelength
    factors = {}
    for symbol in ("Ga", "As"):
        z = atomic_number(symbol)
        real, imaginary = gemmi.cromer_liberman(z=z, energy=energy)
        factors[symbol] = form_factor(symbol, lines.q) + real + 1j * imaginary
    phase = 1j ** (lines.hkl.sum(axis=1) % 4)
    plus = abs(4 * (factors["Ga"] + factors["As"] * phase)) ** 2
    minus = abs(4 * (factors["Ga"] + factors["As"] / phase)) ** 2
    np.testing.assert_allclose(lines.f_squared, (plus + minus) / 2, rtol=1e-6)
    assert abs(plus - minus).max() > 1  # the average matters


def test_one_element_crystals_agree_with_pymatgen():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.diffraction import xrd  # noqa: PLC0415
        from pymatgen.core import Lattice, Structure  # noqa: PLC0415
    # Tables of form factors differ; with one element they divide out, and what is left
    # are cell, operations, multiplicities and the Lorentz and polarization factor.
    selenium = Crystal.from_sites(
        space_group=152,
        cell=(4.3662, 4.3662, 4.9536, 90, 90, 120),
        elements=["Se"],
        positions=[[0.2254, 0, 1 / 3]],
    )
    structure = Structure(
        Lattice.from_parameters(*selenium.cell), ["Se"] * 3, selenium.positions
    )
    wavelength = 1.5406
    calculator = xrd.XRDCalculator(wavelength=wavelength, symprec=0)
    theirs = calculator.get_pattern(structure, scaled=False, two_theta_range=(5, 90))
    q = 4 * np.pi * np.sin(np.radians(theirs.x / 2)) / wavelength
    fit = np.array(xrd.ATOMIC_SCATTERING_PARAMS["Se"])
    s2 = (q / (4 * np.pi)) ** 2
    f = 34 - 41.78214 * s2 * (fit[:, 0] * np.exp(-np.outer(s2, fit[:, 1]))).sum(axis=1)
    ours = reflections(selenium, q_min=0.36, q_max=5.767)
    strong = np.array([abs(ours.q - line).argmin() for line in q])
    np.testing.assert_allclose(ours.q[strong], q, rtol=1e-6)
    geometry = ours.f_squared / form_factor("Se", ours.q) ** 2 * ours.multiplicity
    # pymatgen's factor is (1 + cos^2) / (sin^2 cos), twice the normalised one.
    factor = 2 * lorentz_polarization(ours.q, wavelength)
    intensity = (geometry * factor)[strong] * f**2
    bright = theirs.y > 1e-3 * max(theirs.y)
    np.testing.assert_allclose(intensity[bright], np.array(theirs.y)[bright], rtol=1e-4)
    assert bright.sum() == 20


def test_lorentz_polarization_at_right_angles_and_out_of_reach():
    wavelength = 1.5
    q = 4 * np.pi * math.sin(math.pi / 4) / wavelength  # 2 theta = 90 degrees
    lorentz = 1 / (0.5 * math.sqrt(0.5))
    assert lorentz_polarization(q, wavelength, 0.0) == pytest.approx(lorentz)
    assert lorentz_polarization(q, wavelength, 1.0) == pytest.approx(lorentz / 2)
    assert lorentz_polarization(4 * np.pi / wavelength * 1.01, wavelength) == 0.0
    small = lorentz_polarization(np.array([1e-3]), 1.0, 0.7)
    np.testing.assert_allclose(small, (4 * np.pi / 1e-3) ** 2, rtol=1e-6)


def test_volume_and_impossible_cells():
    assert cell_volume((3, 4, 5, 90, 90, 90)) == pytest.approx(60)
    assert cell_volume((3, 3, 5, 90, 90, 120)) == pytest.approx(45 * math.sqrt(0.75))
    skewed = cell_volume((3, 4, 5, 90, 100, 90))
    assert skewed == pytest.approx(60 * math.sin(math.radians(100)))
    with pytest.raises(ValueError, match="do not exist"):
        cell_volume((3, 4, 5, 30, 30, 90))
    with pytest.raises(ValueError, match="above zero"):
        cell_volume((3, 4, -5, 90, 90, 90))


def test_bad_crystals_name_the_offender():
    with pytest.raises(ValueError, match="'Xx'"):
        cubic(225, 4.0, ["Xx"], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"P 1.*space group 225"):
        cubic(225, 4.0, ["Fe"], [[0, 0, 0]], setting="P 1")
    with pytest.raises(ValueError, match="shapes"):
        Crystal(
            space_group=1,
            a=3.0,
            b=3.0,
            c=3.0,
            alpha=90.0,
            beta=90.0,
            gamma=90.0,
            elements=("Fe",),
            positions=np.zeros((2, 3)),
            occupancies=np.ones(2),
            b_iso=np.zeros(2),
        )
    with pytest.raises(ValueError, match="q range"):
        reflections(ceria(), q_min=3, q_max=2)
    with pytest.raises(ValueError, match="lower q_max"):
        reflections(ceria(), q_min=3, q_max=2000)


def test_no_line_in_range_is_an_empty_list():
    lines = reflections(ceria(), q_min=0.1, q_max=1.0)
    assert len(lines.q) == len(lines.f_squared) == 0
    assert lines.hkl.shape == (0, 3)


def test_form_factors_count_electrons_and_interpolate():
    a, _ = form_factor_coefficients()
    electrons = a.sum(axis=1)
    np.testing.assert_allclose(electrons[1:], np.arange(1, 99), atol=0.11)
    table, step = form_factor_table(0.25)
    middle = (np.arange(2047) + 0.5) * step
    exact = form_factor("Fe", 4 * np.pi * np.sqrt(middle))
    between = (table[26, :2047] + table[26, 1:2048]) / 2
    np.testing.assert_allclose(between, exact, rtol=1e-4)

"""Crystals of PyXtal: sites, labels, sameness, and their lines beside pymatgen's."""

from __future__ import annotations

import warnings
from collections import Counter

import gemmi
import numpy as np
import pytest

from ringwatch.models.crystals.pyxtal_crystals import (
    PyXtalError,
    draw_atoms,
    draw_molecules,
)
from ringwatch.models.diffraction import lorentz_polarization, reflections

SALT = (225, ["Na", "Cl"], [4, 4])
PEROVSKITE = (62, ["Ca", "Ti", "O"], [4, 4, 12])
HEXAGONAL = (186, ["Zn", "S"], [2, 2])


def is_kept_by_its_group(crystal):
    """Each operation of the labelled group takes each atom to one of its element."""
    group = next(
        g
        for g in gemmi.spacegroup_table()
        if g.number == crystal.space_group and g.is_reference_setting()
    )
    elements = np.array(crystal.elements)
    alike = elements[:, None] == elements[None]
    for operation in group.operations():
        turn = np.array(operation.rot) / gemmi.Op.DEN
        shift = np.array(operation.tran) / gemmi.Op.DEN
        image = crystal.positions @ turn.T + shift
        off = image[:, None] - crystal.positions[None]
        off = abs(off - np.rint(off)).max(axis=2)
        if not ((off < 1e-4) & alike).any(axis=1).all():
            return False
    return True


@pytest.mark.parametrize(("group", "elements", "counts"), [SALT, PEROVSKITE, HEXAGONAL])
def test_atoms_have_the_group_and_the_composition_asked_for(group, elements, counts):
    crystal = draw_atoms(group, elements, counts, seed=3)
    assert crystal.space_group == group
    assert Counter(crystal.elements) == dict(zip(elements, counts, strict=True))
    assert is_kept_by_its_group(crystal)
    if group == 186:
        assert crystal.a == crystal.b
        assert crystal.cell[3:] == (90, 90, 120)


def test_molecules_stay_whole_on_the_general_position():
    crystal = draw_molecules(14, ["aspirin"], [4], seed=1)
    assert Counter(crystal.elements) == {"C": 36, "H": 32, "O": 16}
    assert is_kept_by_its_group(crystal)
    water = draw_molecules(19, ["H2O"], [4], seed=1)
    assert Counter(water.elements) == {"O": 4, "H": 8}
    distances = nearest(water, "O", "H")
    np.testing.assert_allclose(distances[:, :2], 0.97, atol=0.02)  # its own two
    assert distances[:, 2].min() > 1.2


def nearest(crystal, of, to):
    """Distances (n, m) of atoms to those of another element, ascending, Angstrom."""
    cell = gemmi.UnitCell(*crystal.cell)
    places = [gemmi.Fractional(*p) for p in crystal.positions]
    pick = {e: [p for p, x in zip(places, crystal.elements, strict=True) if x == e]
            for e in (of, to)}  # fmt: skip
    rows = [
        sorted(cell.find_nearest_image(cell.orthogonalize(p), cell.orthogonalize(o),
                                       gemmi.Asu.Any).dist() for o in pick[to])
        for p in pick[of]
    ]  # fmt: skip
    return np.array(rows)


def test_one_seed_one_crystal():
    first = draw_atoms(*PEROVSKITE, seed=5)
    again = draw_atoms(*PEROVSKITE, seed=5)
    other = draw_atoms(*PEROVSKITE, seed=6)
    assert first.cell == again.cell
    np.testing.assert_array_equal(first.positions, again.positions)
    assert first.cell != other.cell
    wet = [draw_molecules(33, ["H2O"], [8], seed=2) for _ in range(2)]
    np.testing.assert_array_equal(wet[0].positions, wet[1].positions)


def test_more_symmetric_than_asked_for_is_refused():
    """Two carbons always have a centre between them: P1 cannot come out."""
    with pytest.raises(PyXtalError, match=r"3 attempts .* only crystals .* \[2\]"):
        draw_atoms(1, ["C"], [2], seed=1, attempts=3)
    unchecked = draw_atoms(1, ["C"], [2], seed=1, attempts=3, confirmed=False)
    assert unchecked.space_group == 1


@pytest.mark.parametrize(
    ("draw", "group", "species", "counts", "told"),
    [
        (draw_atoms, 225, ["Na"], [3], "no set of Wyckoff positions"),
        (draw_atoms, 225, ["Xx"], [4], "'Xx'"),
        (draw_atoms, 225, ["na"], [4], "'na': expected a symbol from H to Cm"),
        (draw_atoms, 225, ["Cf"], [4], "'Cf': expected"),
        (draw_atoms, 231, ["Na"], [4], "1 to 230"),
        (draw_atoms, 225, ["Na", "Na"], [4, 4], "each kind once"),
        (draw_atoms, 225, ["Na"], [4, 4], "one count each"),
        (draw_atoms, 225, ["Na"], [0], "above zero"),
        (draw_molecules, 14, ["H2O"], [3], "no set of Wyckoff positions"),
        (draw_molecules, 14, ["no such thing"], [4], "aspirin"),
        (draw_molecules, 14, ["absent.xyz"], [4], r"absent\.xyz: no file"),
    ],
)
def test_what_cannot_be_made_is_told(draw, group, species, counts, told):
    draw_molecules(14, ["H2O"], [4], seed=1)  # PyXtal remembers the last it looked up
    with pytest.raises(PyXtalError, match=told):
        draw(group, species, counts, seed=1)


def test_a_molecule_of_ones_own(tmp_path):
    path = tmp_path / "carbon monoxide.xyz"
    path.write_text("2\nCO\nC 0 0 0\nO 0 0 1.128\n")
    crystal = draw_molecules(19, [str(path)], [4], seed=1)
    assert Counter(crystal.elements) == {"C": 4, "O": 4}
    np.testing.assert_allclose(nearest(crystal, "C", "O")[:, 0], 1.128, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected lines"),
        ("hello\nworld\n", "expected lines"),
        ("2\ntwo\nC 0 0 0\n", "1 atoms, not 2"),
        ("1\nno number\nC 0 0 a\n", "'a'"),
        ("1\nnan\nC 0 0 nan\n", "expected lines"),
        ("1\nno element\nXx 0 0 0\n", "'Xx'"),
        ("1\nsmall\nc 0 0 0\n", "'c'"),
        ("2\nboth\nC 0 0 0\nO 0 0 0.2\n", "within 0.5 Angstrom"),
        ("\x00" * 2_000_000, "at most 1048576 bytes"),
    ],
)
def test_files_that_are_no_molecule_are_refused(text, told, tmp_path):
    path = tmp_path / "bad.xyz"
    path.write_text(text)
    with pytest.raises(PyXtalError, match=told):
        draw_molecules(19, [str(path)], [4], seed=1)


def pymatgen_coefficients():
    """pymatgen's form factors as sums of Gaussians in s: a and b, (99, 9).

    It has Z - 41.78 s^2 sum a exp(-b s^2); s^2 exp(-b s^2) is the derivative of a
    Gaussian for b, here over a step so small that 1e-8 of it is left.
    """
    from pymatgen.analysis.diffraction import xrd  # noqa: PLC0415

    step = 1e-3
    a, b = np.zeros((99, 9)), np.zeros((99, 9))
    for symbol, terms in xrd.ATOMIC_SCATTERING_PARAMS.items():
        z, fit = gemmi.Element(symbol).atomic_number, np.array(terms)
        if not 0 < z < 99:
            continue
        slope = 41.78214 * fit[:, 0] / (2 * step)
        a[z] = [z, *slope, *-slope]
        b[z] = [0, *(fit[:, 1] + step), *(fit[:, 1] - step)]
    return a, b


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (draw_atoms, SALT),
        (draw_atoms, PEROVSKITE),
        (draw_atoms, HEXAGONAL),
        (draw_molecules, (19, ["H2O"], [4])),
    ],
)
def test_lines_are_those_of_pymatgen(draw, what, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.diffraction.xrd import XRDCalculator  # noqa: PLC0415
        from pymatgen.core import Lattice, Structure  # noqa: PLC0415
    same = pymatgen_coefficients()
    monkeypatch.setattr(
        "ringwatch.models.diffraction.lines.form_factor_coefficients", lambda: same
    )
    crystal = draw(*what, seed=1)
    structure = Structure(
        Lattice.from_parameters(*crystal.cell), crystal.elements, crystal.positions
    )
    theirs = XRDCalculator(wavelength=1.0, symprec=0).get_pattern(
        structure, scaled=False, two_theta_range=(4, 40)
    )
    lines = reflections(crystal, q_min=0.3, q_max=4.5)
    at = 4 * np.pi * np.sin(np.radians(theirs.x / 2))
    areas = lines.f_squared * lines.multiplicity * 2
    ours = np.where(abs(lines.q - at[:, None]) < 2e-6 * at[:, None], areas, 0)
    ours = ours.sum(axis=1) * lorentz_polarization(at, 1.0)
    strong = theirs.y > 0.01 * theirs.y.max()
    assert strong.sum() >= 4
    np.testing.assert_allclose(ours[strong], theirs.y[strong], rtol=1e-4)

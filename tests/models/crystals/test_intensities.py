"""Strengths of lines against pymatgen and the factors of each atom."""

from __future__ import annotations

import warnings

import gemmi
import numpy as np
import pytest

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.crystals.powder_lines import powder_lines
from ringwatch.models.crystals.priors import build_priors
from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.diffraction import lorentz_polarization, reflections
from ringwatch.models.diffraction.form_factors import dispersion_corrections

from .spglib_groups import axes

TABLES = wyckoff_tables()


def pymatgen_factors(s2):
    """pymatgen's form factors, (99, n); 0 for elements that it lacks."""
    from pymatgen.analysis.diffraction import xrd  # noqa: PLC0415

    table = np.zeros((99, len(s2)))
    for symbol, terms in xrd.ATOMIC_SCATTERING_PARAMS.items():
        fit, z = np.array(terms), gemmi.Element(symbol).atomic_number
        if 0 < z < 99:
            damped = fit[:, 0] * np.exp(-np.outer(s2, fit[:, 1]))
            table[z] = z - 41.78214 * s2 * damped.sum(axis=1)
    return table


def test_intensities_agree_with_pymatgen():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.diffraction.xrd import XRDCalculator  # noqa: PLC0415
        from pymatgen.core import Structure  # noqa: PLC0415
    generator = CrystalGenerator(seed=11, partial=0.3)
    priors = build_priors(
        TABLES, generator.space_group_prior, joint=0.75, contact_draws=6, partial=0.3
    )
    step = (4.5 / (4 * np.pi)) ** 2 / 16_384
    factors = pymatgen_factors(step * np.arange(16_386)).astype(np.float32)
    s_range = (0.4 / (2 * np.pi), 4.4 / (2 * np.pi))
    groups, partly, compared = set(), 0, 0
    for i in range(40):
        drawn = generator.crystal(i)
        z = [gemmi.Element(symbol).atomic_number for symbol in drawn.elements]
        if len(z) > 50 or not factors[z, 0].all():
            continue  # pymatgen takes seconds, or lacks the element
        _, _, q, strength = powder_lines(
            11, i, 1, TABLES, priors, s_range, factors, step, np.zeros(99)
        )
        shares = drawn.occupancies.tolist()
        species = [{e: o} for e, o in zip(drawn.elements, shares, strict=True)]
        partly += min(shares) < 1
        calculator = XRDCalculator(
            wavelength=1.0,
            symprec=0,
            debye_waller_factors=dict(zip(drawn.elements, drawn.b_iso, strict=True)),
        )
        theirs = calculator.get_pattern(
            Structure(axes(drawn), species, drawn.positions),
            scaled=False,
            two_theta_range=(4, 40),
        )
        at = 4 * np.pi * np.sin(np.radians(theirs.x / 2))
        expected = theirs.y / lorentz_polarization(at, 1.0) / 2
        # pymatgen merges lines within 1e-5 degrees.
        near = abs(q[:, None] - at) < 2e-6 * at
        merged = np.where(near, strength[:, None], 0).sum(axis=0)
        strong = theirs.y > 0.01 * theirs.y.max()
        np.testing.assert_allclose(merged[strong], expected[strong], rtol=1e-4)
        groups.add(drawn.space_group)
        compared += int(strong.sum())
    assert len(groups) >= 8
    assert partly >= 1
    assert compared > 300


def test_dispersion_is_that_of_each_atom():
    # At 1.743 A, just short of iron's edge, f' is -5 electrons or so.
    generator = CrystalGenerator(seed=3, wavelength=1.743)
    peaks = generator.peaks(0, 25)
    for i in range(25):
        crystal = generator.crystal(i)
        lines = reflections(crystal, q_min=0.29, q_max=6.1, wavelength=1.743)
        rows = slice(peaks.start[i], peaks.start[i + 1])
        middle = (lines.q[1:] + lines.q[:-1]) / 2
        line = np.searchsorted(middle, peaks.q[rows])
        merged = np.bincount(line, peaks.strength[rows], len(lines.q))
        expected = lines.f_squared * lines.multiplicity
        strong = expected > 1e-2 * expected.max()
        np.testing.assert_allclose(merged[strong], expected[strong], rtol=1e-4)
    plain = CrystalGenerator(seed=3).peaks(0, 25)
    np.testing.assert_array_equal(plain.q, peaks.q)
    strong = plain.strength > plain.strength.max() * 1e-4
    assert abs(peaks.strength[strong] / plain.strength[strong] - 1).max() > 0.05
    f_prime, f_double = dispersion_corrections(1.5418)
    assert f_prime[26] == pytest.approx(-1.13, abs=0.02)  # Int. Tables C, 4.2.6.8
    assert f_double[26] == pytest.approx(3.20, abs=0.02)
    with pytest.raises(ValueError, match=r"expected 0\.1 to 4"):
        dispersion_corrections(15.0)

"""Powder patterns per core-second: random crystals of all 230 groups, drawn.

One thread; beside it what the field's usual tools take: PyXtal's random crystals and
pymatgen's peaks, which are not even drawn. Run: ``python -m benchmarks.generator``.
"""

from __future__ import annotations

import random
import time
import warnings

import numpy as np

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.diffraction import Grid, lorentz_polarization, render

PATTERNS = 3000
PEERS = 10
WAVELENGTH = 1.5406


def draw_patterns(generator: CrystalGenerator, grid: Grid) -> tuple[float, float]:
    """Core-seconds for the lines and for the drawing of `PATTERNS` patterns.

    Widths are those of a laboratory diffractometer: 0.02 to 0.08 degrees of instrument,
    crystallites of 20 to 100 nm.
    """
    rng = np.random.default_rng(1)
    begin = time.process_time()
    peaks = generator.peaks(0, PATTERNS)
    lines = time.process_time() - begin
    size, degrees, eta = (
        rng.uniform(*r, PATTERNS) for r in ((20, 100), (0.02, 0.08), (0, 1))
    )
    begin = time.process_time()
    of = np.repeat(np.arange(PATTERNS), np.diff(peaks.start))
    cosine = np.sqrt(1 - (peaks.q * WAVELENGTH / (4 * np.pi)) ** 2)
    instrument = 2 * np.pi / WAVELENGTH * cosine * np.radians(degrees)[of]
    fwhm = np.hypot(instrument, 0.9 * 2 * np.pi / (10 * size)[of])
    area = peaks.strength * lorentz_polarization(peaks.q, WAVELENGTH)
    render(grid, peaks.start, peaks.q, area, fwhm, eta)
    return lines, time.process_time() - begin


def peer_seconds() -> float:
    """Core-seconds per crystal of PyXtal and pymatgen, peaks only."""
    warnings.simplefilter("ignore")
    from pymatgen.analysis.diffraction.xrd import XRDCalculator  # noqa: PLC0415
    from pyxtal import pyxtal  # noqa: PLC0415
    from pyxtal.symmetry import Group  # noqa: PLC0415

    random.seed(1)
    rng = np.random.default_rng(1)
    calculator = XRDCalculator(wavelength=WAVELENGTH, symprec=0)
    made, begin = 0, time.process_time()
    while made < PEERS:
        number = int(rng.integers(1, 231))
        group = Group(number)
        positions = [group[int(rng.integers(0, len(group)))] for _ in range(2)]
        crystal = pyxtal()
        crystal.from_random(
            3, number, ["Ti", "O"], [position.multiplicity for position in positions]
        )
        if crystal.valid:
            structure = crystal.to_pymatgen()
            calculator.get_pattern(structure, two_theta_range=(5, 90))
            made += 1
    return (time.process_time() - begin) / PEERS


def main() -> None:
    """Print rates, one line each."""
    flat = CrystalGenerator(seed=1, q_min=0.356, q_max=5.77, class_balance=1.0)
    for n_bins, logarithmic in ((8501, False), (2048, True)):
        grid = Grid(n_bins=n_bins, q_min=0.356, q_max=5.77, logarithmic=logarithmic)
        draw_patterns(flat, grid)  # compiles
        lines, drawing = draw_patterns(flat, grid)
        print(
            f"ringwatch, {n_bins} {'log' if logarithmic else 'linear'} points:"
            f" {PATTERNS / (lines + drawing):8.0f} patterns per core-second"
            f" (lines {lines / PATTERNS * 1e6:.0f} us,"
            f" drawing {drawing / PATTERNS * 1e6:.0f} us)"
        )
    peer = peer_seconds()
    print(f"pyxtal + pymatgen, peaks only: {1 / peer:8.1f} crystals per core-second")


if __name__ == "__main__":
    main()

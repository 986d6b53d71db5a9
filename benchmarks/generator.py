"""Powder patterns per core-second: random crystals of all 230 groups, drawn.

One thread; beside it what the field's usual tools take: PyXtal's random crystals and
pymatgen's peaks, which are not even drawn. They are measured twice, because their time
goes with the atoms: on the compositions that ours are made of, and on binaries of two
sites, one of them the smallest of the group.

Run: ``python -m benchmarks.generator``, with ``--json`` for machines; on a GPU:
``python -m benchmarks.generator --device cuda``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

from ringwatch.models.crystals import CrystalGenerator, Peaks
from ringwatch.models.crystals.pyxtal_crystals import PyXtalError, draw_atoms
from ringwatch.models.diffraction import Crystal, Grid, lorentz_polarization, render

PATTERNS = 3000
PEERS = 100
MOST_ATOMS = 60
"""PyXtal may search for minutes in larger cells."""
WAVELENGTH = 1.5406

Composition = tuple[int, list[str], list[int]]
"""Space group, elements, atoms of each in the conventional cell."""


def laboratory_lines(
    peaks: Peaks, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Areas (M,), widths (M,) and Lorentzian shares (B,) of B patterns.

    Widths are those of a laboratory diffractometer: 0.02 to 0.08 degrees of instrument,
    crystallites of 20 to 100 nm.
    """
    n = len(peaks.space_group)
    size = rng.uniform(20, 100, n)
    degrees, eta = rng.uniform(0.02, 0.08, n), rng.uniform(0, 1, n)
    of = np.repeat(np.arange(n), np.diff(peaks.start))
    cosine = np.sqrt(1 - (peaks.q * WAVELENGTH / (4 * np.pi)) ** 2)
    instrument = 2 * np.pi / WAVELENGTH * cosine * np.radians(degrees)[of]
    fwhm = np.hypot(instrument, 0.9 * 2 * np.pi / (10 * size)[of])
    return peaks.strength * lorentz_polarization(peaks.q, WAVELENGTH), fwhm, eta


def draw_patterns(generator: CrystalGenerator, grid: Grid) -> tuple[float, float]:
    """Core-seconds for the lines and for the drawing of `PATTERNS` patterns."""
    begin = time.process_time()
    peaks = generator.peaks(0, PATTERNS)
    lines = time.process_time() - begin
    begin = time.process_time()
    parts = laboratory_lines(peaks, np.random.default_rng(1))
    render(grid, peaks.start, peaks.q, *parts)
    return lines, time.process_time() - begin


def measure_ours(generator: CrystalGenerator) -> list[dict[str, Any]]:
    """Rates on the benchmark's two grids."""
    rates = []
    for n_bins, spacing in ((8501, "linear"), (2048, "logarithmic")):
        grid = Grid(
            n_bins=n_bins, q_min=0.356, q_max=5.77, logarithmic=spacing != "linear"
        )
        draw_patterns(generator, grid)  # compiles
        # Other work on the machine only ever adds time: the best of three is nearest.
        lines, drawing = min(
            (draw_patterns(generator, grid) for _ in range(3)), key=sum
        )
        rates.append(
            {
                "points": n_bins,
                "spacing": spacing,
                "patterns_per_core_second": PATTERNS / (lines + drawing),
                "lines_us": lines / PATTERNS * 1e6,
                "drawing_us": drawing / PATTERNS * 1e6,
            }
        )
    return rates


def compositions_of_ours(generator: CrystalGenerator) -> Iterator[Composition]:
    """What ours are made of, up to `MOST_ATOMS` atoms."""
    for index in count():
        ours = generator.crystal(index)
        if len(ours.elements) <= MOST_ATOMS:
            atoms = Counter(ours.elements)
            yield ours.space_group, list(atoms), list(atoms.values())


def tiny_binaries(generator: CrystalGenerator) -> Iterator[Composition]:
    """Two elements in the groups of ours: one fills the smallest position, one any."""
    from pyxtal.symmetry import Group  # noqa: PLC0415  takes seconds

    rng = np.random.default_rng(1)
    for space_group, elements, _ in compositions_of_ours(generator):
        if len(elements) > 1:
            positions = [place.multiplicity for place in Group(space_group)]
            counts = [positions[-1], int(rng.choice(positions))]
            yield space_group, elements[:2], counts


def peer_seconds(compositions: Iterator[Composition]) -> np.ndarray:
    """Core-seconds of `PEERS` crystals by PyXtal with their peaks by pymatgen.

    PyXtal puts the atoms on Wyckoff positions of its own choice and keeps them apart.
    Those that it gives up on are not counted, nor is their time; whether spglib finds
    the group is not asked.
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator  # noqa: PLC0415

    calculator = XRDCalculator(wavelength=WAVELENGTH, symprec=0)
    draw_atoms(225, ["Na", "Cl"], [4, 4], seed=1)  # imports, which take seconds
    seconds: list[float] = []
    for seed, composition in enumerate(compositions):
        if len(seconds) == PEERS:
            break
        begin = time.process_time()
        try:
            crystal = draw_atoms(*composition, seed=seed, attempts=1, confirmed=False)
        except PyXtalError:
            continue
        calculator.get_pattern(as_structure(crystal), two_theta_range=(5, 90))
        seconds.append(time.process_time() - begin)
    return np.array(seconds)


def as_structure(crystal: Crystal) -> Any:
    """Make a structure of pymatgen's."""
    from pymatgen.core.lattice import Lattice  # noqa: PLC0415
    from pymatgen.core.structure import Structure  # noqa: PLC0415

    lattice = Lattice.from_parameters(*crystal.cell)
    return Structure(lattice, crystal.elements, crystal.positions)


PEER_COMPOSITIONS: dict[str, Callable[[CrystalGenerator], Iterator[Composition]]] = {
    f"compositions of ours, up to {MOST_ATOMS} atoms": compositions_of_ours,
    "tiny binaries, the smallest position and one at random": tiny_binaries,
}


def measure_peers(generator: CrystalGenerator, ours: float) -> list[dict[str, Any]]:
    """Rates of PyXtal with pymatgen, and how many times faster ``ours`` is."""
    rates = []
    for name, compositions in PEER_COMPOSITIONS.items():
        seconds = peer_seconds(compositions(generator))
        error = seconds.std() / np.sqrt(len(seconds)) / seconds.mean()
        rates.append(
            {
                "compositions": name,
                "crystals": len(seconds),
                "crystals_per_core_second": 1 / seconds.mean(),
                "ratio": ours * seconds.mean(),
                "relative_error": error,
            }
        )
    return rates


def main() -> None:
    """Print rates, one line each, and how much faster than the peers ours is."""
    parser = argparse.ArgumentParser(description="Powder patterns per second.")
    parser.add_argument("--device", help="let torch draw there, such as cuda")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.device is not None:
        if arguments.json:
            parser.error("--json is for the CPU: leave out --device")
        from ringwatch.benchmarks import device_generator  # noqa: PLC0415  torch takes seconds

        device_generator.main(arguments.device, laboratory_lines)
        return
    warnings.simplefilter("ignore")  # pymatgen's and PyXtal's, of what is deprecated
    generator = CrystalGenerator(seed=1, q_min=0.356, q_max=5.77, class_balance=1.0)
    ours = measure_ours(generator)
    peers = measure_peers(generator, ours[0]["patterns_per_core_second"])
    if arguments.json:
        print(json.dumps({"ringwatch": ours, "pyxtal_with_pymatgen": peers}, indent=2))
        return
    for rate in ours:
        print(
            f"ringwatch, {rate['points']} {rate['spacing']} points:"
            f" {rate['patterns_per_core_second']:.0f} patterns per core-second"
            f" (lines {rate['lines_us']:.0f} us, drawing {rate['drawing_us']:.0f} us)"
        )
    for rate in peers:
        print(
            f"pyxtal + pymatgen, peaks only; {rate['compositions']}:"
            f" {rate['crystals_per_core_second']:.1f} crystals per core-second;"
            f" ratio at 8501 points {rate['ratio']:.0f}"
            f" (+-{rate['relative_error']:.0%}, {rate['crystals']} crystals)"
        )


if __name__ == "__main__":
    main()

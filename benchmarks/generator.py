"""Powder patterns a core-second, of random crystals: `python benchmarks/generator.py`.

Random crystals of all 230 groups, each with its lines drawn as a pattern; one thread.
Beside it, in turns, what the field's usual tools take: PyXtal's random crystals and the
peaks of pymatgen's XRDCalculator, which are not even drawn. Those are measured twice,
because their time goes with the atoms: on the compositions that ours are made of, and
on binaries of two sites, one of them the smallest of the group (same space groups).

"times fewer than ours" compares with ours on the first grid. There is no floor: nobody
can say what the cheapest random crystal costs. On a GPU: `--device cuda`.

For example: `python benchmarks/generator.py --patterns 500 --crystals 20 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    COUNT,
    REPEATS,
    SILENT,
    Parser,
    Steps,
    end_in_one_line,
    steps,
    whole,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and numba read once.
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

from ringwatch.agent.errors import SettingsError
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.models.crystals import CrystalGenerator, Peaks
from ringwatch.models.crystals.pyxtal_crystals import PyXtalError, draw_atoms
from ringwatch.models.diffraction import Crystal, Grid, lorentz_polarization, render

SEED = 1
MOST_ATOMS = 60
"""Of the compositions of ours: PyXtal may search for minutes in larger cells."""
WAVELENGTH = 1.5406
_ASKED = "Nothing is asked here: training takes what one core makes beside it."

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


def draw_patterns(
    generator: CrystalGenerator, grid: Grid, patterns: int
) -> tuple[float, float]:
    """Core-seconds a pattern for the lines and for their drawing."""
    begin = time.process_time()
    peaks = generator.peaks(0, patterns)
    lines = time.process_time() - begin
    begin = time.process_time()
    parts = laboratory_lines(peaks, np.random.default_rng(1))
    render(grid, peaks.start, peaks.q, *parts)
    return lines / patterns, (time.process_time() - begin) / patterns


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


def peer_seconds(
    compositions: Iterator[tuple[int, Composition]], crystals: int
) -> list[float]:
    """Core-seconds of the next crystals by PyXtal, each with its peaks by pymatgen.

    PyXtal puts the atoms on Wyckoff positions of its own choice and keeps them apart.
    Those that it gives up on are not counted, nor is their time; whether spglib finds
    the group is not asked.
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator  # noqa: PLC0415

    calculator = XRDCalculator(wavelength=WAVELENGTH, symprec=0)
    seconds: list[float] = []
    while len(seconds) < crystals:
        seed, composition = next(compositions)
        begin = time.process_time()
        try:
            crystal = draw_atoms(*composition, seed=seed, attempts=1, confirmed=False)
        except PyXtalError:
            continue
        calculator.get_pattern(as_structure(crystal), two_theta_range=(5, 90))
        seconds.append(time.process_time() - begin)
    return seconds


def as_structure(crystal: Crystal) -> Any:
    """Make a structure of pymatgen's."""
    from pymatgen.core.lattice import Lattice  # noqa: PLC0415
    from pymatgen.core.structure import Structure  # noqa: PLC0415

    lattice = Lattice.from_parameters(*crystal.cell)
    return Structure(lattice, crystal.elements, crystal.positions)


PEERS: dict[str, Callable[[CrystalGenerator], Iterator[Composition]]] = {
    "PyXtal + pymatgen, compositions of ours": (compositions_of_ours),
    "PyXtal + pymatgen, tiny binaries": tiny_binaries,
}


def measure(
    *,
    patterns: int = 3000,
    crystals: int = 100,
    repeats: int = 5,
    told: Steps = SILENT,
) -> list[dict[str, Any]]:
    """Ours on two grids and the peers on two kinds of crystals, in turns.

    Parameters
    ----------
    patterns : int
        Of ours, on each grid in each round.
    crystals : int
        Of each peer in all; shared out among the rounds.
    repeats : int
        Rounds.
    told : Steps
        Where it is said what begins: two steps and one a round.

    Returns
    -------
    list of dict
        One row a way: patterns (of peers crystals, their peaks only) a core-second, and
        how many times more ours makes of them on the first grid. Ours is the median of
        its rounds; a peer's is over all its crystals, which differ a thousandfold, with
        the standard error of that mean.
    """
    told.begin("our kernels are loaded; compiled the first time, for minutes")
    generator = CrystalGenerator(seed=SEED, q_min=0.356, q_max=5.77, class_balance=1.0)
    grids = {
        f"ours, {bins} {spacing} points": Grid(
            n_bins=bins, q_min=0.356, q_max=5.77, logarithmic=spacing != "linear"
        )
        for bins, spacing in ((8501, "linear"), (2048, "logarithmic"))
    }
    ours: dict[str, list[tuple[float, float]]] = {name: [] for name in grids}
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    queues = {name: enumerate(made(generator)) for name, made in PEERS.items()}
    for grid in grids.values():
        draw_patterns(generator, grid, min(patterns, 100))  # compiles
    told.begin("PyXtal is loaded")
    draw_atoms(225, ["Na", "Cl"], [4, 4], seed=1)  # imports, which take seconds
    for turn in range(1, repeats + 1):
        told.begin(f"round {turn} of {repeats}")
        for name, grid in grids.items():
            ours[name].append(draw_patterns(generator, grid, patterns))
        for name, queue in queues.items():
            theirs[name] += peer_seconds(queue, -(-crystals // repeats))
    cost = {name: statistics.median(map(sum, each)) for name, each in ours.items()}
    cost |= {name: statistics.mean(each) for name, each in theirs.items()}
    first = cost[next(iter(grids))]
    rows = []
    for name, seconds in cost.items():
        lines, drawing = (
            statistics.median(part) * 1e6 if name in ours else None
            for part in zip(*ours.get(name, [(0.0, 0.0)]), strict=True)
        )
        peer = np.array(theirs.get(name, ()))
        error = peer.std() / np.sqrt(peer.size) / peer.mean() if peer.size else None
        rows.append(
            {
                "way": name,
                "counted": len(theirs.get(name, ())) or patterns * repeats,
                "per_core_second": 1 / seconds,
                "times_fewer_than_ours": seconds / first,
                "relative_error": None if error is None else float(error),
                "lines_us": lines,
                "drawing_us": drawing,
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.option("--patterns", whole(1, 1_000_000), 3000, "of a round")
    parser.option("--crystals", COUNT, 100, "of a peer")
    parser.option("--repeats", REPEATS, 5, "rounds")
    parser.add_argument("--device", help="let torch draw there, such as cuda")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.device is not None:
        if options.json:
            parser.error("--json is for the CPU: leave out --device")
        # torch takes seconds
        from ringwatch.agent.device_sums import find_device  # noqa: PLC0415
        from ringwatch.benchmarks import device_generator  # noqa: PLC0415

        try:
            find_device(options.device)
        except SettingsError:
            parser.error(
                f"argument --device: {options.device} cannot be used here: cpu, or "
                "torch's name of a GPU that it sees"
            )
        device_generator.main(options.device, laboratory_lines)
        return
    warnings.simplefilter("ignore")  # pymatgen's and PyXtal's, of what is deprecated
    with steps("generator", 2 + options.repeats) as told:
        rows = measure(
            patterns=options.patterns,
            crystals=options.crystals,
            repeats=options.repeats,
            told=told,
        )
    if options.json:
        show_json(rows)
    else:
        show_table(rows, "Powder patterns of random crystals, one core", _ASKED)


if __name__ == "__main__":
    main()

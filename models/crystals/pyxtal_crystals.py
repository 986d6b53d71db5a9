"""Crystals of PyXtal's ``from_random``: a slow reference, and the way to molecules.

PyXtal (Fredericks et al., Comput. Phys. Commun. 261 (2021) 107810) puts atoms, or
whole molecules, on Wyckoff positions of its choice until they keep their distances. It
takes milliseconds to seconds a crystal and leaves cells to chance; `CrystalGenerator`
makes what networks are trained on.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from scipy.spatial.distance import pdist

from ringwatch.models.diffraction import Crystal
from ringwatch.models.diffraction.unit_cell import atomic_number

__all__ = ["PyXtalError", "draw_atoms", "draw_molecules"]

SYMPREC = 1e-3
"""Angstrom: how far an atom may be off for spglib to call two places equal."""
_DIGITS = 10
"""Decimals kept of cells: PyXtal's angles of 120 degrees are off by rounding."""
_MOST_BYTES = 2**20
_HEAVIEST = 96
_CLOSEST = 0.5
"""Angstrom; bonds of hydrogen have 0.74."""


class PyXtalError(ValueError):
    """PyXtal cannot make the crystal that was asked for, or found none."""


def draw_atoms(
    space_group: int,
    elements: Sequence[str],
    counts: Sequence[int],
    *,
    seed: int,
    attempts: int = 10,
    confirmed: bool = True,
) -> Crystal:
    """Draw a crystal of atoms.

    Parameters
    ----------
    space_group : int
        1 to 230.
    elements : sequence of str
        Chemical symbols, each once.
    counts : sequence of int
        Atoms of each element in the conventional cell.
    seed : int
        Not negative. The same arguments give the same crystal under one version of
        PyXtal.
    attempts : int
        How often PyXtal is asked. Each time it tries 40 cells at most with 10
        arrangements each, which takes seconds in large cells.
    confirmed : bool
        Whether spglib has to find ``space_group`` (tolerance 0.001 Angstrom): atoms at
        special coordinates can be more symmetric than asked for.

    Returns
    -------
    Crystal
        All atoms of the conventional cell; axis b, hexagonal axes, origin choice 2.
        Occupancies are 1, displacements 0.

    Raises
    ------
    PyXtalError
        If an element is unknown, no set of Wyckoff positions has these counts, or all
        attempts failed.
    """
    for symbol in elements:
        _check_element(symbol)
    return _draw(space_group, elements, counts, False, seed, attempts, confirmed)


def draw_molecules(
    space_group: int,
    molecules: Sequence[str],
    counts: Sequence[int],
    *,
    seed: int,
    attempts: int = 10,
    confirmed: bool = True,
) -> Crystal:
    """Draw a crystal of rigid molecules.

    Parameters
    ----------
    space_group, seed, attempts, confirmed
        As `draw_atoms` takes them.
    molecules : sequence of str
        Names of PyXtal's collection, such as ``H2O``, ``benzene`` or ``aspirin``, or
        paths of ``.xyz`` files.
    counts : sequence of int
        Molecules of each kind in the conventional cell: as many as the group has
        general positions, or multiples, for molecules without symmetry.

    Returns
    -------
    Crystal
        As of `draw_atoms`.

    Raises
    ------
    PyXtalError
        If a molecule is unknown, none of the sites suits its own symmetry, or all
        attempts failed.
    """
    known = _collection()
    for name in molecules:
        if name.endswith(".xyz"):
            _check_xyz(Path(name))
        elif name.lower() not in known:
            # PyXtal would take the molecule that it looked up before.
            raise PyXtalError(
                f"molecule {name!r}: expected the path of an .xyz file, or one of"
                f" {', '.join(known.values())}"
            )
    return _draw(space_group, molecules, counts, True, seed, attempts, confirmed)


def _draw(
    space_group: int,
    species: Sequence[str],
    counts: Sequence[int],
    molecular: bool,
    seed: int,
    attempts: int,
    confirmed: bool,
) -> Crystal:
    """Ask PyXtal until it finds a crystal of the label that was asked for."""
    what = f"{_composition(species, counts)} in space group {space_group}"
    _check(what, space_group, species, counts, seed, attempts)
    found: list[int] = []
    for attempt in range(attempts):
        rng = np.random.default_rng([seed, attempt])
        crystal = _attempt(what, space_group, species, counts, molecular, rng)
        if crystal is None:
            continue
        number = _confirm(crystal) if confirmed else space_group
        if number == space_group:
            return crystal
        found.append(number)
    raise PyXtalError(
        f"{what}: none in {attempts} attempts with seed {seed}"
        + (f", only crystals of space groups {sorted(set(found))}" if found else "")
        + ": try another seed, more attempts or other counts"
    )


def _check(
    what: str,
    space_group: int,
    species: Sequence[str],
    counts: Sequence[int],
    seed: int,
    attempts: int,
) -> None:
    """Refuse what PyXtal would misread."""
    if not 1 <= space_group <= 230:
        raise PyXtalError(f"{what}: expected a group from 1 to 230")
    if not species or len(species) != len(counts) or len(set(species)) != len(species):
        raise PyXtalError(f"{what}: name each kind once, with one count each")
    if min(counts) < 1:
        raise PyXtalError(f"{what}: expected counts above zero")
    if seed < 0 or attempts < 1:
        raise PyXtalError(f"seed {seed}, attempts {attempts}: expected at least 0, 1")


def _attempt(
    what: str,
    space_group: int,
    species: Sequence[str],
    counts: Sequence[int],
    molecular: bool,
    rng: np.random.Generator,
) -> Crystal | None:
    """Ask once; None where PyXtal gives up."""
    with _quiet():
        from pyxtal import pyxtal  # noqa: PLC0415  takes seconds
        from pyxtal.msg import (  # noqa: PLC0415
            Comp_CompatibilityError,
            Symm_CompatibilityError,
            VolumeError,
        )

        made = pyxtal(molecular=molecular)
        try:
            made.from_random(
                3,
                space_group,
                [str(name) for name in species],  # it refuses numpy's strings
                [int(count) for count in counts],
                max_count=1,
                random_state=rng,
            )
        except (Comp_CompatibilityError, Symm_CompatibilityError) as error:
            raise PyXtalError(
                f"{what}: no set of Wyckoff positions holds that; give multiples of the"
                " general position's multiplicity"
            ) from error
        except (RuntimeError, VolumeError):
            return None
        if not made.valid:
            return None
        return _crystal(made, space_group, name=what)


def _crystal(made: Any, space_group: int, *, name: str) -> Crystal:
    """Make a crystal of ours from one of PyXtal's."""
    structure = made.to_pymatgen(resort=False)
    cell = [round(float(v), _DIGITS) for v in made.lattice.get_para(degree=True)]
    a, b, c, alpha, beta, gamma = cell
    n = len(structure)
    return Crystal(
        space_group=space_group,
        a=a,
        b=b,
        c=c,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        elements=tuple(site.specie.symbol for site in structure),
        positions=np.array(structure.frac_coords) % 1.0,
        occupancies=np.ones(n),
        b_iso=np.zeros(n),
        name=name,
        source="PyXtal from_random",
    )


def _confirm(crystal: Crystal) -> int:
    """Space group that spglib finds; 0 where it finds none."""
    with _quiet():
        import spglib  # noqa: PLC0415

        axes = np.array(gemmi.UnitCell(*crystal.cell).orth.mat).T
        numbers = [atomic_number(symbol) for symbol in crystal.elements]
        cell: Any = (axes, crystal.positions, numbers)
        dataset = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    return 0 if dataset is None else int(dataset.number)


def _check_element(symbol: str) -> None:
    """Refuse what PyXtal does not read, such as ``na``, or has no radius of."""
    z = gemmi.Element(symbol).atomic_number
    if not 1 <= z <= _HEAVIEST or gemmi.Element(z).name != symbol:
        raise PyXtalError(f"element {symbol!r}: expected a symbol from H to Cm")


def _collection() -> dict[str, str]:
    """Names of the molecules that come with PyXtal, by their lower case."""
    with _quiet():
        from pyxtal.database.collection import Collection  # noqa: PLC0415

        return {str(name).lower(): str(name) for name in Collection("molecules")}


def _check_xyz(path: Path) -> None:
    """Refuse files that are no molecule: PyXtal would fail in many ways, or not."""
    expected = "expected lines of number of atoms, title, then symbol x y z of each"
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise PyXtalError(f"{path}: no file of at most {_MOST_BYTES} bytes there")
    try:
        head, _, *rows = path.read_text(encoding="utf-8").strip().split("\n")
        atoms = [row.split() for row in rows]
        places = np.array([atom[1:4] for atom in atoms], np.float64)
        for atom in atoms:
            _check_element(atom[0])
        fits = places.shape == (int(head), 3) and np.isfinite(places).all()
    except (ValueError, IndexError) as error:
        raise PyXtalError(f"{path}: {error}; {expected}") from error
    if not fits:
        raise PyXtalError(f"{path}: {len(atoms)} atoms, not {head}; {expected}")
    if len(atoms) > 1 and pdist(places).min() < _CLOSEST:
        raise PyXtalError(f"{path}: two atoms lie within {_CLOSEST} Angstrom")


def _composition(species: Sequence[str], counts: Sequence[int]) -> str:
    """Such as ``4 Na, 4 Cl``."""
    return ", ".join(f"{n} {name}" for name, n in zip(species, counts, strict=False))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyXtal's prints and warnings, also those at import, from the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

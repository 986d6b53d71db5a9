"""Structures that a library of known ones is made of: CIF files and Parquet tables.

``python -m ringwatch.models.known_structures LIBRARY.npz FILE...`` makes a library.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import gemmi
import numpy as np
import pyarrow.parquet as pq

from ringwatch.models.diffraction import Crystal, reflections
from ringwatch.models.evaluation.datasets import DatasetError, read_structures
from ringwatch.models.fingerprints import GRID, Float, of_lines
from ringwatch.models.nearest import Library, LibraryError

__all__ = ["Entry", "main", "read_cif", "read_cifs", "read_table"]

Entry = tuple[str, str, int, Float]
"""Name, structure type, space group and fingerprint."""

_log = logging.getLogger(__name__)
_USAGE = """\
usage: python -m ringwatch.models.known_structures LIBRARY.npz FILE...

Makes the library of known structures LIBRARY.npz, which `ringwatch classify --library`
searches, of CIF files and of Parquet tables (.parquet) of structures."""
_CELL = (
    *(f"_cell_length_{edge}" for edge in "abc"),
    *(f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")),
)
_MAX_BYTES = 2**25
_B_ISO = 0.4
"""Angstrom^2, where a file says nothing of displacements."""


def read_cif(path: Path) -> list[Entry]:
    """Read the crystal structures of a CIF: one entry a data block that has atoms.

    Its name is the chemical name or formula the block gives, else the file's own; its
    type what ``_chemical_name_structure_type`` says. Any setting will do: the atoms
    of the whole cell are what counts, so the file must say by which symmetry they
    follow from those listed. Of several structures those that cannot be used are left
    out, and a logged warning names each.

    Raises
    ------
    LibraryError
        If the file is missing, too large, no CIF, holds no atoms with coordinates, or
        of no structure says the cell, or the symmetry well enough.
    """
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise LibraryError(f"{path} is missing or larger than {_MAX_BYTES} bytes")
    try:
        document = gemmi.cif.read(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise LibraryError(f"{path} is no readable CIF: {error}") from error
    entries, problems = [], []
    for block in document:
        if not any(block.find_values("_atom_site_fract_x")):
            continue
        try:
            structure = _structure(block, path)
            if structure.sites:
                entries.append(_entry(block, structure, path))
        except LibraryError as error:
            problems.append(error)
    if problems and not entries:
        raise problems[0]
    if not entries:
        raise LibraryError(
            f"{path} holds no atoms with coordinates: a crystal structure is needed"
        )
    for problem in problems:
        _log.warning("left out: a structure of %s", problem)
    return entries


def _structure(block: gemmi.cif.Block, path: Path) -> gemmi.SmallStructure:
    """What a data block says of atoms that have coordinates."""
    for tag in _CELL:
        said = block.find_value(tag) or "?"
        if not gemmi.cif.as_number(said) > 0:  # gemmi takes a cell of 1 Angstrom then
            raise LibraryError(f"{path}: its {tag} is {said}: write a number above 0")
    try:
        structure = gemmi.make_small_structure_from_block(block)
    except RuntimeError as error:
        raise LibraryError(f"{path}: {error}: correct the CIF") from error
    # Files list atoms, mostly hydrogen, that nobody located: ? in place of x, y, z.
    for i in reversed(range(len(structure.sites))):
        if not all(map(math.isfinite, structure.sites[i].fract.tolist())):
            del structure.sites[i]
    return structure


def _entry(
    block: gemmi.cif.Block, structure: gemmi.SmallStructure, path: Path
) -> Entry:
    if structure.spacegroup is None:
        if not structure.symops:
            _set_group_by_number(structure, path)
        elif len(structure.symops) > 1 and not structure.cell.images:
            # gemmi leaves out what it cannot use, and with it most atoms.
            raise LibraryError(
                f"{path}: its symmetry operations are unreadable or no group: correct "
                "_symmetry_equiv_pos_as_xyz"
            )
    group, number = structure.spacegroup, structure.spacegroup_number
    if group is not None and number not in (0, group.number):
        raise LibraryError(
            f"{path}: its space group is {group.hm!r}, which is number {group.number}, "
            f"but it says number {number}: correct one of them"
        )
    try:
        lines = reflections(_crystal(structure), q_min=GRID.q_min, q_max=GRID.q_max)
    except ValueError as error:
        raise LibraryError(f"{path}: {error}") from error
    return (
        _value(block, "_chemical_name_common", "_chemical_formula_sum") or path.stem,
        _value(block, "_chemical_name_structure_type"),
        group.number if group is not None else 0,
        of_lines(lines),
    )


def _set_group_by_number(structure: gemmi.SmallStructure, path: Path) -> None:
    """Take the group that the file gives by its number, if that has one setting."""
    number, symbol = structure.spacegroup_number, structure.spacegroup_hm
    settings = [g for g in gemmi.spacegroup_table() if g.number == number]
    if symbol or len(settings) != 1:
        said = "no symmetry"
        if symbol:
            said = f"the unknown space group {symbol!r}"
        elif settings:
            said = f"space group {number}, which has {len(settings)} settings"
        raise LibraryError(
            f"{path} names {said}, so that the cell's atoms are unknown: add its "
            "_symmetry_equiv_pos_as_xyz, or _symmetry_space_group_name_H-M ('P 1' "
            "where all atoms are listed)"
        )
    structure.spacegroup = settings[0]
    structure.setup_cell_images()


def read_cifs(paths: Sequence[Path]) -> list[Entry]:
    """Read CIFs, and leave out those that cannot be used; a warning names each.

    Raises
    ------
    LibraryError
        If there are files, and none can be used.
    """
    entries: list[Entry] = []
    problems = []
    for path in paths:
        try:
            entries += read_cif(path)
        except LibraryError as error:
            problems.append(str(error))
            _log.warning("left out: %s", error)
    if problems and not entries:
        none = f"none of {len(paths)} CIFs can be used; the first: "
        raise LibraryError(f"{none if len(paths) > 1 else ''}{problems[0]}")
    if problems:
        _log.warning("%d of %d CIFs were left out", len(problems), len(paths))
    return entries


def _value(block: gemmi.cif.Block, *tags: str) -> str:
    """The first of the tags that has a value, in plain text."""
    for tag in tags:
        found = block.find_value(tag)
        if found and found not in ("?", "."):
            return str(gemmi.cif.as_string(found)).strip()
    return ""


def _crystal(structure: gemmi.SmallStructure) -> Crystal:
    """All atoms of the cell."""
    cell = structure.cell
    sites = structure.get_all_unit_cell_sites()
    group = structure.spacegroup
    return Crystal(
        space_group=group.number if group is not None else 1,
        a=cell.a,
        b=cell.b,
        c=cell.c,
        alpha=cell.alpha,
        beta=cell.beta,
        gamma=cell.gamma,
        elements=tuple(
            "H" if site.element.name == "D" else site.element.name for site in sites
        ),
        positions=np.array([site.fract.tolist() for site in sites]),
        occupancies=np.array([site.occ for site in sites]),
        b_iso=np.array([_b_iso(site.u_iso) for site in sites]),
    )


def _b_iso(u_iso: float) -> float:
    """8 pi^2 U (Int. Tables C, 2004, chapter 6.1), where U makes sense."""
    return 8 * math.pi**2 * u_iso if 0 < u_iso < 0.1 else _B_ISO


def read_table(path: Path) -> Iterator[Entry]:
    """Read a Parquet table of structures; rows that make no crystal are left out.

    Names are formulas where the table has them.

    Raises
    ------
    DatasetError
        If the file or a column is missing.
    """
    formulas: list[str] = []
    for row, structure in enumerate(read_structures(path)):
        if row == 0:
            formulas = _formulas(path)
        if structure is None:
            continue
        at = structure.row
        name = formulas[at] if at < len(formulas) else f"row {at}"
        lines = structure.lines
        yield name, structure.cluster, structure.space_group, of_lines(lines)


def _formulas(path: Path) -> list[str]:
    """Formulas of the rows that may be used, in their order; none: empty."""
    names = set(pq.read_schema(path).names)
    if "formula" not in names:
        return []
    wanted = [name for name in ("formula", "recommended") if name in names]
    rows = pq.read_table(path, columns=wanted).to_pylist()
    return [str(r["formula"]) for r in rows if r.get("recommended") is not False]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a library: its path, then CIFs and Parquet tables; say what went in.

    Raises
    ------
    LibraryError
        If nothing is named, no ``.npz`` comes first, it cannot be written, or none of
        the CIFs, or of a table's rows, can be used.
    DatasetError
        If a table or one of its columns is missing.
    """
    given = list(arguments if arguments is not None else sys.argv[1:])
    if {"-h", "--help"} & set(given):
        sys.stdout.write(_USAGE + "\n")
        return
    if not given:
        raise LibraryError(f"nothing named\n{_USAGE}")
    out, files = Path(given[0]), given[1:]
    if out.suffix.lower() != ".npz":  # a forgotten library would cost a CIF
        raise LibraryError(f"the first name is no .npz file: {out}\n{_USAGE}")
    if not out.parent.is_dir():
        raise LibraryError(f"{out.parent} is no folder: make it, or name another")
    tables = [Path(file) for file in files if file.endswith(".parquet")]
    cifs = [Path(file) for file in files if not file.endswith(".parquet")]
    parts = [(str(table), Library.from_structures(table)) for table in tables]
    parts += [(f"{len(cifs)} CIF(s)", Library.from_cifs(cifs))] if cifs else []
    if not parts:
        raise LibraryError(f"no structures: name CIFs or Parquet tables\n{_USAGE}")
    library = parts[0][1]
    for _, part in parts[1:]:
        library = library.joined(part)
    try:
        library.write(out)
    except OSError as error:
        raise LibraryError(f"{out} cannot be written: {error}") from error
    sources = ", ".join(f"{len(part)} from {source}" for source, part in parts)
    sys.stdout.write(f"{out}: {len(library)} structures ({sources})\n")


if __name__ == "__main__":
    logging.basicConfig(format="known_structures: %(message)s")
    try:
        main()
    except (LibraryError, DatasetError) as problem:
        sys.exit(f"known_structures: {problem}")

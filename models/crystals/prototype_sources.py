"""Where prototypes come from: tables of real structures, and AFLOW's library.

``python -m ringwatch.models.crystals.prototype_sources TABLE POOL.npz`` writes the pool
that training draws from; pools are made of other people's data and stay out of the
repository.
"""

from __future__ import annotations

import gzip
import json
import logging
import sys
import warnings
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ringwatch.models.crystals.prototype_sites import (
    Template,
    UnusableStructureError,
    make_template,
)
from ringwatch.models.crystals.prototypes import PrototypePool, build_pool
from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.splits import structure_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringwatch.models.splits import StructurePart

AFLOW = "AFLOW"
"""Name of its library among the sources of a pool."""
MAX_PROTOTYPE_ATOMS = 320
"""Most atoms in the conventional cell of a template."""
_COLUMNS = (
    "space_group",
    "structure_type",
    "formula",
    "recommended",
    "a",
    "b",
    "c",
    "alpha",
    "beta",
    "gamma",
    "site_element",
    "site_occ",
    "site_frac",
    "site_orbit",
)
_log = logging.getLogger(__name__)


def read_templates(
    path: Path, parts: Sequence[StructurePart] = ("train",)
) -> tuple[list[Template], int]:
    """Templates of the structures in a Parquet file.

    Parameters
    ----------
    path : Path
        Columns ``space_group``, ``structure_type``, ``formula``, cell, and per atom
        ``site_element``, ``site_occ``, ``site_frac``, ``site_orbit``. Rows whose
        ``recommended`` is false are left out.
    parts : sequence of {"train", "choose", "seen", "test"}
        See `ringwatch.models.splits`.

    Returns
    -------
    templates : list of Template
        In the order of the file.
    dropped : int
        Structures that do not fit their space group or are too large.

    Raises
    ------
    ValueError
        If the file is no Parquet file with these columns.
    """
    try:
        if missing := sorted(set(_COLUMNS) - set(pq.read_schema(path).names)):
            raise ValueError(f"{path} lacks the columns {missing}")
        table = pq.read_table(path, columns=list(_COLUMNS))
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{path}: no readable Parquet file ({error})") from error
    templates: list[Template] = []
    dropped = 0
    for row in table.to_pylist():
        if row["recommended"] is False:
            continue
        if structure_part(row["structure_type"], row["formula"]) not in parts:
            continue
        try:
            templates.append(_template(row))
        except ValueError as error:  # an impossible row is one prototype less
            dropped += 1
            _log.info("%s is no prototype: %s", row["formula"], error)
    return templates, dropped


def _template(row: dict[str, Any]) -> Template:
    elements = row["site_element"]
    if len(elements) > MAX_PROTOTYPE_ATOMS:
        msg = f"{len(elements)} atoms: expected at most {MAX_PROTOTYPE_ATOMS}"
        raise UnusableStructureError(msg)
    return make_template(
        wyckoff_tables(),
        space_group=int(row["space_group"]),
        cell=[row[name] for name in ("a", "b", "c", "alpha", "beta", "gamma")],
        elements=elements,
        positions=np.asarray(row["site_frac"], np.float64).reshape(-1, 3),
        occupancies=np.asarray(row["site_occ"], np.float64),
        orbits=row["site_orbit"],
    )


def read_prototypes(
    path: Path, parts: Sequence[StructurePart] = ("train",)
) -> PrototypePool:
    """Pool of the structures in a Parquet file; see `read_templates`.

    Raises
    ------
    ValueError
        If the file is no Parquet file with the columns needed.
    """
    templates, _ = read_templates(path, parts)
    return build_pool(templates, {path.name: len(templates)})


def aflow_templates() -> tuple[list[Template], int]:
    """Templates of AFLOW's prototypes, as pymatgen ships them.

    Needs pymatgen and spglib, which come with PyXtal. Source: Mehl et al., Comput.
    Mater. Sci. 136 (2017) S1.

    Returns
    -------
    templates : list of Template
        In the order of the library.
    dropped : int
        Structures that could not be used.

    Raises
    ------
    ValueError
        If the library is not there.
    """
    # The package itself imports much that is not needed here.
    spec = util.find_spec("pymatgen.analysis.prototypes")
    if spec is None or spec.origin is None:
        raise ValueError("pymatgen has no prototypes: install pymatgen >= 2025")
    with Path(spec.origin).with_name("aflow_prototypes.json.gz").open("rb") as packed:
        entries = json.loads(gzip.decompress(packed.read()))
    templates: list[Template] = []
    dropped = 0
    for entry in entries:
        try:
            templates.append(_aflow_template(entry["snl"]))
        except ValueError as error:
            dropped += 1
            _log.info("%s is no prototype: %s", entry["tags"], error)
    return templates, dropped


def _aflow_template(structure: dict[str, Any]) -> Template:
    """Template of an entry, which holds a primitive cell."""
    import spglib  # noqa: PLC0415

    symbols = [site["species"][0]["element"] for site in structure["sites"]]
    names = sorted(set(symbols))
    cell: Any = (
        structure["lattice"]["matrix"],
        [site["abc"] for site in structure["sites"]],
        [names.index(symbol) + 1 for symbol in symbols],
    )
    with warnings.catch_warnings():
        # spglib 2.8 warns of its own error handling at each call.
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(2):  # first to the conventional cell, then its orbits
            found: Any = spglib.get_symmetry_dataset(cell, symprec=0.01)
            if found is None:
                raise UnusableStructureError("spglib finds no symmetry")
            cell = (found.std_lattice, found.std_positions, found.std_types)
    return make_template(
        wyckoff_tables(),
        space_group=found.number,
        cell=_cell(np.asarray(found.std_lattice)),
        elements=[names[kind - 1] for kind in found.std_types],
        positions=np.asarray(found.std_positions),
        occupancies=np.ones(len(found.std_types)),
        orbits=found.crystallographic_orbits.tolist(),
    )


def _cell(axes: np.ndarray[Any, Any]) -> list[float]:
    """Edges in A and angles in degrees of axes given as rows."""
    edges = np.linalg.norm(axes, axis=1)
    cosines = (axes @ axes.T) / np.outer(edges, edges)
    angles = np.degrees(np.arccos(cosines[(1, 0, 0), (2, 2, 1)]))
    return [*edges.tolist(), *angles.tolist()]


def aflow_prototypes() -> PrototypePool:
    """Pool of AFLOW's prototypes; see `aflow_templates`."""
    templates, _ = aflow_templates()
    return build_pool(templates, {AFLOW: len(templates)})


def training_prototypes(path: Path) -> PrototypePool:
    """Pool that training may draw from: the part ``train`` of a table, and AFLOW's.

    AFLOW's prototypes of types that the table keeps for choices and reports are left
    out, so that those stay types never trained on.

    Raises
    ------
    ValueError
        If the file is no Parquet file with the columns needed.
    """
    own, dropped = read_templates(path)
    known = {template.kind for template in own}
    held = {template.kind for template in read_templates(path, ("choose", "test"))[0]}
    added, unusable = aflow_templates()
    added = [t for t in added if t.kind in known or t.kind not in held]
    _log.info(
        "%d templates of %s (%d unusable), %d of AFLOW (%d unusable)",
        len(own),
        path,
        dropped,
        len(added),
        unusable,
    )
    return build_pool(own + added, {path.name: len(own), AFLOW: len(added)})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: prototype_sources TABLE.parquet POOL.npz")
    logging.basicConfig(level=logging.INFO, format="%(message).150s")
    pool = training_prototypes(Path(sys.argv[1]))
    pool.write(Path(sys.argv[2]))
    came = ", ".join(f"{n} from {source}" for source, n in pool.sources.items())
    sys.stdout.write(f"templates: {came}; digest {pool.digest()}\n")

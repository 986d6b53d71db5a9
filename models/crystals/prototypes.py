"""Prototypes: a pool of real structures, from which decorated crystals are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ringwatch.models.npz_files import read_archive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ringwatch.models.crystals.prototype_sites import Template


_SOURCES = ("source_names", "source_counts")
_MAX_BYTES = 2**28


class TemplateArrays(NamedTuple):
    """Templates of T real structures, sorted by space group, as kernels take them.

    Attributes
    ----------
    first : (232,) int64
        Templates of space group n are ``first[n]:first[n + 1]``.
    weights : (T,) float64
        Running sum of the weights of templates: a type of structure that n of them
        share has weight sqrt(n) in all.
    kind : (T,) int64
        Hash of the structure type: space group, and of each element its composition
        and Wyckoff multiplicities.
    cell : (T, 6) float64
        a, b, c in A, alpha, beta, gamma in degrees.
    slot_first, site_first : (T + 1,) int64
        Slices of the arrays below by template.
    slot_z : (E,) int64
        Atomic numbers of the elements.
    site_position : (S,) int64
        Wyckoff position, see `ringwatch.models.crystals.wyckoff.WyckoffTables`.
    site_slot : (S,) int64
        Element of a site, counted within its template.
    site_coordinates : (S, 3) float64
        Parameters x, y, z of the position.
    site_occupancy : (S,) float64
        Above 0, at most 1.
    site_shared : (S,) bool
        Whether the site has the place of the one before it, with another element.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.float64]
    kind: NDArray[np.int64]
    cell: NDArray[np.float64]
    slot_first: NDArray[np.int64]
    site_first: NDArray[np.int64]
    slot_z: NDArray[np.int64]
    site_position: NDArray[np.int64]
    site_slot: NDArray[np.int64]
    site_coordinates: NDArray[np.float64]
    site_occupancy: NDArray[np.float64]
    site_shared: NDArray[np.bool_]


class PrototypePool(TemplateArrays):
    """Templates, and where they come from.

    Attributes
    ----------
    sources : mapping of str to int
        How many templates come from where. Nothing is drawn by it, so that the digest
        does not depend on it; a pool changed by ``_replace`` has none.
    """

    sources: Mapping[str, int] = MappingProxyType({})

    def types(self) -> NDArray[np.int64]:
        """Number of structure types of each space group, (231,)."""
        groups = np.repeat(np.arange(231), np.diff(self.first))
        distinct = np.unique(np.stack([groups, self.kind]), axis=1)
        return np.bincount(distinct[0], minlength=231)

    def digest(self) -> str:
        """Hash of all that is drawn from: 64 hex digits, for a recipe's identity."""
        digest = hashlib.sha256()
        for name, array in self._asdict().items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the pool as a compressed .npz file."""
        with path.open("wb") as stream:
            np.savez_compressed(
                stream,
                allow_pickle=False,
                source_names=np.array(list(self.sources), np.str_),
                source_counts=np.array(list(self.sources.values()), np.int64),
                **self._asdict(),
            )

    @classmethod
    def read(cls, path: Path) -> PrototypePool:
        """Read what `write` wrote.

        Raises
        ------
        ValueError
            If the file is missing, larger than 256 MiB once unpacked, no pool, or one
            that contradicts itself.
        """
        stored = read_archive(path, most=_MAX_BYTES)
        if missing := sorted(set(cls._fields) - set(stored)):
            msg = f"{path} lacks {missing}: expected a file of PrototypePool.write"
            raise ValueError(msg)
        pool = cls(**{name: stored[name] for name in cls._fields})
        names, counts = (stored.get(name, np.zeros(0)).ravel() for name in _SOURCES)
        pool.sources = dict(zip(names.tolist(), counts.tolist(), strict=False))
        if empty := [n for n, a in pool._asdict().items() if not a.ndim]:
            msg = f"{path}: {empty} are no arrays: write the pool anew"
            raise ValueError(msg)
        sizes = (len(pool.weights), len(pool.slot_z), len(pool.site_slot))
        slices = (pool.first, pool.slot_first, pool.site_first)
        ends = tuple(int(e) for each in slices for e in each[-1:])
        if sizes != ends or len(pool.first) != 232:
            msg = f"{path}: {sizes} templates, slots, sites, but slices end at {ends}"
            raise ValueError(msg)
        return pool


def build_pool(
    templates: Sequence[Template], sources: Mapping[str, int] | None = None
) -> PrototypePool:
    """Pack templates.

    Parameters
    ----------
    templates : sequence of Template
        In any order; the pool does not depend on it but for ties.
    sources : mapping of str to int, optional
        How many come from where.

    Returns
    -------
    PrototypePool
        Sorted by space group and type.
    """
    ordered = sorted(templates, key=lambda t: (t.space_group, t.kind))
    kind = np.array([t.kind for t in ordered], np.int64)
    _, inverse, count = np.unique(kind, return_inverse=True, return_counts=True)
    sites = [site for t in ordered for site in t.sites]
    elements = [t.elements for t in ordered]
    groups = np.array([t.space_group for t in ordered], np.int64)
    pool = PrototypePool(
        first=np.searchsorted(groups, np.arange(232)),
        weights=np.cumsum(count[inverse] ** -0.5),
        kind=kind,
        cell=np.array([t.cell for t in ordered], np.float64).reshape(-1, 6),
        slot_first=np.cumsum([0, *(len(z) for z in elements)]),
        site_first=np.cumsum([0, *(len(t.sites) for t in ordered)]),
        slot_z=np.array([z for zs in elements for z in zs], np.int64),
        site_position=np.array([site.position for site in sites], np.int64),
        site_slot=np.array([site.slot for site in sites], np.int64),
        site_coordinates=np.array([site.coordinates for site in sites]).reshape(-1, 3),
        site_occupancy=np.array([site.occupancy for site in sites], np.float64),
        site_shared=np.array([site.shared for site in sites], np.bool_),
    )
    pool.sources = dict(sources or {})
    return pool


def empty_pool() -> PrototypePool:
    """Pool without templates: no crystal is drawn from it."""
    return build_pool(())

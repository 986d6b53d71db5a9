"""The nearest known structures of a pattern: a second opinion beside the network.

A library holds one fingerprint per structure. A search compares over the measured
range only and forgives other lattice parameters up to 7 %: candidates come from a few
principal axes, and are then compared in full. Under a millisecond for ten thousand.

``python -m ringwatch.models.known_structures LIBRARY.npz FILE...`` makes a library of
CIFs or of Parquet tables of structures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ringwatch.models.fingerprints import LENGTH, of_pattern
from ringwatch.models.npz_files import read_archive

__all__ = ["Library", "LibraryError", "Neighbour", "Neighbours"]

Float = NDArray[np.float32]

_FORMAT = 1
_MAX_BYTES = 2**30
_AXES = 32
_CANDIDATES = 32
_SHIFTS = range(-12, 13)
"""Steps of 0.6 % in q over which the lattice may differ."""
_COARSE = _SHIFTS[::3]
REJECT_ABOVE = 0.11
"""Distance beyond which nothing counts as known. Of 388 other formulas of types in a
library of 4,774 structures, drawn clean (as at a beamline), 76 % (72 %) came below it,
and 85 % (80 %) of those found their type; of 651 of unknown types 23 % (21 %) did."""


class LibraryError(ValueError):
    """A library is missing, damaged, empty, or made of nothing that can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A known structure that looks like the pattern.

    Attributes
    ----------
    name, structure_type : str
        As the library has them; the type may be empty.
    space_group : int
        1 to 230; 0 where unknown.
    distance : float
        1 - cosine of the angle between fingerprints: 0 alike, 1 nothing in common.
    scale : float
        Edges of the pattern's cell over those of the known structure, 0.93 to 1.07.
    known : bool
        Whether the distance is small enough to believe it.
    """

    name: str
    structure_type: str
    space_group: int
    distance: float
    scale: float
    known: bool


Neighbours = tuple[Neighbour, ...]


@dataclass(frozen=True)
class Library:
    """Fingerprints of known structures.

    Attributes
    ----------
    names, structure_types : tuple of str, (n,)
    space_groups : ndarray, (n,)
    fingerprints : ndarray, (n, 512), float32
        Of `ringwatch.models.fingerprints`.
    reject_above : float
        Distance beyond which a neighbour is not ``known``.
    """

    names: tuple[str, ...]
    structure_types: tuple[str, ...]
    space_groups: NDArray[np.int64]
    fingerprints: Float
    reject_above: float = REJECT_ABOVE

    def __post_init__(self) -> None:
        n = len(self.names)
        sizes = {len(self.structure_types), len(self.space_groups)}
        if not n or sizes != {n} or self.fingerprints.shape != (n, LENGTH):
            raise LibraryError(
                f"{n} names, {sorted(sizes)} types and space groups, fingerprints "
                f"{self.fingerprints.shape}: one of each per structure is needed, and "
                f"one structure at least, of {LENGTH} numbers"
            )
        axes = _principal_axes(self.fingerprints)
        object.__setattr__(self, "_axes", axes)
        object.__setattr__(self, "_coarse", axes.T @ self.fingerprints.T)  # (axes, n)

    @classmethod
    def from_cifs(cls, paths: Iterable[Path | str]) -> Library:
        """Make a library of crystal structures in CIF files.

        Files that cannot be used are left out, and a logged warning names each.

        Raises
        ------
        LibraryError
            If none can be used.
        """
        from ringwatch.models.known_structures import read_cifs  # noqa: PLC0415

        return cls._of(read_cifs([Path(path) for path in paths]))

    @classmethod
    def from_structures(cls, path: Path | str) -> Library:
        """Make a library of a Parquet table of structures.

        Raises
        ------
        LibraryError
            If no row can be used.
        DatasetError
            If the file or a column is missing.
        """
        from ringwatch.models.known_structures import read_table  # noqa: PLC0415

        return cls._of(list(read_table(Path(path))))

    @classmethod
    def _of(cls, entries: Sequence[tuple[str, str, int, Float]]) -> Library:
        """Gather (name, type, space group, fingerprint)."""
        if not entries:
            raise LibraryError("no structure could be used: nothing to search in")
        names, types, groups, prints = zip(*entries, strict=True)
        return cls(names, types, np.array(groups, np.int64), np.stack(prints))

    def __len__(self) -> int:
        return len(self.names)

    def joined(self, other: Library) -> Library:
        """A library of both."""
        return Library(
            self.names + other.names,
            self.structure_types + other.structure_types,
            np.concatenate([self.space_groups, other.space_groups]),
            np.concatenate([self.fingerprints, other.fingerprints]),
            min(self.reject_above, other.reject_above),
        )

    def write(self, path: Path) -> None:
        """Write an ``.npz``, fingerprints in half precision: 1 kB a structure."""
        with path.open("wb") as opened:  # numpy would add a suffix to a bare name
            np.savez_compressed(
                opened,
                format=_FORMAT,
                names=np.array(self.names),
                structure_types=np.array(self.structure_types),
                space_groups=self.space_groups.astype(np.int16),
                fingerprints=self.fingerprints.astype(np.float16),
                reject_above=self.reject_above,
            )

    @classmethod
    def read(cls, path: Path) -> Library:
        """Read what ``write`` wrote; nothing in the file is executed.

        Raises
        ------
        LibraryError
            If the file is missing, too large, damaged, or of a later format.
        """
        if not path.is_file():
            raise LibraryError(
                f"{path} is missing: make a library with "
                "`python -m ringwatch.models.known_structures LIBRARY.npz FILE...`"
            )
        try:
            stored = read_archive(path, most=_MAX_BYTES)
            if int(stored["format"]) != _FORMAT:
                raise LibraryError(f"{path}: format {_FORMAT} is needed; make anew")
            return cls(
                tuple(stored["names"].tolist()),
                tuple(stored["structure_types"].tolist()),
                stored["space_groups"].astype(np.int64),
                stored["fingerprints"].astype(np.float32),
                float(stored["reject_above"]),
            )
        except LibraryError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise LibraryError(f"{path} is no readable library: {error}") from error

    def search(
        self,
        q: ArrayLike,
        intensity: ArrayLike,
        k: int = 5,
        *,
        sigma: ArrayLike | None = None,
    ) -> Neighbours:
        """Find the known structures most alike to a pattern.

        Parameters
        ----------
        q, intensity, sigma : ndarray, (m,)
            As `ringwatch.models.inputs.network_input` takes them; q in 1/Angstrom.
        k : int
            How many to return at most.

        Returns
        -------
        tuple of Neighbour
            By rising distance.

        Raises
        ------
        PatternError
            If nothing can be said of the pattern.
        """
        return self.nearest(*of_pattern(q, intensity, sigma), k)

    def nearest(self, fingerprint: Float, covered: Float, k: int = 5) -> Neighbours:
        """Find the known structures most alike to a fingerprint (512,).

        ``covered``, (512,) of 0..1, says where it was measured.
        """
        axes: Float = vars(self)["_axes"]
        coarse: Float = vars(self)["_coarse"]
        queries = np.stack([_shifted(fingerprint, by) for by in _COARSE])
        likeness = (queries @ axes @ coarse).max(axis=0)  # (n,)
        count = min(_CANDIDATES, len(self))
        candidates = np.argpartition(-likeness, count - 1)[:count]
        cosine = self._cosines(candidates, fingerprint, covered)  # (count, shifts)
        best = cosine.argmax(axis=1)
        distance = 1.0 - cosine[np.arange(count), best]
        order = np.lexsort((candidates, distance))[:k]
        return tuple(
            self._neighbour(int(candidates[i]), float(distance[i]), int(best[i]))
            for i in order
        )

    def _cosines(
        self, candidates: NDArray[np.intp], fingerprint: Float, covered: Float
    ) -> Float:
        """Cosine over the measured range of candidates by shifts, (c, s)."""
        known = self.fingerprints[candidates]  # (c, 512)
        queries = np.stack([_shifted(fingerprint, by) for by in _SHIFTS], axis=1)
        ranges = np.stack([_shifted(covered, by) for by in _SHIFTS], axis=1)
        inside = np.sqrt(np.maximum((known * known) @ ranges, 1e-12))
        length = np.maximum(np.linalg.norm(queries, axis=0), 1e-12)
        # Where hardly anything of a known pattern was measured nothing is alike.
        return np.asarray(np.where(inside > 0.2, known @ queries / inside / length, 0))

    def _neighbour(self, row: int, distance: float, shift: int) -> Neighbour:
        """Entry ``row`` at its best shift."""
        step = np.log(20.0) / (LENGTH - 0.25)
        return Neighbour(
            name=self.names[row],
            structure_type=self.structure_types[row],
            space_group=int(self.space_groups[row]),
            distance=max(distance, 0.0),
            scale=float(np.exp(_SHIFTS[shift] * step)),
            known=distance <= self.reject_above,
        )


def _shifted(values: Float, by: int) -> Float:
    """Values (512,) moved up by so many steps; zeros come in."""
    out = np.zeros_like(values)
    if by > 0:
        out[by:] = values[:-by]
    elif by < 0:
        out[:by] = values[-by:]
    else:
        out[:] = values
    return out


def _principal_axes(fingerprints: Float) -> Float:
    """Directions (512, a) that keep inner products best: a singular value problem."""
    second = fingerprints.T @ fingerprints
    return np.ascontiguousarray(np.linalg.eigh(second)[1][:, : -_AXES - 1 : -1])

"""Which space groups a powder pattern can tell apart, from their operations alone.

A reflection h is systematically absent iff some operation {W|w} has hW = h while h.w is
no integer (Int. Tables B, 2008, chapter 1.4). A powder shows lines: all hkl that share
d for any metric of the crystal family; a line is absent only if every member is. Two
space groups make one powder class iff they share the Bravais lattice and some change of
setting maps the absent lines of one onto those of the other. There are 97.

``python -m ringwatch.models.extinction`` writes ``tables/powder_classes.json``.
"""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ringwatch.models.reflection_conditions import (
    index_box,
    reference_group,
    reflection_conditions,
    systematic_absences,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FAMILY = {
    "triclinic": "a",
    "monoclinic": "m",
    "orthorhombic": "o",
    "tetragonal": "t",
    "trigonal": "h",
    "hexagonal": "h",
    "cubic": "c",
}
_BOX = 13
"""Largest index of lines: the longest condition, on a d glide, has period 4."""
_SMALL_BOX = 7
_GROUPS_31M = (149, 151, 153, 157, 159, 162, 163)

# ITA Vol. A (2006), Table 3.1.4.1, by the smallest space-group number of the class, in
# the setting that the standard Hermann-Mauguin symbol of a member has. e stands for
# both glides of a double plane. A test builds the absences back from each symbol.
_SYMBOLS = """
1 P-         3 P1-1       4 P1211      5 C1-1       7 P1c1       9 C1c1
14 P121/c1   16 P---      17 P--21     18 P2121-    19 P212121   20 C--21
21 C---      22 F---      23 I---      26 P-c-      27 Pcc-      29 Pca-
30 Pnc-      31 P-n-      32 Pba-      33 Pna-      34 Pnn-      36 C-c-
37 Ccc-      39 C--e      41 C-ce      43 Fdd-      45 Iba-      46 I-a-
48 Pnnn      50 Pban      52 Pnna      54 Pcca      56 Pccn      60 Pbcn
61 Pbca      68 Ccce      70 Fddd      73 Ibca      75 P---      76 P41--
77 P42--     79 I---      80 I41--     85 Pn--      86 P42/n--   88 I41/a--
90 P-21-     92 P4121-    94 P4221-    100 P-b-     101 P-c-     102 P-n-
103 P-cc     104 P-nc     105 P--c     106 P-bc     108 I-c-     109 I--d
110 I-cd     114 P-21c    125 Pnb-     126 Pnnc     130 Pncc     133 Pnbc
134 Pnn-     137 Pn-c     138 Pnc-     141 Ia-d     142 Iacd     143 P---
144 P31--    146 R--      158 P-c-     159 P--c     161 R-c      169 P61--
173 P63--    184 P-cc     195 P---     196 F---     197 I---     198 P21--
201 Pn--     203 Fd--     205 Pa--     206 Ia--     210 F41--    212 P41--
214 I41--    218 P--n     219 F--c     220 I--d     222 Pn-n     228 Fd-c
230 Ia-d
"""

Kind = Literal["powder", "extinction", "diffraction"]


def _settings(system: str) -> list[NDArray[np.int64]]:
    """Index transformations that keep the kind of metric: (3, 3) each."""
    if system == "triclinic":
        return [np.eye(3, dtype=np.int64)]
    if system == "monoclinic":  # any primitive pair of axes across the unique axis b
        found = []
        for p, q, r, s in itertools.product((-1, 0, 1), repeat=4):
            if abs(p * s - q * r) == 1:
                found.append(np.array([[p, 0, q], [0, 1, 0], [r, 0, s]]))
        return found
    if system == "orthorhombic":
        return [
            np.eye(3, dtype=np.int64)[list(order)]
            for order in itertools.permutations(range(3))
        ]
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    same = np.eye(3, dtype=np.int64)
    if system in ("tetragonal", "cubic"):
        return [same, swap]
    half_turn = np.diag([-1, -1, 1])
    return [same, swap, half_turn, half_turn @ swap]


def _line_keys(system: str, hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number per set of hkl that share d for any metric of the family."""
    h, k, l = hkl.T  # noqa: E741
    if system == "cubic":
        return h * h + k * k + l * l
    if system == "tetragonal":
        return (h * h + k * k) * 1000 + l * l
    if system in ("trigonal", "hexagonal"):
        return (h * h + h * k + k * k) * 1000 + l * l
    if system == "orthorhombic":
        return h * h * 1_000_000 + k * k * 1000 + l * l
    # Friedel pairs, and in the monoclinic family +-k, share d.
    free = (h, l) if system == "monoclinic" else (h, k, l)
    digits = np.stack(free)
    lead = np.sign(digits[(digits != 0).argmax(axis=0), np.arange(len(h))])
    signed = digits * np.where(lead == 0, 1, lead) + 50
    if system == "monoclinic":
        signed = np.vstack([signed, abs(k)])
    keys: NDArray[np.int64] = np.array([10_000, 100, 1]) @ signed
    return keys


@cache
def _lines(system: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hkl of lines that lie wholly in the box, and the line of each."""
    hkl = index_box(_BOX)
    h, k, l = hkl.T  # noqa: E741
    radius = {
        "cubic": h * h + k * k + l * l,
        "tetragonal": h * h + k * k,
        "trigonal": (h * h + h * k + k * k) * 4 // 3,
        "hexagonal": (h * h + h * k + k * k) * 4 // 3,
    }.get(system)
    if radius is not None:
        hkl = hkl[radius <= _BOX**2]
    line = np.unique(_line_keys(system, hkl), return_inverse=True)[1]
    return hkl, line


def _fingerprint(number: int, system: str, *, by_line: bool) -> bytes:
    """Absences up to a change of setting, as the least of their bit strings."""
    hkl, line = _lines(system) if by_line else (index_box(_SMALL_BOX), None)
    prints = []
    for setting in _settings(system):
        present = ~systematic_absences(number, hkl @ setting.T)
        if line is not None:
            present = np.bincount(line, present) > 0
        prints.append(np.packbits(present).tobytes())
    return min(prints)


def bravais_lattice(number: int) -> str:
    """Pearson's two letters of a space group's Bravais lattice, such as ``cF``.

    Parameters
    ----------
    number : int
        1 to 230.

    Returns
    -------
    str
        One of 14; A and B centring count as C, trigonal P as hP.
    """
    group = reference_group(number)
    family = _FAMILY[group.crystal_system_str()]
    centring = group.centring_type()
    one_face = family in "mo" and centring in "AB"
    # A monoclinic I cell is a C cell with other axes.
    return family + ("C" if one_face or (family, centring) == ("m", "I") else centring)


def _laue_class(number: int) -> str:
    group = reference_group(number)
    laue: str = group.laue_str()
    if laue != "-3m" or group.centring_type() == "R":
        return laue
    return "-31m" if number in _GROUPS_31M else "-3m1"


def derive_partition(kind: Kind = "powder") -> tuple[tuple[int, ...], ...]:
    """Sort the 230 space groups into classes of equal absences (seconds).

    Parameters
    ----------
    kind : {"powder", "extinction", "diffraction"}
        Classes by absent lines and Bravais lattice (97); by absent reflections and
        crystal system, the extinction symbols of Int. Tables (101); by those and Laue
        class, their diffraction symbols (122).

    Returns
    -------
    tuple of tuple of int
        Space groups of each class, sorted by the smallest.
    """
    classes: dict[tuple[str, ...], list[int]] = {}
    for number in range(1, 231):
        system = reference_group(number).crystal_system_str()
        absences = _fingerprint(number, system, by_line=kind == "powder").hex()
        key = [bravais_lattice(number), absences]
        if kind == "extinction":
            key.append(system)
        elif kind == "diffraction":
            key.append(_laue_class(number))
        classes.setdefault(tuple(key), []).append(number)
    return tuple(sorted(tuple(members) for members in classes.values()))


def derive_neighbours(most: int = 12) -> list[dict[str, Any]]:
    """Find the pairs of classes that differ in few lines (ten seconds).

    Parameters
    ----------
    most : int
        Largest number of lines that one class shows and the other does not, in the
        settings that make them most alike.

    Returns
    -------
    list of dict
        ``classes``, the two smallest space-group numbers; ``count``, the number of
        lines; ``lines``, up to four of the lowest in the setting of the first class;
        ``absent_in``, the class that lacks the first of those.
    """
    numbers = [members[0] for members in derive_partition()]
    found = []
    for one, other in itertools.combinations(numbers, 2):
        if bravais_lattice(one) != bravais_lattice(other):
            continue
        hkl, count, absent_in = _difference(one, other)
        if count <= most:
            found.append(
                {
                    "classes": [one, other],
                    "count": count,
                    "lines": hkl[:4],
                    "absent_in": absent_in,
                }
            )
    return found


def _difference(one: int, other: int) -> tuple[list[list[int]], int, int]:
    """Lines that one of two groups shows alone, the lowest first."""
    system = reference_group(one).crystal_system_str()
    hkl, line = _lines(system)
    shown = np.bincount(line, ~systematic_absences(one, hkl)) > 0
    candidates = []
    for setting in _settings(system):
        present = ~systematic_absences(other, hkl @ setting.T)
        candidates.append((np.bincount(line, present) > 0) != shown)
    differs = min(candidates, key=np.count_nonzero)
    members = hkl[differs[line]]
    keys = line[differs[line]]
    # The member with the most positive indices stands for its line.
    best = {k: max(map(tuple, members[keys == k].tolist())) for k in np.unique(keys)}
    lowest = sorted(best, key=lambda k: (sum(i * i for i in best[k]), best[k]))
    lines = [list(best[k]) for k in lowest]
    return lines, len(lines), other if shown[lowest[0]] else one


def _describe(members: tuple[int, ...]) -> dict[str, Any]:
    words = _SYMBOLS.split()
    symbols = dict(zip(map(int, words[::2]), words[1::2], strict=True))
    systems = {reference_group(number).crystal_system_str() for number in members}
    # A-centred members would state their conditions for other axes than the symbol.
    standard = next(n for n in members if reference_group(n).centring_type() != "A")
    return {
        "number": members[0],
        "symbol": symbols[members[0]],
        "bravais": bravais_lattice(members[0]),
        "space_groups": members,
        "crystal_systems": [name for name in _FAMILY if name in systems],
        "conditions": reflection_conditions(standard),
    }


if __name__ == "__main__":
    lines = [json.dumps(_describe(members)) for members in derive_partition()]
    path = Path(__file__).parent / "tables" / "powder_classes.json"
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")

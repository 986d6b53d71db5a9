"""Reflection conditions in words, read off the operations of a space group."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SMALL_BOX = 7
"""Every condition shows within it: the longest period is 6."""


def reference_group(number: int) -> gemmi.SpaceGroup:
    """Gemmi's first setting of a space group: axis b, hexagonal axes, origin 1.

    Parameters
    ----------
    number : int
        1 to 230.

    Returns
    -------
    gemmi.SpaceGroup
        Absences depend on axes, never on the origin.
    """
    return gemmi.find_spacegroup_by_number(number)


def index_box(size: int) -> NDArray[np.int64]:
    """All hkl but 000 with indices up to ``size``.

    Parameters
    ----------
    size : int
        Largest index.

    Returns
    -------
    (n, 3) int64
        Miller indices.
    """
    hkl = np.array(list(itertools.product(range(-size, size + 1), repeat=3)))
    return hkl[(hkl != 0).any(axis=1)]


def systematic_absences(number: int, hkl: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which reflections a space group extinguishes, centring included.

    Parameters
    ----------
    number : int
        1 to 230.
    hkl : (n, 3) int
        Miller indices.

    Returns
    -------
    (n,) bool
        True where absent.
    """
    operations = reference_group(number).operations()
    absences = operations.systematic_absences(np.ascontiguousarray(hkl, np.int32))
    return np.asarray(absences, np.bool_)


_Rule = tuple[str, "Callable[[NDArray[np.int64]], NDArray[np.bool_]]"]


@cache
def _rules() -> tuple[_Rule, ...]:
    """Conditions as texts and tests, the simplest first."""
    sums = {
        "h": (1, 0, 0),
        "k": (0, 1, 0),
        "l": (0, 0, 1),
        "h+k": (1, 1, 0),
        "h+l": (1, 0, 1),
        "k+l": (0, 1, 1),
        "h+k+l": (1, 1, 1),
        "-h+k+l": (-1, 1, 1),
        "-h+l": (-1, 0, 1),
        "2h+l": (2, 0, 1),
    }
    single = [
        (f"{text}={period}n", np.array(vector), period)
        for period in (2, 3, 4, 6)
        for text, vector in sums.items()
        if text != "2h+l" or period == 4  # else a roundabout way to say h+l or l
    ]
    names = [name for name, _, _ in single]

    def test(*wanted: str) -> Callable[[NDArray[np.int64]], NDArray[np.bool_]]:
        chosen = [single[names.index(name)] for name in wanted]
        return lambda hkl: np.all([hkl @ v % n == 0 for _, v, n in chosen], axis=0)

    pairs = [
        ("h,k=2n", ("h=2n", "k=2n")),
        ("h,l=2n", ("h=2n", "l=2n")),
        ("k,l=2n", ("k=2n", "l=2n")),
        ("h+k,h+l,k+l=2n", ("h+k=2n", "h+l=2n", "k+l=2n")),
        ("k+l=4n; k,l=2n", ("k+l=4n", "k=2n", "l=2n")),
        ("h+l=4n; h,l=2n", ("h+l=4n", "h=2n", "l=2n")),
        ("h+k=4n; h,k=2n", ("h+k=4n", "h=2n", "k=2n")),
        ("-h+l=3n; l=2n", ("-h+l=3n", "l=2n")),
    ]
    rules: list[_Rule] = [(name, test(name)) for name in names]
    return (*rules, *((text, test(*wanted)) for text, wanted in pairs))


def _zones(system: str, hkl: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Reflections that conditions are stated for, without more special ones."""
    h, k, l = hkl.T  # noqa: E741
    size = abs(hkl)
    apart = (size[:, 0] != size[:, 1]) & (size[:, 1] != size[:, 2])
    apart &= size[:, 0] != size[:, 2]
    inner = (hkl != 0).all(axis=1)
    if system in ("trigonal", "hexagonal"):
        general = inner & (h != k) & (h + 2 * k != 0) & (2 * h + k != 0) & (h + k != 0)
    else:
        general = inner & (apart if system in ("tetragonal", "cubic") else True)
    zones = {
        "hkl": general,
        "0kl": (h == 0) & (k != 0) & (l != 0) & (size[:, 1] != size[:, 2]),
        "h0l": (k == 0) & (h != 0) & (l != 0),
        "hk0": (l == 0) & (h != 0) & (k != 0) & (size[:, 0] != size[:, 1]),
        "hhl": (h == k) & (h != 0) & (l != 0) & (size[:, 0] != size[:, 2]),
        "h00": (k == 0) & (l == 0),
        "0k0": (h == 0) & (l == 0),
        "00l": (h == 0) & (k == 0),
    }
    wanted = {
        "triclinic": (),
        "monoclinic": ("hkl", "h0l", "0k0"),
        "orthorhombic": ("hkl", "0kl", "h0l", "hk0", "h00", "0k0", "00l"),
        "tetragonal": ("hkl", "hk0", "0kl", "hhl", "h00", "00l"),
        "cubic": ("hkl", "0kl", "hhl", "h00"),
    }.get(system, ("hkl", "h0l", "hhl", "00l"))
    return {name: zones[name] for name in wanted}


def reflection_conditions(number: int) -> tuple[str, ...]:
    """Conditions that a reflection must meet to be present, by kind of reflection.

    Parameters
    ----------
    number : int
        1 to 230, in its standard setting.

    Returns
    -------
    tuple of str
        Such as ``0kl: k+l=2n``.

    Raises
    ------
    ValueError
        If the absences follow no known condition.
    """
    system = reference_group(number).crystal_system_str()
    hkl = index_box(_SMALL_BOX)
    present = ~systematic_absences(number, hkl)
    found = []
    for zone, inside in _zones(system, hkl).items():
        if present[inside].all():
            continue
        matching = (
            name
            for name, rule in _rules()
            if set(name) & set("hkl") <= set(zone)
            and (rule(hkl[inside]) == present[inside]).all()
        )
        text = next(matching, None)
        if text is None:
            msg = f"space group {number}: the absences of {zone} follow no known rule"
            raise ValueError(msg)
        found.append(f"{zone}: {text}")
    return tuple(found)

"""Which classes a pattern can hardly tell from the predicted one, and by which lines.

Some powder classes differ in a handful of lines only - those along one axis, for a
screw axis - that may be weak, hidden under others, or outside the measured range. No
lattice is known here, so no line can be placed; but the edge a cell would need for the
deciding lines to be measured can be told.

``python -m ringwatch.models.ambiguity`` writes ``tables/powder_neighbours.json``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

from ringwatch.models.prediction import Prediction
from ringwatch.models.symmetry import POWDER_CLASSES

__all__ = ["Ambiguity", "Neighbours", "ambiguities", "neighbours"]

PLAUSIBLE_EDGES = (3.0, 25.0)
"""Angstrom: cell edges outside are rare in inorganic crystals."""
_FIRST = 3
"""Deciding lines counted on: those of higher order lie in the crowd."""
_NUMBERS = {2: "two", 3: "three"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Two powder classes of one Bravais lattice that differ in twelve lines or fewer.

    Lines are counted up to indices of 13 in sum of squares (cubic), in the plane
    (tetragonal, hexagonal) or each.

    Attributes
    ----------
    classes : (int, int)
        Smallest space-group numbers.
    count : int
        Lines that one shows and the other does not.
    lines : tuple of (int, int, int)
        The lowest of them, in the setting of the first class.
    absent_in : int
        The class that lacks the first of them.
    """

    classes: tuple[int, int]
    count: int
    lines: tuple[tuple[int, int, int], ...]
    absent_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguity:
    """A class that is hard to tell from the predicted one.

    Attributes
    ----------
    number : int
        Smallest space-group number of the other class.
    symbol : str
        Its extinction symbol.
    probability : float
        What the prediction gives it, in 0..1.
    lines : tuple of str
        The lowest deciding lines, such as ``010``.
    edges : (float, float)
        Least and largest cell edge, in Angstrom, for which the measured range holds one
        of the three lowest deciding lines. It is the edge along which the line lies.
    outside : bool
        Whether no edge of 3 to 25 Angstrom brings one of them into the range.
    always : bool
        Whether every edge of 3 to 25 Angstrom does. The line may be weak or hidden all
        the same.
    sentence : str
        All that in words.
    """

    number: int
    symbol: str
    probability: float
    lines: tuple[str, ...]
    edges: tuple[float, float]
    outside: bool
    always: bool
    sentence: str


@cache
def neighbours() -> tuple[Neighbours, ...]:
    """All pairs, by number; read from the table that comes with Ringwatch."""
    table = resources.files("ringwatch.models") / "tables" / "powder_neighbours.json"
    return tuple(
        Neighbours(
            classes=(row["classes"][0], row["classes"][1]),
            count=row["count"],
            lines=tuple((line[0], line[1], line[2]) for line in row["lines"]),
            absent_in=row["absent_in"],
        )
        for row in json.loads(table.read_text(encoding="ascii"))
    )


def ambiguities(
    prediction: Prediction, q_range: tuple[float, float]
) -> tuple[Ambiguity, ...]:
    """Say which classes are hard to tell from the predicted one, likeliest first.

    Parameters
    ----------
    prediction : Prediction
        Of a pattern.
    q_range : (float, float)
        Measured range, 1/Angstrom, both ends; gaps in it are not looked at.

    Returns
    -------
    tuple of Ambiguity
        Empty where the class differs from every other in more than twelve lines.

    Raises
    ------
    ValueError
        If the range is empty or not positive.
    """
    low, high = q_range
    if not 0 < low < high:
        raise ValueError(f"q range {low} to {high}: 0 < low < high is needed")
    chosen = prediction.classes[0].number
    probability = {c.number: c.probability for c in prediction.classes}
    found = [
        _ambiguity(pair, chosen, probability, low, high)
        for pair in neighbours()
        if chosen in pair.classes
    ]
    return tuple(sorted(found, key=lambda a: (-a.probability, a.number)))


def _ambiguity(
    pair: Neighbours,
    chosen: int,
    probability: dict[int, float],
    low: float,
    high: float,
) -> Ambiguity:
    """Describe one neighbour of the chosen class."""
    other = pair.classes[0] if chosen == pair.classes[1] else pair.classes[1]
    symbols = {c.number: c.symbol for c in POWDER_CLASSES if c.number in pair.classes}
    cubic = next(c for c in POWDER_CLASSES if c.number == chosen).bravais[0] == "c"
    hexagonal = 143 <= chosen <= 194
    orders = sorted(_order(line, cubic, hexagonal) for line in pair.lines)[:_FIRST]
    edges = (2 * math.pi * orders[0] / high, 2 * math.pi * orders[-1] / low)
    shortest, longest = PLAUSIBLE_EDGES
    outside = edges[0] > longest or edges[1] < shortest
    # Between two lines the cell may be such that neither is measured.
    gapless = all(second / first <= high / low for first, second in pairwise(orders))
    always = gapless and edges[0] <= shortest and longest <= edges[1]
    lines = tuple(_written(line) for line in pair.lines)
    named = f"{pair.count} lines, {', '.join(lines)}"
    if pair.count == 1:
        named = f"one line, {lines[0]}"
    more = ", ..." if pair.count > len(lines) else ""
    sentence = (
        f"{symbols[other]} ({other}) differs from {symbols[chosen]} ({chosen}) by "
        f"{named}{more} ({lines[0]} is absent in {symbols[pair.absent_in]}): "
        f"{_reach(len(orders), (low, high), edges, outside, always, gapless)}."
    )
    return Ambiguity(
        number=other,
        symbol=symbols[other],
        probability=probability[other],
        lines=lines,
        edges=edges,
        outside=outside,
        always=always,
        sentence=sentence,
    )


def _reach(
    count: int,
    q_range: tuple[float, float],
    edges: tuple[float, float],
    outside: bool,
    always: bool,
    gapless: bool,
) -> str:
    """Say whether the measured range can show the lowest deciding lines."""
    shortest, longest = PLAUSIBLE_EDGES
    usual = f"cell edges of {shortest:.0f} to {longest:.0f} Angstrom"
    within = f"within q {q_range[0]:.2g} to {q_range[1]:.2g} 1/Angstrom"
    if outside:
        none = "it does not lie" if count == 1 else "none of the lowest lies"
        return f"{none} {within} for {usual}, so this pattern cannot tell"
    line = "it" if count == 1 else f"one of the {_NUMBERS[count]} lowest"
    if always:
        return f"{line} lies {within} for all {usual}, but may be weak or hidden"
    which = "only for" if gapless else "only for some"
    low, high = max(edges[0], shortest), min(edges[1], longest)
    return (
        f"{line} lies {within} {which} cell edges of {low:.2g} to {high:.2g} Angstrom, "
        "and may be weak or hidden"
    )


def _order(line: tuple[int, int, int], cubic: bool, hexagonal: bool) -> float:
    """How many times 2 pi / edge the line lies at, whichever its edge is."""
    h, k, l = line  # noqa: E741
    in_plane = h * h + k * k + (h * k if hexagonal else 0)
    if hexagonal:
        in_plane = 4 * in_plane / 3  # type: ignore[assignment]
    if cubic or not (in_plane and l):
        return math.sqrt(in_plane + l * l)
    return math.sqrt(in_plane)


def _written(line: tuple[int, int, int]) -> str:
    """Indices as crystallographers write them, such as ``0 0 12`` or ``010``."""
    gap = " " if max(map(abs, line)) > 9 else ""
    return gap.join(map(str, line))


if __name__ == "__main__":
    from ringwatch.models.extinction import derive_neighbours

    rows = [json.dumps(row) for row in derive_neighbours(most=12)]
    path = Path(__file__).parent / "tables" / "powder_neighbours.json"
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="ascii")

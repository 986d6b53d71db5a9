"""What the tables of a recipe may hold: known keys, types, and the network's bounds.

Types are only checked, never converted: a recipe's identity goes by its values as they
were written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from ringwatch.models.architecture import Family, NetworkConfig, Stage

__all__ = ["checked_network", "checked_table"]

_FEWEST_BINS = 16
"""Of an input grid."""


def checked_table(table: object, name: str, settings: type) -> dict[str, Any]:
    """Check keys and types of one table of a recipe.

    Parameters
    ----------
    table : object
        As it was read.
    name : str
        Of the table, for messages.
    settings : type
        Dataclass whose fields it holds; of numbers, strings and pairs of numbers.

    Returns
    -------
    dict of str to value
        The same, lists as tuples.

    Raises
    ------
    ValueError
        If it is no table, a key is unknown, or a value of another type.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"[{name}] = {table!r}: a table of settings is needed")
    types = get_type_hints(settings)
    if unknown := [key for key in table if key not in types]:
        raise ValueError(
            f"[{name}] {unknown[0]}: unknown key; known: {', '.join(types)}"
        )
    for key, value in table.items():
        if needed := _needed(value, types[key]):
            raise ValueError(f"[{name}] {key} = {value!r}: {needed} is needed")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def checked_network(table: object) -> NetworkConfig:
    """Check the table ``network`` and make a shape of it; empty: the default one.

    Raises
    ------
    ValueError
        If a key is unknown, or a value of another type or out of bounds.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"[network] = {table!r}: a table of settings is needed")
    if not table:
        return NetworkConfig()
    fields = checked_table(table, "network", NetworkConfig)
    stages = fields.get("stages")
    if not isinstance(stages, tuple) or not stages:
        raise ValueError(
            f"[network] stages = {stages!r}: one [[network.stages]] at least is needed"
        )
    fields["stages"] = tuple(_stage(at, k) for k, at in enumerate(stages, 1))
    bounds = {
        **dict.fromkeys(("hidden", "block_kernel"), 1),
        "n_bins": _FEWEST_BINS,
        "head_blocks": 0,
    }
    _check_least(fields, "network", bounds)
    if fields.get("block_kernel", 1) % 2 == 0:
        raise ValueError(
            f"[network] block_kernel = {fields['block_kernel']}: must be odd"
        )
    low = fields.get("q_min", NetworkConfig.q_min)
    high = fields.get("q_max", NetworkConfig.q_max)
    if not 0 < low < high:
        key = "q_min" if "q_min" in fields else "q_max"
        raise ValueError(
            f"[network] {key} = {fields[key]}: 0 < q_min < q_max is needed, in "
            f"1/Angstrom; q_min is {low}, q_max {high}"
        )
    try:
        return NetworkConfig(**fields)
    except ValueError as error:
        raise ValueError(f"[network] {error}") from error


def _stage(table: object, number: int) -> Stage:
    """Check one stage, counted from 1."""
    name = f"network.stages {number}"
    fields = checked_table(table, name, Stage)
    if missing := [key for key in get_type_hints(Stage) if key not in fields]:
        raise ValueError(f"[{name}] {missing[0]}: missing; a whole number is needed")
    bounds = {"channels": 1, "kernel": 1, "stride": 1, "blocks": 0}
    _check_least(fields, name, bounds)
    if fields["kernel"] % 2 == 0:
        raise ValueError(f"[{name}] kernel = {fields['kernel']}: must be odd")
    return Stage(**fields)


def _check_least(
    fields: Mapping[str, Any], name: str, bounds: Mapping[str, int]
) -> None:
    """Refuse values below their least ones."""
    for key, least in bounds.items():
        if key in fields and fields[key] < least:
            raise ValueError(f"[{name}] {key} = {fields[key]}: must be {least} or more")


def _needed(value: object, of: object) -> str:
    """Say what a value of this type would be; nothing where it is one.

    How many numbers a pair has is left to the settings, which know what it means.
    """
    if of is int:
        right = isinstance(value, int) and not isinstance(value, bool)
        return "" if right else "a whole number"
    if of is float:
        return "" if _is_number(value) else "one number"
    if of == Family:
        return "" if value in get_args(Family) else f"one of {get_args(Family)}"
    if of == tuple[float, float] and isinstance(value, list | tuple):
        return "" if all(map(_is_number, value)) else "a pair of numbers"
    return ""


def _is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]

"""Setpoint and readback as areaDetector names them: ``X`` and ``X_RBV``.

The readback follows what is written, unless a ``put`` is given: a coroutine of the
pair, the setpoint's channel and the value, which then says what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caproto import ChannelType
from caproto.server import get_pv_pair_wrapper, pvproperty

__all__ = [
    "OFF_ON",
    "choice",
    "name_of",
    "number",
    "path",
    "path_reading",
    "reading",
    "state",
]

OFF_ON = ("Disable", "Enable")
_LETTERS: Any = {
    "dtype": ChannelType.CHAR,
    "max_length": 512,
    "string_encoding": "utf-8",
}

_pair: Any = get_pv_pair_wrapper(setpoint_suffix="", readback_suffix="_RBV")


def number(name: str, value: float, **options: Any) -> Any:
    """A pair of numbers, of the type of the initial value."""
    return _pair(name=name, value=value, **options)


def choice(name: str, states: Sequence[str], value: str, **options: Any) -> Any:
    """A pair of enumerations."""
    return _pair(
        name=name,
        value=value,
        dtype=ChannelType.ENUM,
        enum_strings=list(states),
        **options,
    )


def name_of(name: str, value: str) -> Any:
    """A pair of short texts, EPICS' strings of at most 39 letters."""
    return _pair(name=name, value=value, dtype=ChannelType.STRING)


def path(name: str, value: str, **options: Any) -> Any:
    """A pair of long texts: arrays of letters, as areaDetector has for files."""
    return _pair(name=name, value=value, **_LETTERS, **options)


def reading(name: str, value: float | str, **options: Any) -> Any:
    """A number or a short text that clients can only read."""
    if isinstance(value, str):  # caproto would take it for a long one
        options = {"dtype": ChannelType.STRING, **options}
    return pvproperty(name=name, value=value, read_only=True, **options)


def path_reading(name: str) -> Any:
    """A long text that clients can only read, empty at first."""
    return pvproperty(name=name, value="", read_only=True, **_LETTERS)


def state(name: str, states: Sequence[str], value: str) -> Any:
    """An enumeration that clients can only read."""
    return pvproperty(
        name=name,
        value=value,
        dtype=ChannelType.ENUM,
        enum_strings=list(states),
        read_only=True,
    )

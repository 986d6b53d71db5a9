"""What one check says of one frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ringwatch.agent.nouns import Flag, FlagState, Severity

__all__ = ["Finding", "clear", "not_evaluated", "raised"]


_NOTHING: Mapping[str, float] = MappingProxyType({})
_CLEAR = FlagState.CLEAR  # two dozen a frame: by position, and not looked up


class Finding(NamedTuple):
    """State of one flag, with its numbers and its sentence.

    Attributes
    ----------
    flag : Flag
    state : FlagState
    severity : Severity or None
        Of a raised flag.
    z : float
        Effect over its standard deviation; NaN where the flag is exact.
    value : float
        Physical value under ``flag.value_key``, in ``flag.unit``.
    sentence : str
        Of a raised flag: what is wrong, with number and unit. Of one that was not
        evaluated: why not.
    further : mapping of str to float
        Further physical values by key.
    """

    flag: Flag
    state: FlagState
    severity: Severity | None = None
    z: float = math.nan
    value: float = math.nan
    sentence: str = ""
    further: Mapping[str, float] = _NOTHING


def clear(
    flag: Flag,
    value: float = math.nan,
    *,
    z: float = math.nan,
    further: Mapping[str, float] | None = None,
) -> Finding:
    """Say that the check was made and found nothing."""
    return Finding(flag, _CLEAR, None, z, value, "", further or _NOTHING)


def raised(
    flag: Flag,
    value: float,
    sentence: str,
    *,
    z: float = math.nan,
    severity: Severity | None = None,
    further: Mapping[str, float] | None = None,
) -> Finding:
    """Say what the check found."""
    return Finding(
        flag=flag,
        state=FlagState.RAISED,
        severity=severity or flag.severity,
        z=z,
        value=value,
        sentence=sentence,
        further=further or _NOTHING,
    )


def not_evaluated(
    flag: Flag, why: str, *, further: Mapping[str, float] | None = None
) -> Finding:
    """Say why the check could not be made."""
    return Finding(
        flag=flag,
        state=FlagState.NOT_EVALUATED,
        sentence=why,
        further=further or _NOTHING,
    )

"""What lies in the beam: phases and their fractions, as a function of temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ringwatch.simulated_beamline.phases import PHASES, TRANSITION_K, Phase, phase

__all__ = ["BariumTitanate", "Mixture", "Sample", "Titania"]


class Sample(Protocol):
    """Anything that knows its phases at a temperature."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All phases that may occur."""

    def fractions(self, temperature: float) -> tuple[float, ...]:
        """Volume fraction of each of ``phases`` at a temperature in kelvin; sum 1."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Phases in fixed proportions.

    Parameters
    ----------
    parts : mapping of phase name to part
        Volume parts, above 0; they need not add up to 1.

    Raises
    ------
    ValueError
        If a phase is unknown, or a part is not above 0.
    """

    parts: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            phase(name)
            if not part > 0.0:
                msg = f"The part of {name!r} is {part}; expected a number above 0."
                raise ValueError(msg)
        if not self.parts:
            msg = "The mixture is empty; name at least one phase."
            raise ValueError(msg)

    @classmethod
    def pure(cls, name: str) -> Mixture:
        """One phase alone."""
        return cls({name: 1.0})

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All phases that may occur."""
        return tuple(phase(name) for name in self.parts)

    def fractions(self, temperature: float) -> tuple[float, ...]:
        """Volume fraction of each phase, whatever the ``temperature``."""
        whole = sum(self.parts.values())
        return tuple(part / whole for part in self.parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Titania:
    """TiO2 that turns from anatase to rutile when it is heated.

    In truth a matter of time as well (D. A. H. Hanaor and C. C. Sorrell, J. Mater. Sci.
    46, 855 (2011)); here of temperature alone.

    Attributes
    ----------
    transition_k : float
        Half of it is rutile there, kelvin.
    width : float
        From 12 to 88 % rutile takes four times this, kelvin.
    """

    transition_k: float = 950.0
    width: float = 1.5

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Anatase, rutile."""
        return PHASES["anatase"], PHASES["rutile"]

    def fractions(self, temperature: float) -> tuple[float, ...]:
        """Volume fractions (anatase, rutile) at a temperature in kelvin."""
        away = (temperature - self.transition_k) / (2 * self.width)
        rutile = 0.5 * (1.0 + math.tanh(away))
        return 1.0 - rutile, rutile


@dataclass(frozen=True, slots=True, kw_only=True)
class BariumTitanate:
    """BaTiO3 that turns from tetragonal to cubic at 393 K.

    Attributes
    ----------
    width : float
        The beam sees some spread of temperature: from 12 to 88 % cubic takes four
        times this, kelvin.
    """

    width: float = 0.75

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Tetragonal, cubic."""
        return PHASES["BaTiO3 tetragonal"], PHASES["BaTiO3 cubic"]

    def fractions(self, temperature: float) -> tuple[float, ...]:
        """Volume fractions (tetragonal, cubic) at a temperature in kelvin."""
        cubic = 0.5 * (1.0 + math.tanh((temperature - TRANSITION_K) / (2 * self.width)))
        return 1.0 - cubic, cubic

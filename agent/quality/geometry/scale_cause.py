"""Whether a readback that moved accounts for what the rings did.

The radius of a ring is ``r = D tan(2 theta)`` with ``sin(theta) = h c / (2 d E)``
(Bragg): it goes with the distance and with the wavelength, and against the energy and
the lattice. At wide angles it changes up to half as much again as these do.
"""

from __future__ import annotations

import math
import re

from ringwatch.agent.nouns import Severity
from ringwatch.agent.quality.facts import FrameFacts, Reference, find_readback
from ringwatch.agent.quality.geometry.scale_fit import NEW_SHAPE, ScaleFit
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["cause_of_scale"]

_ALIKE = 0.2  # relative; a reading so near the geometry's own is of that quantity
_TIMES = 2.0  # a motor scales well enough, and wide angles outrun the wavelength
_SIGMAS = 3.0  # of the rings' own error, beyond that factor
_LEAST = 0.5  # of what the rings did, by a motor of which only its travel is known
_PER_KELVIN = (-1e-4, 2e-5)  # relative change of the radii by a warmer lattice
_KEV_ANGSTROM = 12.398419843  # CODATA 2018: h c
_PER_M = (1.0, 1e2, 1e3, 1e6)  # m, cm, mm, um
_PER_KEV = (1.0, 1e3)  # keV, eV
_PER_ANGSTROM = (1.0, 0.1, 1e2, 1e-10)  # Angstrom, nm, pm, m
_ENERGY = re.compile(r"(^|[_\W])(energy|mono|dcm)([_\W]|$)")
_WAVELENGTH = re.compile(r"(^|[_\W])(wavelength|lambda)([_\W]|$)")


def cause_of_scale(
    facts: FrameFacts,
    reference: Reference,
    fit: ScaleFit,
    sigma: float,
    settings: QualitySettings,
) -> tuple[Severity, str]:
    """Severity of rings that changed by ``fit.scale``, and why.

    A readback of the geometry explains it where it moved as the rings say. Where it
    reads about what the geometry says (20 %, in m, cm, mm or um, keV or eV), or the
    geometry says nothing, its relative change must have the sign that the rings show
    and their size within a factor of two and three times ``sigma``. Else its zero is
    unknown: then a distance must have travelled at least half of what the rings ask
    for, taken as mm, and an axis of the energy have changed by half of it relatively;
    either way.

    A temperature explains the lattice as far as solids expand: radii that shrink by at
    most 1e-4 per kelvin of warming or grow by at most 2e-5, give or take three times
    ``sigma``. Along a line, organic crystals expand by 58 +- 16 ppm/K (a third of the
    volume's: A. D. Bond, Acta Cryst. B77, 2021), metals and ceramics less; a few
    frameworks shrink, ZrW2O8 by 9 ppm/K and seldom one by more than 20 (C. S. Coates
    and A. L. Goodwin, Mater. Horiz. 6, 211 (2019)).

    Parameters
    ----------
    facts : FrameFacts
        With the readbacks, distance and energy.
    reference : Reference
        With the readbacks then.
    fit : ScaleFit
    sigma : float
        Standard deviation of ``fit.scale``, relative.
    settings : QualitySettings
    """
    now, told = facts.ref.readbacks, ""
    for name in settings.geometry_keys:
        then = reference.readbacks.get(name)
        if then is None or name not in now:
            continue
        if not abs(now[name] - then) > settings.geometry_tolerance * abs(then):
            continue
        moved = f"{name} changed from {then:.8g} to {now[name]:.8g}"
        expected, absolute = _expected(name, then, now[name], facts)
        if _agrees(fit.scale, sigma, expected, absolute=absolute):
            return Severity.MISALIGNED, moved
        if not told and absolute and abs(expected) > settings.scale_tolerance:
            word = "grow" if expected > 0 else "shrink"
            told = f"; {moved}, which would make rings {word} by "
            told += f"{abs(expected) * 1e6:.0f} ppm"
    severity, why = _without_geometry(facts, reference, fit, sigma, settings)
    return severity, why + told


def _without_geometry(
    facts: FrameFacts,
    reference: Reference,
    fit: ScaleFit,
    sigma: float,
    settings: QualitySettings,
) -> tuple[Severity, str]:
    now, told = facts.ref.readbacks, ""
    key = find_readback(now, settings.temperature_key, parts=("temperature",))
    if key is not None and key in reference.readbacks:
        warmer = now[key] - reference.readbacks[key]
        if abs(warmer) > settings.temperature_tolerance:
            moved = f"{key} changed by {warmer:+.1f} K"
            low, high = sorted(warmer * each for each in _PER_KELVIN)
            if low - _SIGMAS * sigma <= fit.scale <= high + _SIGMAS * sigma:
                return Severity.INFORMATION, moved
            word, most = ("grow", high) if fit.scale > 0 else ("shrink", -low)
            told = f"; {moved}, which would make rings {word} by at most "
            told += f"{most * 1e6:.0f} ppm"
    if fit.apart > NEW_SHAPE:
        return Severity.INFORMATION, "the pattern changed its shape as well"
    return Severity.SUSPECT, "no readback explains it" + told


def _expected(
    name: str, then: float, now: float, facts: FrameFacts
) -> tuple[float, bool]:
    """Relative change of the radii by a readback's move, and whether it has a sign."""
    relative = now / then - 1.0 if then else math.nan
    low = name.lower()
    if _ENERGY.search(low):
        if _is_about(then, facts.energy_kev, _PER_KEV) and now > 0:
            return then / now - 1.0, True
        return relative, False
    if _WAVELENGTH.search(low):
        said = _KEV_ANGSTROM / facts.energy_kev
        return relative, _is_about(then, said, _PER_ANGSTROM)
    if _is_about(then, facts.distance_m, _PER_M):
        return relative, True
    return 1e-3 * (now - then) / facts.distance_m, False


def _is_about(reading: float, said: float, units: tuple[float, ...]) -> bool:
    """Whether a reading may be the quantity; where nobody said, it is believed."""
    if math.isnan(said):
        return reading > 0
    return any(abs(reading / (said * unit) - 1.0) <= _ALIKE for unit in units)


def _agrees(scale: float, sigma: float, expected: float, *, absolute: bool) -> bool:
    """NaN agrees with nothing."""
    if not absolute:
        return abs(expected) >= _LEAST * abs(scale)
    slack = _SIGMAS * sigma
    same = expected * scale > 0
    least, most = abs(expected) / _TIMES - slack, abs(expected) * _TIMES + slack
    return same and least <= abs(scale) <= most

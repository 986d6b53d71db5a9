"""Counts added evenly to every pixel: a dark that is not the frame's, or stray light.

A dark of less than a count a pixel has no pattern by which it could be recognised. But
where the monitor stayed, the rings stayed, and all pixels hold the same more, whatever
their radius and azimuth, no sample and no beam did that. What a sample or air scatters
falls off along the radius; heat, a melt and another sample change the rings as well.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, Flag
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, raised
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_even_light"]

Floats = NDArray[np.float64]

_STRETCHES = 12  # of the radius
_ARCS = 8  # of the azimuth
_EVEN = 0.2  # relative; what is the same everywhere differs by less
_SIGMAS = 3.0  # of the noise beside that
_RING_Z = 10.0  # of the reference's rings; without any nothing tells a brighter beam
_STAYED = 0.25  # of the excess; so little may the rings and the monitor have changed


def judge_even_light(
    facts: FrameFacts,
    seen: Seen,
    reference: Reference,
    monitor: tuple[str, float, float],
    settings: QualitySettings,
    scatter: float,
) -> Finding | None:
    """Raise ``stale_calibration`` where every pixel holds the same counts too many.

    Asked only where a dark was subtracted, the exposure is the reference's, and the
    monitor reads what it read. None where there is nothing to say.

    Parameters
    ----------
    facts, seen, reference, settings
        As all checks get them.
    monitor : tuple
        Key, I0 and exposure over the reference's (``monitor_ratio``).
    scatter : float
        Standard deviation of intensity over I0 between frames, relative.
    """
    profiles, light = seen.profiles, seen.light
    _, i0, longer = monitor
    if profiles is None or light is None or not facts.dark_frames or longer != 1.0:
        return None
    over = light.total - i0
    matters = over > settings.beam_tolerance * i0 and light.ring_z > _RING_Z
    moved = max(abs(i0 - 1.0), abs(light.rings / i0 - 1.0))
    if not matters or moved > _STAYED * over or facts.cake.saturated.any():
        return None
    weight = np.where(reference.norm > 0.0, profiles.norm, 0.0)
    excess = weight * (profiles.sector - i0 * reference.sector)
    pixels = np.where(weight > 0.0, facts.cake.pixels, 0).astype(np.float64)
    known = np.divide(
        weight, reference.norm, out=np.zeros_like(weight), where=pixels > 0
    )
    noise = np.where(pixels > 0.0, facts.cake.total, 0.0) * profiles.dispersion
    noise += known**2 * reference.counts * pixels * reference.frames
    total = max(float(pixels.sum()), 1.0)
    each = float(excess.sum()) / total
    spread = math.sqrt(float(noise.sum())) / total
    spread = math.hypot(spread, scatter * each * i0 / over)
    if not each > settings.threshold * spread > 0.0:
        return None
    if not all(_is_even(part, each) for part in _parts(excess, noise, pixels)):
        return None
    z = each / spread
    return raised(
        Flag.STALE_CALIBRATION,
        facts.dark_age_s,
        f"every pixel holds {each:.2g} counts more than in the first frames, whatever "
        f"its radius ({z:.0f} sigma; {over / i0:.0%} of the light), while rings and "
        "monitor stayed: the dark is not that of this frame, or stray light falls on "
        "the detector; take a new dark, with the lamps as they are",
        z=z,
    )


def _parts(*sums: Floats) -> list[Floats]:
    """Sums over stretches of the radius, and over arcs of the azimuth, each (3, n)."""
    lit = np.flatnonzero(sums[-1].any(axis=1))
    edges = np.linspace(lit[0], lit[-1] + 1, _STRETCHES + 1).astype(np.int64)[:-1]
    edges = np.unique(edges)
    cells = np.stack(sums)
    around = cells.sum(axis=1).reshape(len(sums), _ARCS, SECTORS // _ARCS)
    return [np.add.reduceat(cells.sum(axis=2), edges, axis=1), around.sum(axis=2)]


def _is_even(part: Floats, each: float) -> bool:
    """Whether all parts got the same counts a pixel, and are known well enough to say.

    None may differ by more than a fifth and three standard deviations.
    """
    excess, noise, pixels = part[:, part[2] > 0.0]
    apart = np.abs(excess / pixels / each - 1.0)
    sigma = np.sqrt(noise) / (pixels * each)
    known = float(np.median(sigma)) < _EVEN
    return known and float((apart - _SIGMAS * sigma).max()) < _EVEN

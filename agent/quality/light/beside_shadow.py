"""Light of the sectors that no shadow darkens, against the reference's of the same."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ringwatch.agent.quality.azimuth.shadow import shaded_sectors
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.light.comparison import Comparison, compare_light
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["LightView", "beside_shadow"]


class LightView(NamedTuple):
    """What is compared: a frame, the reference, and the light of one over the other."""

    profiles: Profiles
    reference: Reference
    light: Comparison


def beside_shadow(
    seen: Seen, reference: Reference, settings: QualitySettings
) -> LightView | None:
    """Frame and reference as if the sectors that a shadow darkens were masked.

    None where there is no shadow against the reference, or nothing left beside it. The
    sectors next to the shadow's go with them: its edge may lie in them.
    """
    profiles, rings = seen.profiles, seen.rings
    if profiles is None or rings is None:
        return None
    shaded = shaded_sectors(profiles, rings, reference, settings)
    if not shaded.any():
        return None
    kept = ~(shaded | np.roll(shaded, 1) | np.roll(shaded, -1))
    norm, known = profiles.norm * kept, reference.norm * kept
    whole, then = norm.sum(axis=1), known.sum(axis=1)
    seen_then = np.maximum(reference.norm.sum(axis=1), 1e-9)
    here = replace(
        profiles,
        norm=norm,
        whole=whole,
        mean=np.einsum("is,is->i", norm, profiles.sector) / np.maximum(whole, 1e-9),
    )
    before = replace(
        reference,
        norm=known,
        mean=np.einsum("is,is->i", known, reference.sector) / np.maximum(then, 1e-9),
        variance=reference.variance * seen_then / np.maximum(then, 1e-9),
    )
    light = compare_light(here, before)
    return None if light is None else LightView(here, before, light)

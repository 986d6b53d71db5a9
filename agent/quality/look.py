"""The first look at a frame, before any check: profiles, rings, light."""

from __future__ import annotations

from ringwatch.agent.geometry import Binning
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.geometry.rings import (
    Profiles,
    Rings,
    find_rings,
    make_profiles,
)
from ringwatch.agent.quality.light.comparison import compare_light
from ringwatch.agent.quality.readout.outliers import without_lone

__all__ = ["look_at", "look_for_center"]


def look_at(
    facts: FrameFacts, binning: Binning, reference: Reference | None = None
) -> Seen:
    """Measure what several checks of a frame ask for.

    Parameters
    ----------
    facts : FrameFacts
    binning : Binning
        Without a geometry nothing can be seen.
    reference : Reference or None
        Whose light to compare with.
    """
    if not binning.has_geometry:
        return Seen(profiles=None, rings=None)
    profiles = make_profiles(facts.cake, binning, facts.dark_frames)
    light = None if reference is None else compare_light(profiles, reference)
    return Seen(profiles=profiles, rings=find_rings(profiles), light=light)


def look_for_center(
    facts: FrameFacts, seen: Seen, binning: Binning
) -> tuple[Profiles, Rings] | None:
    """Profiles and rings that zingers do not move; None without rings to look at.

    Parameters
    ----------
    facts : FrameFacts
    seen : Seen
        What ``look_at`` saw of them.
    binning : Binning
    """
    if seen.profiles is None or seen.rings is None:
        return None
    cake = without_lone(facts.cake, seen)
    if cake is facts.cake:
        return seen.profiles, seen.rings
    profiles = make_profiles(cake, binning, facts.dark_frames)
    return profiles, find_rings(profiles)

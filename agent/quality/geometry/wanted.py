"""What the plan moves on purpose is no misalignment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ringwatch.agent.nouns import Flag, FlagState, Severity
from ringwatch.agent.quality.findings import Finding
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["excused", "moved_on_purpose"]

_GEOMETRY = (
    Flag.BEAM_CENTER,
    Flag.TILT,
    Flag.RADIAL_SCALE,
    Flag.SAMPLE_DISPLACED,  # rings that leave and enter a moved detector look like it
)
_MOVES_RINGS = re.compile(r"(^|_)(det|detector|camera|distance|energy|mono|dcm)(_|$)")


def moved_on_purpose(
    scanned: tuple[str, ...],
    now: Mapping[str, float],
    then: Mapping[str, float],
    settings: QualitySettings,
) -> str:
    """Name the readback of the geometry that the plan has moved since; else empty.

    Parameters
    ----------
    scanned : tuple of str
        Readbacks that the plan moves.
    now, then : mapping of str to float
        Readbacks of this frame, and of the first one of the run.
    settings : QualitySettings
        ``geometry_keys`` says which ones move the rings; beside them those whose names
        hold det, detector, camera, distance, energy, mono or dcm as a word.
    """
    for name in scanned:
        if name not in now or name not in then:
            continue
        known = name in settings.geometry_keys or _MOVES_RINGS.search(name.lower())
        moved = abs(now[name] - then[name])
        if known and moved > settings.geometry_tolerance * abs(then[name]):
            return name
    return ""


def excused(findings: list[Finding], name: str) -> list[Finding]:
    """The findings with those of the geometry turned into information."""
    return [
        finding._replace(
            severity=Severity.INFORMATION,
            sentence=f"{finding.sentence}; the plan moves {name}",
        )
        if finding.flag in _GEOMETRY and finding.state is FlagState.RAISED
        else finding
        for finding in findings
    ]

"""What one fault makes look like another, and who wins where two speak of one flag."""

from __future__ import annotations

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality.findings import Finding, not_evaluated

__all__ = ["settled"]

_RAISED = FlagState.RAISED

_CONFOUNDED = (
    (
        Flag.MISREAD,
        (Flag.BEAM_DROP, Flag.NO_SAMPLE, Flag.SHADOW, Flag.SPOTS),
        "part of the frame is missing: what is left looks like this",
    ),
    (
        Flag.BEAM_CENTER,
        (Flag.HOT_PIXELS, Flag.ZINGERS, Flag.SHADOW, Flag.BEAMSTOP_LEAK),
        "the rings run across the cells: their own light looks like this",
    ),
    (Flag.SPOTS, (Flag.BEAMSTOP_LEAK,), "a spot beside the beam looks like this"),
    (
        Flag.BEAMSTOP_LEAK,
        (Flag.MASK_MISMATCH,),
        "light past the beamstop makes the edge of its mask uneven",
    ),
    (
        Flag.SAMPLE_DISPLACED,
        (Flag.RADIAL_SCALE,),
        "the height of the plate moves the rings as well",
    ),
    (
        Flag.GRAINY,
        (Flag.MASK_MISMATCH,),
        "few grains: the pixels along the mask may lack light by chance",
    ),
)
"""A fault, what it makes look like faults, and why.

Causes before their looks: what is itself only a look takes nothing back. (The order of
``words.CAUSES`` would not do: there the looks stand first, a shadow before the centre.)
"""


def settled(findings: list[Finding]) -> list[Finding]:
    """One finding per flag, those taken back that only look like a fault."""
    chosen: dict[Flag, Finding] = {}
    something = False
    for finding in findings:
        flag = finding.flag
        if something and flag in chosen and chosen[flag].state is _RAISED:
            continue  # it is not overruled by a later clear one
        something = something or finding.state is _RAISED
        chosen[flag] = finding
    latest = list(chosen.values())
    return _unconfounded(latest) if something else latest


def _unconfounded(findings: list[Finding]) -> list[Finding]:
    """Take back what another fault only makes look like a fault."""
    up = {f.flag for f in findings if f.state is _RAISED}
    muted: dict[Flag, str] = {}
    for cause, looks, why in _CONFOUNDED:
        if cause in up:
            muted |= {look: why for look in looks if look in up}
            up.difference_update(looks)
    return [
        not_evaluated(f.flag, muted[f.flag], further=f.further)
        if f.flag in muted
        else f
        for f in findings
    ]

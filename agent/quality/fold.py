"""The fold: frames of one data key in the order of their index, each gets a Quality."""

from __future__ import annotations

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState, Quality, Severity
from ringwatch.agent.quality.center import judge_center
from ringwatch.agent.quality.counts import judge_low_counts, judge_no_beam
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated
from ringwatch.agent.quality.history import Duplicates, Sequence
from ringwatch.agent.quality.pixels import (
    beam_pixel,
    judge_invalid_values,
    judge_misread,
    mirror_of,
)
from ringwatch.agent.quality.ring_center import locate_center
from ringwatch.agent.quality.rings import find_rings, make_profiles
from ringwatch.agent.quality.saturation import judge_saturated
from ringwatch.agent.quality.scale import judge_radial_scale
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.quality.words import quality_of

__all__ = ["QualityFold"]

_MUTED_BY_NO_BEAM = (
    Flag.SATURATED,
    Flag.BEAM_CENTER,
    Flag.RADIAL_SCALE,
    Flag.LOW_COUNTS,
)


class QualityFold:
    """Judges the frames of one (run, stream, data key), in the order of their index.

    All state is here: the reference (the run's first sound frames, frozen once chosen),
    the checksums of the last frames, and the detector's last frame number. The same
    frames in the same order give the same bits, live or replayed.

    Parameters
    ----------
    settings : QualitySettings
    binning : Binning
    """

    def __init__(self, settings: QualitySettings, binning: Binning) -> None:
        self.settings = settings
        self.binning = binning
        self.reference: Reference | None = None
        self._beam = beam_pixel(binning) if binning.has_geometry else None
        self._sound: list[tuple[FrameFacts, Seen]] = []
        self._misaligned: list[tuple[FrameFacts, Seen]] = []
        self._duplicates = Duplicates()
        self._sequence = Sequence()

    def judge(self, facts: FrameFacts) -> Quality:
        """Judge the next frame."""
        seen = self._look(facts)
        findings = [
            clear(Flag.PIPELINE),
            self._sequence.judge(facts.ref),
            judge_invalid_values(facts),
            judge_misread(
                facts,
                self.reference,
                self.settings,
                has_geometry=self.binning.has_geometry,
            ),
            self._duplicates.judge(facts),
        ]
        no_beam = judge_no_beam(facts, seen, self.reference, self.settings)
        findings.append(no_beam)
        if no_beam.state is FlagState.RAISED:
            findings += [not_evaluated(f, "no beam") for f in _MUTED_BY_NO_BEAM]
            return quality_of(findings)
        seen, about_rings = self._judge_rings(facts, seen)
        findings += about_rings
        quality = quality_of(_latest(findings))
        self._learn(facts, seen, quality)
        return quality

    def _look(self, facts: FrameFacts) -> Seen:
        if not self.binning.has_geometry:
            return Seen(profiles=None, rings=None)
        profiles = make_profiles(facts.cake, self.binning, facts.dark_frames)
        return Seen(profiles=profiles, rings=find_rings(profiles))

    def _judge_rings(self, facts: FrameFacts, seen: Seen) -> tuple[Seen, list[Finding]]:
        reference, settings = self.reference, self.settings
        findings = [
            judge_saturated(facts, settings),
            judge_radial_scale(facts, seen, reference, settings),
            judge_low_counts(facts, seen, settings),
        ]
        if seen.profiles is None or seen.rings is None or self._beam is None:
            return seen, [*findings, not_evaluated(Flag.BEAM_CENTER, "no geometry")]
        found = locate_center(seen.profiles, seen.rings)
        before = reference.center if reference is not None else None
        findings.append(judge_center(found, before, settings))
        turned = mirror_of(found.fit, facts.cake.shape, self._beam)
        if turned is not None and findings[-1].state is FlagState.RAISED:
            findings.append(turned)
        seen = Seen(profiles=seen.profiles, rings=seen.rings, center=found.fit)
        return seen, findings

    def _learn(self, facts: FrameFacts, seen: Seen, quality: Quality) -> None:
        """Take frames into the reference until that is full, then freeze it.

        Sound frames make it, or else misaligned ones: their brightness and radii are
        still worth watching in a run that is misaligned from its first frame on, but
        their centre is no reference.
        """
        if self.reference is not None or seen.profiles is None:
            return
        wrong = set(quality.severities.values())
        lit = quality.states[Flag.NO_BEAM] is FlagState.CLEAR
        if not lit or Severity.BAD in wrong:
            return
        chosen = self._sound
        if Severity.MISALIGNED in wrong:
            chosen = self._misaligned
            seen = Seen(profiles=seen.profiles, rings=seen.rings)
        chosen.append((facts, seen))
        if len(chosen) >= self.settings.reference_frames:
            self.reference = Reference.from_frames(chosen, self.settings)
            self._sound.clear()
            self._misaligned.clear()


def _latest(findings: list[Finding]) -> list[Finding]:
    """One finding per flag; a raised one is not overruled by a later clear one."""
    chosen: dict[Flag, Finding] = {}
    for finding in findings:
        known = chosen.get(finding.flag)
        if known is None or known.state is not FlagState.RAISED:
            chosen[finding.flag] = finding
    return list(chosen.values())

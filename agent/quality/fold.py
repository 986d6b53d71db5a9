"""The fold: frames of one data key in the order of their index, each gets a Quality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState, Pattern, Quality, Severity
from ringwatch.agent.quality.azimuth.low_q import judge_beamstop_leak
from ringwatch.agent.quality.azimuth.ring_intensity import (
    judge_grainy,
    judge_texture,
    measure_ring_light,
)
from ringwatch.agent.quality.azimuth.shadow import judge_shadow
from ringwatch.agent.quality.confounded import settled
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated
from ringwatch.agent.quality.geometry.center import judge_center
from ringwatch.agent.quality.geometry.corrected import corrected_pattern
from ringwatch.agent.quality.geometry.displaced import (
    RingShifts,
    judge_sample_displaced,
)
from ringwatch.agent.quality.geometry.ring_center import CenterFit, locate_center
from ringwatch.agent.quality.geometry.ring_history import RingHistory
from ringwatch.agent.quality.geometry.scale import fit_scale, judge_radial_scale
from ringwatch.agent.quality.geometry.strain import judge_strain
from ringwatch.agent.quality.geometry.tilt import judge_tilt
from ringwatch.agent.quality.geometry.wanted import excused, moved_on_purpose
from ringwatch.agent.quality.light.count_rate import judge_count_rate_loss
from ringwatch.agent.quality.light.counts import judge_low_counts, judge_no_beam
from ringwatch.agent.quality.light.first_frames import choose_frames
from ringwatch.agent.quality.light.monitor import LightHistory
from ringwatch.agent.quality.light.sample import judge_no_sample
from ringwatch.agent.quality.look import look_at, look_for_center
from ringwatch.agent.quality.pattern.change_point import ChangePoint
from ringwatch.agent.quality.pattern.crystallinity import judge_amorphous_only
from ringwatch.agent.quality.pattern.ice import judge_ice
from ringwatch.agent.quality.pattern.series import Drift, SeriesScores
from ringwatch.agent.quality.readout.history import Duplicates, Sequence
from ringwatch.agent.quality.readout.masks import EdgeHistory
from ringwatch.agent.quality.readout.metadata import judge_stale_calibration
from ringwatch.agent.quality.readout.outliers import OutlierHistory, judge_spots
from ringwatch.agent.quality.readout.pixels import (
    beam_pixel,
    judge_invalid_values,
    judge_misread,
    mirror_of,
)
from ringwatch.agent.quality.readout.saturation import judge_saturated
from ringwatch.agent.quality.readout.turned import TurnSearch
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.quality.words import CAUSES, against_stored, quality_of

__all__ = ["QualityFold"]

_MUTED_BY_NO_BEAM = CAUSES[CAUSES.index(Flag.NO_BEAM) + 1 :]
"""All that comes after it in the order of causes needs light."""


class QualityFold:
    """Judges the frames of one (run, stream, data key), in the order of their index.

    All state is here: the reference (the run's first sound frames, frozen once chosen),
    the checksums of the last frames, and the detector's last frame number. The same
    frames in the same order give the same bits, live or replayed.

    Parameters
    ----------
    settings : QualitySettings
    binning : Binning
    reference : sequence of FrameFacts
        Sound frames taken before, to compare with; by default the run's own first ones.
    """

    def __init__(
        self,
        settings: QualitySettings,
        binning: Binning,
        reference: Iterable[FrameFacts] = (),
    ) -> None:
        self.settings = settings
        self.binning = binning
        self.reference: Reference | None = None
        self._beam = beam_pixel(binning) if binning.has_geometry else None
        self._sound: list[tuple[FrameFacts, Seen]] = []
        self._misaligned: list[tuple[FrameFacts, Seen]] = []
        self._duplicates = Duplicates()
        self._sequence = Sequence()
        self._light = LightHistory()
        self._rings = RingHistory()
        self._outliers = OutlierHistory()
        self._edges = EdgeHistory()
        self._turns = TurnSearch()
        self._drift = Drift()
        self._change = ChangePoint()
        self._last_center: CenterFit | None = None
        self._first: Mapping[str, float] | None = None  # readbacks
        stored = [(facts, self._measure(facts)) for facts in reference]
        self._stored = bool(stored)
        if stored:
            self._refer_to(stored)

    def judge(self, facts: FrameFacts) -> Quality:
        """Judge the next frame."""
        return self.examine(facts)[0]

    def examine(self, facts: FrameFacts) -> tuple[Quality, Pattern | None]:
        """Judge the next frame; with the pattern about its own rings' centre.

        That pattern is None unless the geometry moved within the linear range.
        """
        seen = look_at(facts, self.binning, self.reference)
        findings = self._about_readout(facts)
        no_beam = judge_no_beam(facts, seen, self.reference, self.settings)
        findings.append(no_beam)
        if no_beam.state is FlagState.RAISED:
            dark = [not_evaluated(flag, "no beam") for flag in _MUTED_BY_NO_BEAM]
            return quality_of(findings + dark), None
        findings += self._about_light(facts, seen)
        findings += self._about_pixels(facts, seen)
        seen, about_geometry = self._about_geometry(facts, seen)
        findings += self._excused(facts, about_geometry)
        findings += self._about_rings(facts, seen)
        findings += self._about_series(
            facts, seen, about_geometry, sound=_is_sound(findings)
        )
        quality = quality_of(settled(findings))
        if self._stored:
            quality = against_stored(quality)
        self._learn(facts, seen, quality)
        if facts.pattern is None:
            return quality, None
        radius, chi = self.binning.radius, self.binning.chi
        return quality, corrected_pattern(
            quality, seen.center, facts.cake, facts.pattern, radius, chi
        )

    def _measure(self, facts: FrameFacts) -> Seen:
        """What a frame of a stored reference has to compare with."""
        seen = look_at(facts, self.binning)
        rings = look_for_center(facts, seen, self.binning)
        if rings is None:
            return seen
        found = locate_center(*rings)
        return replace(seen, center=found.fit)

    def _about_readout(self, facts: FrameFacts) -> list[Finding]:
        """What needs no light."""
        has_geometry = self.binning.has_geometry
        return [
            clear(Flag.PIPELINE),
            self._sequence.judge(facts.ref),
            judge_invalid_values(facts),
            judge_misread(
                facts, self.reference, self.settings, has_geometry=has_geometry
            ),
            self._duplicates.judge(facts),
        ]

    def _about_light(self, facts: FrameFacts, seen: Seen) -> list[Finding]:
        reference, settings = self.reference, self.settings
        return [
            *self._light.judge(facts, seen, reference, settings),
            judge_no_sample(facts, seen, reference, settings),
            judge_saturated(facts, settings),
            judge_count_rate_loss(facts, settings),
            judge_low_counts(facts, seen, settings),
        ]

    def _about_pixels(self, facts: FrameFacts, seen: Seen) -> list[Finding]:
        settings = self.settings
        return [
            self._edges.judge(facts, settings),
            *self._outliers.judge(facts, seen, settings),
            judge_spots(facts, seen, settings),
            judge_stale_calibration(facts, seen, settings),
        ]

    def _about_geometry(
        self, facts: FrameFacts, seen: Seen
    ) -> tuple[Seen, list[Finding]]:
        reference, settings = self.reference, self.settings
        if seen.profiles is not None and reference is not None:
            seen = replace(seen, scale=fit_scale(seen.profiles, reference))
        scale = judge_radial_scale(facts, seen, reference, settings, self._rings)
        rings = look_for_center(facts, seen, self.binning)
        if rings is None or self._beam is None:
            missing = (Flag.BEAM_CENTER, Flag.TILT, Flag.STRAIN)
            return seen, [scale, *(not_evaluated(f, "no geometry") for f in missing)]
        found = locate_center(*rings, self._last_center)
        self._last_center = found.fit
        before = reference.center if reference is not None else None
        shifts = RingShifts.from_seen(seen, reference) if settings.flat_plate else None
        center = judge_center(found, before, settings)
        shape = facts.cake.shape
        hint, turned = mirror_of(found.fit, shape, self._beam, before)
        if found.apart is not None:
            turned = self._turns.judge(facts.turned, self.binning)
        if center.state is FlagState.RAISED:
            center = center._replace(sentence=center.sentence + hint)
        findings = [
            scale,
            center,
            judge_tilt(found, before, settings),
            judge_strain(found, before, settings),
            judge_sample_displaced(facts, shifts, settings),
        ]
        if turned is not None and center.state is FlagState.RAISED:
            findings.append(turned)
        return replace(seen, center=found.fit), findings

    def _excused(self, facts: FrameFacts, findings: list[Finding]) -> list[Finding]:
        """What the plan moves on purpose is information."""
        now = facts.ref.readbacks
        if self._first is None:
            self._first = now
        wanted = moved_on_purpose(facts.scanned, now, self._first, self.settings)
        return excused(findings, wanted) if wanted else findings

    def _about_rings(self, facts: FrameFacts, seen: Seen) -> list[Finding]:
        reference, settings = self.reference, self.settings
        light = measure_ring_light(facts, seen)
        return [
            judge_grainy(light, settings),
            judge_texture(light, seen, settings),
            judge_shadow(seen, reference, settings),
            judge_beamstop_leak(facts, seen, reference, settings),
            judge_ice(facts, seen, settings),
            judge_amorphous_only(facts, seen, settings),
        ]

    def _about_series(
        self,
        facts: FrameFacts,
        seen: Seen,
        about_geometry: list[Finding],
        *,
        sound: bool,
    ) -> list[Finding]:
        found = {finding.flag: finding for finding in about_geometry}
        scores = SeriesScores.from_findings(
            facts,
            seen,
            scale=found[Flag.RADIAL_SCALE],
            center=found[Flag.BEAM_CENTER],
            settings=self.settings,
        )
        return [
            self._drift.judge(scores, self.settings),
            self._change.judge(seen, self.settings, sound=sound),
        ]

    def _learn(self, facts: FrameFacts, seen: Seen, quality: Quality) -> None:
        """Take frames into the reference until that is full, then freeze it.

        Sound frames make it, without one whose light departs from that of the others;
        or else misaligned ones: their brightness and radii are still worth watching in
        a run that is misaligned from its first frame on, but their centre is no
        reference.
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
            seen = replace(seen, center=None)
        chosen.append((replace(facts, turned=None), seen))  # lets the pixels go
        first = choose_frames(chosen, self.settings)
        if first:
            self._refer_to(first)
            self._sound.clear()
            self._misaligned.clear()

    def _refer_to(self, frames: list[tuple[FrameFacts, Seen]]) -> None:
        reference = self.reference = Reference.from_frames(frames, self.settings)
        self._rings.learn_reference(
            fit_scale(seen.profiles, reference)
            for _, seen in frames
            if seen.profiles is not None
        )


def _is_sound(findings: list[Finding]) -> bool:
    """Whether nothing found so far makes the frame bad or misaligned."""
    return not _grave(findings) or not _grave(settled(findings))


def _grave(findings: list[Finding]) -> list[Finding]:
    """What is raised and makes a frame bad or misaligned."""
    raised, grave = FlagState.RAISED, (Severity.BAD, Severity.MISALIGNED)
    up = [finding for finding in findings if finding.state is raised]
    return [f for f in up if (f.severity or f.flag.severity) in grave]

"""Words, order of causes, settings: the rules of the list of flags."""

from __future__ import annotations

import math

import pytest

from ringwatch.agent.nouns import Flag, FlagState, Severity, Word
from ringwatch.agent.quality import QualitySettings, set_aside, unread, verdict_word
from ringwatch.agent.quality.findings import clear, not_evaluated, raised
from ringwatch.agent.quality.words import CAUSES, NEEDED, quality_of

B, M, S, I = (  # noqa: E741
    Severity.BAD,
    Severity.MISALIGNED,
    Severity.SUSPECT,
    Severity.INFORMATION,
)


@pytest.mark.parametrize(
    ("severities", "word"),
    [
        ([], Word.GOOD),
        ([I], Word.GOOD),
        ([S, I], Word.SUSPECT),
        ([S, M], Word.MISALIGNED),
        ([M, S, B], Word.BAD),
    ],
)
def test_the_worst_severity_decides(severities, word):
    assert verdict_word(severities, Flag) is word


@pytest.mark.parametrize("flag", sorted(NEEDED, key=lambda f: f.bit))
def test_a_needed_check_that_was_not_made_is_never_good(flag):
    assert verdict_word([], set(Flag) - {flag}) is Word.UNKNOWN
    assert verdict_word([M], set(Flag) - {flag}) is Word.MISALIGNED


def test_flags_that_no_verdict_needs_may_be_missing():
    assert verdict_word([], NEEDED) is Word.GOOD


def test_every_flag_has_a_place_in_the_order_of_causes():
    assert sorted(CAUSES, key=lambda f: f.bit) == sorted(Flag, key=lambda f: f.bit)


def test_first_cause_wins_and_information_never_does():
    found = [raised(flag, 1.0, f"because of {flag.label}") for flag in CAUSES[1:]]
    assert quality_of(found).primary is Flag.SEQUENCE
    heat = raised(Flag.RADIAL_SCALE, 500.0, "warmer", severity=I)
    faint = raised(Flag.LOW_COUNTS, 3.0, "faint")
    quality = quality_of([heat, faint])
    assert quality.primary is Flag.LOW_COUNTS
    assert quality.reason == "faint"
    assert quality.dq == Flag.RADIAL_SCALE.mask | Flag.LOW_COUNTS.mask


def test_three_states_and_their_masks():
    quality = quality_of(
        [clear(Flag.DUPLICATE), not_evaluated(Flag.SEQUENCE, "no number")]
    )
    assert quality.states[Flag.DUPLICATE] is FlagState.CLEAR
    assert quality.why_not[Flag.SEQUENCE] == "no number"
    assert quality.why_not[Flag.MISREAD] == "not checked"
    assert quality.dq_evaluated == Flag.DUPLICATE.mask
    assert quality.word is Word.UNKNOWN
    assert set(quality.states) == set(Flag)


def test_unread_frames():
    late = unread("the queue was full")
    assert (late.word, late.primary) == (Word.UNKNOWN, Flag.PIPELINE)
    assert late.reason == "the queue was full"
    assert late.dq_evaluated == Flag.PIPELINE.mask
    cut = unread("shape (3, 4) where (5, 6) is due", flag=Flag.MISREAD)
    assert (cut.word, cut.primary) == (Word.BAD, Flag.MISREAD)
    assert cut.states[Flag.PIPELINE] is FlagState.CLEAR
    assert cut.states[Flag.NO_BEAM] is FlagState.NOT_EVALUATED


def test_a_frame_set_aside_raises_nothing():
    quality = set_aside("dark frame")
    assert quality.word is Word.UNKNOWN
    assert quality.raised == ()
    assert "dark frame" in quality.reason


def test_thresholds_follow_the_budget():
    """0.1 false alarm an hour, 20 statistics: 5.27 sigma at 10 Hz, 6.06 at 1 kHz."""
    assert QualitySettings().threshold == pytest.approx(5.27, abs=0.01)
    fast = QualitySettings(frame_rate_hz=1000.0)
    assert fast.threshold == pytest.approx(6.06, abs=0.01)
    loose = QualitySettings(false_alarms_per_hour=1.0)
    assert loose.threshold < QualitySettings().threshold
    few, many = (QualitySettings().threshold_for(n) for n in (5, 10_000))
    assert few > 1.5 * many
    assert many == pytest.approx(5.27, abs=0.02)
    plane = QualitySettings().threshold_for(1e6, dimensions=2)
    assert plane == pytest.approx(math.sqrt(-2 * math.log(0.1 / 720_000)), abs=0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [("frame_rate_hz", 0), ("least_beam", 1.5), ("center_tolerance", -0.1)],
)
def test_settings_out_of_bounds_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        QualitySettings(**{name: value})

"""A fault takes back what it only makes look like a fault."""

from __future__ import annotations

import pytest

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality.confounded import _CONFOUNDED, settled
from ringwatch.agent.quality.findings import clear, not_evaluated, raised


@pytest.mark.parametrize(
    ("cause", "look"),
    [
        (Flag.MISREAD, Flag.BEAM_DROP),
        (Flag.BEAM_CENTER, Flag.ZINGERS),
        (Flag.SPOTS, Flag.BEAMSTOP_LEAK),
        (Flag.MISREAD, Flag.SHADOW),
        (Flag.SAMPLE_DISPLACED, Flag.RADIAL_SCALE),
    ],
)
def test_the_look_goes_and_says_why(cause, look):
    both = [raised(look, 2.0, "a look"), raised(cause, 1.0, "a cause")]
    found = {f.flag: f for f in settled(both)}
    assert found[cause].state is FlagState.RAISED
    assert found[look].state is FlagState.NOT_EVALUATED
    assert found[look].sentence != "a look"
    alone = settled([raised(look, 2.0, "a look"), clear(cause)])
    assert alone[0].state is FlagState.RAISED


@pytest.mark.parametrize(
    ("cause", "look", "spared"),
    [
        (Flag.BEAM_CENTER, Flag.SHADOW, Flag.BEAM_DROP),
        (Flag.SPOTS, Flag.BEAMSTOP_LEAK, Flag.MASK_MISMATCH),
    ],
)
def test_what_is_only_a_look_takes_nothing_back(cause, look, spared):
    every = [raised(f, 1.0, f.label) for f in (spared, look, cause)]
    for order in (every, every[::-1]):
        states = {f.flag: f.state for f in settled(order)}
        assert states == {
            cause: FlagState.RAISED,
            look: FlagState.NOT_EVALUATED,
            spared: FlagState.RAISED,
        }


def test_a_drop_beside_a_shadow_stays():
    """It was looked for in the light that the shadow leaves alone."""
    both = [raised(Flag.BEAM_DROP, 0.7, "a drop"), raised(Flag.SHADOW, 0.3, "a shadow")]
    assert [finding.state for finding in settled(both)] == [FlagState.RAISED] * 2


def test_causes_stand_before_their_looks():
    causes = [cause for cause, _, _ in _CONFOUNDED]
    assert len(set(causes)) == len(causes)
    for place, (_, looks, _) in enumerate(_CONFOUNDED):
        assert not set(looks) & set(causes[: place + 1])


def test_what_is_clear_stays_clear():
    both = [clear(Flag.BEAM_DROP, 1.0), raised(Flag.SHADOW, 1.0, "a shadow")]
    assert settled(both)[0].state is FlagState.CLEAR


def test_a_raised_finding_is_not_overruled_by_a_later_one():
    (one,) = settled([raised(Flag.MISREAD, 1.0, "turned"), clear(Flag.MISREAD)])
    assert one.sentence == "turned"
    (two,) = settled([clear(Flag.MISREAD), raised(Flag.MISREAD, 1.0, "turned")])
    assert two.state is FlagState.RAISED
    (three,) = settled([not_evaluated(Flag.MISREAD, "no"), clear(Flag.MISREAD)])
    assert three.state is FlagState.CLEAR

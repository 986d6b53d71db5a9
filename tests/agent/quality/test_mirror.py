"""Near the middle an image turned about looks like a shift: when that is told."""

from __future__ import annotations

import pytest

from ringwatch.agent.quality.geometry.displacement import Pair
from ringwatch.agent.quality.geometry.ring_center import CenterFit
from ringwatch.agent.quality.readout.mirror import mirror_of

SHAPE, BEAM = (512, 512), (250.0, 255.05)  # left to right: 0.9 px


def at(dx: float, dy: float = 0.0, sigma: float = 0.004) -> CenterFit:
    covariance = (sigma**2, 0.0), (0.0, sigma**2)
    center = Pair(x=dx, y=dy, covariance=covariance, freedom=30.0)
    return CenterFit(center=center, fwhm=3.0)


@pytest.mark.parametrize(
    ("fit", "told"),
    [
        (at(0.9), True),
        (at(1.0), True),
        (at(1.1), False),
        (at(0.7), False),
        (at(0.9, 0.2), False),
        (at(1.1, sigma=0.1), True),
    ],
)
def test_the_hint_is_given_where_the_centre_is_that_of_the_flip(fit, told):
    hint, turned = mirror_of(fit, SHAPE, BEAM)
    assert turned is None
    assert ("left to right" in hint) == told


def test_a_run_that_was_not_turned_before_has_moved():
    assert mirror_of(at(0.9), SHAPE, BEAM, at(0.0))[0] == ""
    assert "left to right" in mirror_of(at(0.9), SHAPE, BEAM, at(0.91))[0]

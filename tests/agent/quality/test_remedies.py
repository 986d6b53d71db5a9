"""What is misaligned says what to do."""

from __future__ import annotations

import numpy as np

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.geometry.scale import judge_radial_scale


def test_a_centre_that_is_off_asks_for_a_calibration(judge, rings, rng):
    quality = judge(rng.poisson(rings.mean(dx=1.0)).astype(np.uint32))
    assert quality.primary is Flag.BEAM_CENTER
    assert quality.reason.endswith("calibrate again")


def test_rings_that_grew_ask_what_moved(compared, rings, rng):
    def drawn(expansion=0.0):
        return rng.poisson(rings.mean(expansion=expansion)).astype(np.uint32)

    looked = compared(drawn(1e-3), [drawn(), drawn(), drawn()])
    finding = judge_radial_scale(*looked, QualitySettings())
    assert finding.state is FlagState.RAISED
    assert "find out what moved" in finding.sentence
    (facts, seen, _) = compared(drawn())
    alone = judge_radial_scale(facts, seen, None, QualitySettings())
    assert "one frame alone" in alone.sentence

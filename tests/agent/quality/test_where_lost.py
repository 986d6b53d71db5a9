"""Where the light of a misread frame is missing."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import SECTORS, Flag
from ringwatch.agent.quality.readout.where_lost import where_lost


@pytest.mark.parametrize("first", [3, 12, 30])
def test_the_range_of_azimuth_is_the_one_that_lost_its_light(
    rings, facts, binning, rng, first
):
    sector = binning.cell.reshape(512, 512).astype(np.int64) % SECTORS
    gone = (sector - first) % SECTORS < 6
    frame = np.where(gone, 0, rng.poisson(rings.mean())).astype(np.uint32)
    low = -180 + first * 11.25
    told = where_lost(facts(frame, binning).cake, None)
    assert told == f" (chi {low:.0f} to {low + 67.5:.0f} degrees)"


def test_half_a_frame_and_none(judge, rings, facts, binning, rng):
    frame = rng.poisson(rings.mean()).astype(np.int32)
    assert where_lost(facts(frame, binning).cake, None) == ""
    frame[256:] = 0
    quality = judge(frame)
    assert quality.primary is Flag.MISREAD
    assert "exactly 0 (chi 0 to 180 degrees) though" in quality.reason

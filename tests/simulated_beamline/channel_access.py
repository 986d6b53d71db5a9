"""What the tests of the IOC share: a small beamline, and the reason to skip them."""

from __future__ import annotations

import pytest

from ringwatch.simulated_beamline.epics.ioc_process import missing_packages
from ringwatch.simulated_beamline.scenarios import FurnaceRamp

MISSING = missing_packages()

needs_epics = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} of the extra `epics` absent: make test EXTRAS=epics",
)

RAMP = FurnaceRamp(frames=20, side=128, exposure_time=0.005, darks=2)

"""One seed, one crystal: whether kernels were compiled just now or kept by numba."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_DRAW = """
import hashlib
from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.settings import DisturbanceSettings

peaks = CrystalGenerator(seed=5, wavelength=1.5406).peaks(0, 64)
x = Disturbances(DisturbanceSettings(), seed=1).patterns(peaks, 0, 0.3)
for values in (peaks.q, peaks.strength, x):
    print(hashlib.sha256(values.tobytes()).hexdigest())
"""


@pytest.mark.long
def test_compiled_just_now_or_kept_gives_the_same_bits(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", _DRAW],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert list(tmp_path.rglob("*.nbc"))
    assert len(set(said[0].split())) == 3
    assert said[0] == said[1]

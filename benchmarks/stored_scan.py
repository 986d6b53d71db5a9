"""A simulated scan that a real RunEngine stores in Tiled, for the replay benchmarks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sources.tiled import find_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["store_run"]


def store_run(
    folder: Path, tiled: EmbeddedTiled, frames: int, edge: int
) -> tuple[Beamline, Any]:
    """The beamline, and the step scan of it that was stored."""
    beamline = powder_beamline(folder / "beamline", detector=edge, exposure_time=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=10_000))
    (uid,) = engine(beamline.step_scan(frames))
    return beamline, find_run(tiled.catalog("raw"), str(uid))

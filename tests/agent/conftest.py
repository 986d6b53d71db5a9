"""A small real geometry, frames with rings, a RunEngine, a sink that remembers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bluesky import RunEngine
from numpy.typing import NDArray

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.readout import ListedFrames

from .spooling import Make, spooled_sinks

SHAPE = (192, 176)
PIXEL_M = 0.4e-3
DISTANCE_M = 0.15
WAVELENGTH_A = 0.2
A_CEO2 = 5.4115
LINES = (3, 4, 8, 11, 12, 16, 19, 20, 24)  # h^2 + k^2 + l^2 of the F lattice


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTiled]:
    """A Tiled server of its own process, shared: a start takes seconds."""
    files = tmp_path_factory.getbasetemp()
    place = tmp_path_factory.mktemp("tiled")
    with EmbeddedTiled(place, readable_storage=[files]) as running:
        yield running


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Folder of a spool."""
    return tmp_path / "spool"


@pytest.fixture
def make(
    server: EmbeddedTiled, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Sinks that are closed in the end; Tiled's client itself does not retry."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    with spooled_sinks(server, spool) as sinks:
        yield sinks


@pytest.fixture
def memory_sink() -> MemorySink:
    """A sink that remembers."""
    return MemorySink()


@pytest.fixture(scope="session")
def poni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pyFAI geometry of a detector of 192 x 176 pixels, beam in the middle."""
    path = tmp_path_factory.mktemp("geometry") / "detector.poni"
    rows, columns = SHAPE
    path.write_text(
        "poni_version: 2\n"
        "Detector: Detector\n"
        f'Detector_config: {{"pixel1": {PIXEL_M}, "pixel2": {PIXEL_M}, '
        f'"max_shape": [{rows}, {columns}], "orientation": 3}}\n'
        f"Distance: {DISTANCE_M}\n"
        f"Poni1: {(rows / 2 + 0.3) * PIXEL_M}\n"
        f"Poni2: {(columns / 2 - 0.2) * PIXEL_M}\n"
        "Rot1: 0.0\nRot2: 0.0\nRot3: 0.0\n"
        f"Wavelength: {WAVELENGTH_A * 1e-10}\n"
    )
    return path


def ring_image(*, scale: float = 400.0, dx: float = 0.0) -> NDArray[np.float64]:
    """Expected counts of CeO2-like rings, beam ``dx`` pixels off in x, (y, x)."""
    y, x = np.indices(SHAPE)
    r = np.hypot(y + 0.5 - SHAPE[0] / 2 - 0.3, x + 0.5 - SHAPE[1] / 2 + 0.2 - dx)
    image = np.full(SHAPE, 0.05 * scale)
    for n in LINES:
        two_theta = 2 * np.arcsin(WAVELENGTH_A * np.sqrt(n) / (2 * A_CEO2))
        radius = DISTANCE_M * np.tan(two_theta) / PIXEL_M
        image += scale * np.exp(-0.5 * ((r - radius) / 1.3) ** 2)
    return image


@pytest.fixture(scope="session")
def ring_frames() -> list[NDArray[np.uint16]]:
    """Forty different frames of the same rings, with Poisson counts, (192, 176)."""
    rng = np.random.default_rng(20261120)
    return [rng.poisson(ring_image()).astype(np.uint16) for _ in range(40)]


@pytest.fixture
def ring_source(ring_frames: list[NDArray[np.uint16]]) -> ListedFrames:
    """A source that delivers them in turn."""
    return ListedFrames(ring_frames)


@pytest.fixture
def run_engine() -> Iterator[RunEngine]:
    """A real RunEngine."""
    with warnings.catch_warnings():
        engine = RunEngine({}, call_returns_result=False)
    yield engine
    if engine.state != "idle":
        engine.abort()


@pytest.fixture
def make_frame() -> Callable[..., NDArray[np.float64]]:
    """``ring_image``, for tests that draw their own."""
    return ring_image

"""``ringwatch relabel`` over runs that no network saw."""

from __future__ import annotations

from pathlib import Path

from bluesky import RunEngine
from typer.testing import CliRunner

from ringwatch.agent import Agent
from ringwatch.agent.cli import app
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import LearnedError
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector


def test_runs_without_embeddings_are_told(
    run_engine: RunEngine, ring_source: ListedFrames, poni: Path, tmp_path: Path
) -> None:
    detector = StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.005
    )
    with EmbeddedTiled(tmp_path / "tiled") as server:
        with Agent(
            poni=poni, classifier="none", tiled=server.uri, api_key=server.api_key
        ) as agent:
            run_engine.subscribe(agent)
            run_engine(step_scan(detector, 3))
            assert agent.wait_idle(60)
        words = ["--tiled", server.uri, "--heads", str(tmp_path / "heads")]
        result = CliRunner().invoke(
            app, ["relabel", "--find", *words], env={"TILED_API_KEY": server.api_key}
        )
    assert isinstance(result.exception, LearnedError)
    assert "of 1 runs has an embedding" in str(result.exception)

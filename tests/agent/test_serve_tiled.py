"""``ringwatch serve`` where nobody publishes: it follows what is written to Tiled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from tiled.queries import Key
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .derived_documents import wait_until
from .service import Service

FRAMES = 6


def test_runs_written_to_tiled_get_their_verdicts(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    config = tmp_path / "agent.toml"
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        config.write_text(
            f'poni = "{beamline.poni_path}"\n'
            f'mask = "{beamline.mask_path}"\n'
            'classifier = "none"\n'
            'documents_from = "tiled"\n'
            f'tiled = "{tiled.uri}"\n'
            f'state = "{tmp_path}/state"\n'
        )
        with Service(config, TILED_API_KEY=tiled.api_key) as service:
            assert service.says("documents from"), service.log
            engine: Any = RunEngine({}, call_returns_result=False)
            engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1))
            (uid,) = engine(beamline.step_scan(FRAMES))
            analysis = tiled.catalog("analysis")

            def finals() -> Counter[int]:
                found: Counter[int] = Counter()
                for run in analysis.search(Key("raw_uid") == uid).values():
                    if run.metadata.get("stop"):
                        table = run["primary"].base["internal"].read()
                        found.update(int(i) for i in table["raw_index"][table["final"]])
                return found

            assert wait_until(lambda: bool(finals()), 90), service.log
            assert finals() == Counter(range(FRAMES))
            assert service.end() == 0
            assert "6 of 6 frames have their final verdict" in service.log


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        ('documents_from = "tiled"\n', "name the server with 'tiled'"),
        (
            'documents_from = "tiled"\ntiled = "http://x"\ndocuments = ["tcp://x:1"]\n',
            "leave out one of them",
        ),
        ("", 'documents_from = "tiled"'),
    ],
)
def test_where_documents_come_from_must_be_clear(
    tmp_path: Path, lines: str, remedy: str
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(lines)
    result = CliRunner().invoke(app, ["serve", "--config", str(config)])
    assert result.exit_code == 78  # which no restart mends
    assert remedy in " ".join(result.output.split())

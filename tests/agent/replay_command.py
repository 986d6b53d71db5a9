"""``ringwatch replay`` as a command, with settings and a container of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from typer.testing import CliRunner, Result

from ringwatch.agent.cli import app
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.timings import TIMINGS
from ringwatch.simulated_beamline.beamline import Beamline

__all__ = ["ReplayCommand", "answers", "store"]


class ReplayCommand:
    """Runs the command in this process.

    Parameters
    ----------
    server, raw
        Where the raw runs are.
    beamline
        Whose geometry and mask count.
    folder
        Where the settings go. Its name is that of the container of derived runs: what
        one test stored must not answer another.
    settings
        Further ones.
    """

    def __init__(
        self,
        server: EmbeddedTiled,
        raw: str,
        beamline: Beamline,
        folder: Path,
        **settings: object,
    ) -> None:
        self.server, self.container = server, folder.name
        self.where = ["--tiled", server.uri, "--container", raw]
        self.config = folder / "agent.toml"
        lines = {
            "poni": str(beamline.poni_path),
            "mask": str(beamline.mask_path),
            "detector": "detector_image",
            "classifier": "none",
            "tiled_container": self.container,
            **settings,
        }
        text = [f"{key} = {json.dumps(value)}\n" for key, value in lines.items()]
        self.config.write_text("".join(text))

    def words(self, *arguments: object) -> list[str]:
        """The command line."""
        told = ["replay", *map(str, arguments)]
        if "--config" not in told:
            told += ["--config", str(self.config)]
        return told + self.where

    def __call__(self, *arguments: object) -> Result:
        environment = {"TILED_API_KEY": self.server.api_key}
        return CliRunner().invoke(app, self.words(*arguments), env=environment)


def answers(result: Result) -> list[dict[str, Any]]:
    """What the command printed with ``--json``, but for what differs each time."""
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    for answer in found:
        for verdict in answer.get("verdicts", []):
            for timing in TIMINGS:
                del verdict[timing]
    return found


def store(server: EmbeddedTiled, raw: str, *plans: Any) -> list[str]:
    """Run plans and store their documents; uids of the runs."""
    engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(TiledWriter(server.catalog(raw), batch_size=10))
    return [str(uid) for plan in plans for uid in engine(plan)]

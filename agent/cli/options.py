"""Options that several commands have, each told in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringwatch.agent.cli.archive import LOCAL

__all__ = [
    "AsJson",
    "By",
    "Config",
    "DataKey",
    "Heads",
    "Stream",
    "Tiled",
]

Tiled = Annotated[
    str | None,
    typer.Option(help=f"Tiled server, by default {LOCAL}; TILED_API_KEY counts."),
]
Config = Annotated[Path | None, typer.Option(help="Settings (TOML) of the agent.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print an object.")]
By = Annotated[
    str | None, typer.Option(help="Who says so; by default your login name.")
]
Heads = Annotated[
    Path | None, typer.Option(help="Folder of heads [default: as in the settings].")
]
Stream = Annotated[
    str, typer.Option(help="Stream of the frames, where a run has several.")
]
DataKey = Annotated[
    str, typer.Option(help="Data key of the frames, where a stream has several.")
]

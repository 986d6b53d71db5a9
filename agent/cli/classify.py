"""``ringwatch classify``: verdicts and labels of measured files."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import fabio
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ringwatch.agent.agent import load_classifier
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cli.present import as_object, word_style
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import RingwatchError, SettingsError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.images import read_image
from ringwatch.agent.measured import Unit, is_pattern_file, read_pattern
from ringwatch.agent.nouns import FrameRef, LostLocator, MemoryLocator, Verdict
from ringwatch.agent.run_analysis import RunAnalysis, unknown_verdict
from ringwatch.agent.settings import load_settings
from ringwatch.models.inputs import PatternError
from ringwatch.models.nearest import Library, LibraryError, Neighbours

__all__ = ["classify"]


def classify(
    files: Annotated[
        list[Path],
        typer.Argument(help="Frames (any format of fabio, .npy) or patterns."),
    ],
    poni: Annotated[Path | None, typer.Option(help="pyFAI geometry of frames.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Image; pixels that are not 0 are not used.")
    ] = None,
    dark: Annotated[Path | None, typer.Option(help="Dark frame to subtract.")] = None,
    unit: Annotated[
        Unit | None,
        typer.Option(
            help="First column of patterns "
            "[default: 2theta_deg with --wavelength, else q_A^-1]."
        ),
    ] = None,
    wavelength: Annotated[
        float | None, typer.Option(help="Of patterns over 2theta, Angstrom.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings (TOML).")] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            help="Known structures to search for a second opinion; make one with "
            "`python -m ringwatch.models.known_structures LIBRARY.npz CIF...`."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list, one object per file.")
    ] = False,
) -> None:
    """Say of measured files whether they can be trusted and what symmetry they show.

    Frames need --poni for labels; without it they get the flags that need no geometry
    and are never good. Patterns are text in two or three columns (.xy .xye .chi .dat
    .csv, also .gz). Of a file with several frames the first is judged. Exits 1 if none
    of the files could be read.

    For example: `ringwatch classify ceo2.cbf --poni ceo2.poni`, or
    `ringwatch classify quartz.xy --wavelength 1.5406 --json`.
    """
    settings = load_settings(config, poni=poni, mask=mask, dark=dark)
    known = _read_library(library) if library else None
    analysis = Analysis(settings, load_classifier(settings))
    verdicts = []
    read = 0
    for path in files:
        arrived = time.monotonic()
        ref = _ref(path)
        try:
            if is_pattern_file(path):
                verdict = _judge_pattern(analysis, ref, unit, wavelength, arrived)
            else:
                verdict = _judge_frame(analysis, ref, arrived)
            read += 1
        except RingwatchError as error:
            verdict = unknown_verdict(ref, str(error), analysis.analysis_id, arrived)
        verdicts.append((path, verdict))
    if as_json:
        objects = [
            {"file": str(path), **as_object(v), **_as_nearest(known, v)}
            for path, v in verdicts
        ]
        sys.stdout.write(json.dumps(objects, indent=2) + "\n")
    else:
        _print(verdicts, known)
    if not read:
        raise typer.Exit(1)


def _ref(path: Path) -> FrameRef:
    return FrameRef(
        run_uid=str(path),
        stream="primary",
        data_key="image",
        index=0,
        seq_num=1,
        time=time.time(),
        locator=LostLocator(reason="not read yet"),
    )


def _judge_frame(analysis: Analysis, ref: FrameRef, arrived: float) -> Verdict:
    path = Path(ref.run_uid)
    ref = replace(ref, locator=MemoryLocator(frame=read_image(path)))
    run = RunAnalysis(analysis, {}, FrameReader(), DarkBook())
    verdict = run.judge(ref, arrived)
    frames = _frames_in(path)
    if frames == 1:
        return verdict
    return replace(verdict, reason=f"{verdict.reason} (first of {frames} frames)")


def _frames_in(path: Path) -> int:
    """How many frames a file holds that ``read_image`` could read."""
    if path.suffix == ".npy":
        return 1
    with fabio.open(str(path)) as opened:
        return int(opened.nframes)


def _judge_pattern(
    analysis: Analysis,
    ref: FrameRef,
    unit: Unit | None,
    wavelength: float | None,
    arrived: float,
) -> Verdict:
    pattern = read_pattern(Path(ref.run_uid), unit=unit, wavelength=wavelength)
    return analysis.judge_pattern(ref, pattern, arrived)


def _read_library(path: Path) -> Library:
    try:
        return Library.read(path)
    except LibraryError as error:
        raise SettingsError(str(error)) from error


def _nearest(library: Library, verdict: Verdict) -> Neighbours:
    """Known structures most alike to a verdict's pattern; none without a pattern."""
    pattern = verdict.pattern
    if pattern is None:
        return ()
    try:
        return library.search(pattern.q, pattern.intensity, k=3, sigma=pattern.sigma)
    except PatternError:
        return ()


def _as_nearest(library: Library | None, verdict: Verdict) -> dict[str, Any]:
    """What JSON says of the known structures, if there is a library."""
    if library is None:
        return {}
    return {"nearest": [asdict(found) for found in _nearest(library, verdict)]}


def _second_opinion(library: Library, verdict: Verdict) -> str:
    """Name the nearest known structure in a few words."""
    found = _nearest(library, verdict)
    if not found:
        return ""
    best = found[0]
    if not best.known:
        return f"; like no known structure (nearest {best.name})"
    group = f", space group {best.space_group}" if best.space_group else ""
    return f"; nearest known: {best.name}{group}, distance {best.distance:.2f}"


def _print(verdicts: list[tuple[Path, Verdict]], library: Library | None) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("file", "verdict", "label", "probability", "why"):
        table.add_column(column, overflow="fold")
    for path, verdict in verdicts:
        prediction = verdict.prediction
        label, probability = "-", "-"
        if prediction is not None:
            sure = "?" if prediction.unsure else ""
            label = f"{prediction.label}{sure}"
            probability = f"{prediction.label_prob:.2f}"
        opinion = _second_opinion(library, verdict) if library else ""
        table.add_row(
            escape(path.name),
            f"[{word_style(verdict.word)}]{verdict.word.value}[/]",
            label,
            probability,
            escape(verdict.reason + opinion),  # names may hold square brackets
        )
    Console().print(table)

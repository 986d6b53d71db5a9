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
from rich.padding import Padding
from rich.table import Table

from ringwatch.agent.agent import load_classifier
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cli.present import as_object, word_style
from ringwatch.agent.cli.why import find_reasons
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import FrameReadError, RingwatchError, SettingsError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.geometry import load_geometry
from ringwatch.agent.images import read_image
from ringwatch.agent.measured import is_pattern_file, read_axis, read_pattern
from ringwatch.agent.nouns import FrameRef, LostLocator, MemoryLocator, Verdict
from ringwatch.agent.pattern_axes import Axis, Unit, check_wavelength
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
            help="First column of patterns [default: what the header of pyFAI or "
            "Fit2D says, else 2theta_deg with --wavelength, else q_A^-1]."
        ),
    ] = None,
    wavelength: Annotated[
        float | None,
        typer.Option(
            help="Of patterns, Angstrom; needed for 2theta, unless in pyFAI's header. "
            "Frames have that of --poni."
        ),
    ] = None,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Also say which peaks decided the label, and which classes few lines "
            "tell from it (takes as long as 49 more patterns).",
        ),
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings (TOML).")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights of the classifier [default: those shipped]."),
    ] = None,
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
    `ringwatch classify quartz.xy --wavelength 1.5406 --why`.
    """
    check_wavelength(wavelength)
    settings = load_settings(config, poni=poni, mask=mask, dark=dark, weights=weights)
    known = _read_library(library) if library else None
    classifier = load_classifier(settings)
    analysis = Analysis(settings, classifier)
    verdicts = []
    axes: dict[Path, Axis] = {}
    read = 0
    for path in files:
        arrived = time.monotonic()
        ref = _ref(path)
        try:
            if is_pattern_file(path):
                axes[path] = read_axis(path, unit=unit, wavelength=wavelength)
                verdict = _judge_pattern(analysis, ref, axes[path], arrived)
            else:
                verdict = _judge_frame(analysis, ref, arrived)
            read += 1
        except RingwatchError as error:
            verdict = unknown_verdict(ref, str(error), analysis.analysis_id, arrived)
        verdicts.append((path, verdict))
    reasons = [
        find_reasons(classifier, verdict, _wavelength(path, settings.poni, axes))
        for path, verdict in verdicts
        if why
    ]
    if as_json:
        objects = [
            {
                "file": str(path),
                "unit": axes[path].unit if path in axes else None,
                **as_object(v),
                **_as_nearest(known, v),
            }
            for path, v in verdicts
        ]
        if why:
            told = [each.to_object() for each in reasons]
            objects = [a | b for a, b in zip(objects, told, strict=True)]
        sys.stdout.write(json.dumps(objects, indent=2) + "\n")
    else:
        _print(verdicts, known)
        _note_assumed(axes)
        for (path, verdict), found in zip(verdicts, reasons, strict=False):
            Console().print(found.show(path.name, verdict), highlight=False)
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
    if path.is_dir():
        raise FrameReadError(f"{path} is a folder: name the files in it")
    if path.is_file() and not path.stat().st_size:
        raise FrameReadError(f"{path} is empty: write or copy it again")
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
    axis: Axis,
    arrived: float,
) -> Verdict:
    path = Path(ref.run_uid)
    pattern = read_pattern(path, unit=axis.unit, wavelength=axis.wavelength)
    return analysis.judge_pattern(ref, pattern, arrived)


def _note_assumed(axes: dict[Path, Axis]) -> None:
    """Say once which unit was taken where nobody told one."""
    assumed = {axis.unit for axis in axes.values() if axis.assumed}
    if assumed:
        units = " or ".join(sorted(assumed))
        note = f"no unit told: the first column was taken as {units} (see --unit)"
        Console().print(note, style="dim", highlight=False)


def _wavelength(path: Path, poni: Path | None, axes: dict[Path, Axis]) -> float | None:
    """Angstrom: what is known of patterns, the geometry's for frames, if any."""
    if is_pattern_file(path):
        return axes[path].wavelength if path in axes else None
    return float(load_geometry(poni).wavelength) * 1e10 if poni else None


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
    q, intensity, sigma = pattern.measured()
    try:
        return library.search(q, intensity, k=3, sigma=sigma)
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
    """One row a file and, below it, why: reasons are too long for a column."""
    console = Console()
    unsure = False
    longest = max(len(path.name) for path, _ in verdicts)
    for i, (path, verdict) in enumerate(verdicts):
        prediction = verdict.prediction
        label, probability = "-", "-"
        if prediction is not None:
            unsure |= prediction.unsure
            label = prediction.label + "?" * prediction.unsure
            probability = f"{prediction.label_prob:.2f}"
        table = Table(box=None, pad_edge=False, show_header=i == 0)
        width = max(4, min(longest, console.width - 36))  # what the others leave
        table.add_column("file", overflow="fold", width=width)
        for column, width in (("verdict", 10), ("label", 8), ("probability", 11)):
            table.add_column(column, width=width)
        style = word_style(verdict.word)
        # Names and reasons may hold square brackets.
        row = (escape(path.name), f"[{style}]{verdict.word.value}[/]", label)
        table.add_row(*row, probability)
        console.print(table)
        opinion = _second_opinion(library, verdict) if library else ""
        reason = Padding(escape(verdict.reason + opinion), (0, 0, 0, 2))
        console.print(reason, highlight=False)
    if unsure:
        console.print(
            "? the classifier is unsure of this label: --json lists all that are not "
            "excluded (label_set)",
            style="dim",
            highlight=False,
        )

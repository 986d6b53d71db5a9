"""``ringwatch classify``: verdicts and labels of measured files."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import fabio
import typer
from rich.console import Console

from ringwatch.agent.agent import load_classifier
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cli.checks_table import print_checks
from ringwatch.agent.cli.classify_table import (
    as_nearest,
    note_assumed,
    note_unchecked,
    print_table,
    read_library,
)
from ringwatch.agent.cli.present import as_object
from ringwatch.agent.cli.sound_frames import JudgedFrame, check_frames, save_sound
from ringwatch.agent.cli.why import find_reasons
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import FrameReadError, RingwatchError
from ringwatch.agent.files.images import read_image
from ringwatch.agent.files.pattern_axes import Axis, Unit, check_wavelength
from ringwatch.agent.files.patterns import is_pattern_file, read_axis, read_pattern
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.geometry import load_geometry
from ringwatch.agent.nouns import (
    Flag,
    FrameRef,
    LostLocator,
    MemoryLocator,
    Quality,
    Verdict,
)
from ringwatch.agent.quality import FrameFacts
from ringwatch.agent.runs.run_analysis import RunAnalysis
from ringwatch.agent.runs.verdicts import unknown_verdict
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.timings import Stopwatch

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
    reference: Annotated[
        Path | None,
        typer.Option(help="Sound frames to compare with (see --save-reference)."),
    ] = None,
    save_as_reference: Annotated[
        Path | None,
        typer.Option(
            "--save-reference",
            help="Keep those of the frames whose verdict is good, 64 at most, as a "
            "reference for --reference (.npz).",
        ),
    ] = None,
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
    checks: Annotated[
        bool,
        typer.Option(
            "--checks", help="Also print all flags of each frame: state, value, why."
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
    of the files could be judged.

    For example: `ringwatch classify ceo2.cbf --poni ceo2.poni`, or
    `ringwatch classify quartz.xy --wavelength 1.5406 --why`.
    """
    check_wavelength(wavelength)
    settings = load_settings(
        config, poni=poni, mask=mask, dark=dark, reference=reference, weights=weights
    )
    if save_as_reference is not None:
        check_frames(files, settings.poni)
    known = read_library(library) if library else None
    classifier = load_classifier(settings)
    analysis = Analysis(settings, classifier)
    verdicts = []
    axes: dict[Path, Axis] = {}
    judged_files = 0
    judged: list[JudgedFrame] = []
    refused: list[RingwatchError] = []
    for path in files:
        arrived = time.monotonic()
        ref, watch = _ref(path), Stopwatch(arrived)
        try:
            if is_pattern_file(path):
                with watch("read_ms"):
                    axes[path] = read_axis(path, unit=unit, wavelength=wavelength)
                verdict = _judge_pattern(analysis, ref, axes[path], arrived, watch)
            else:
                verdict = _judge_frame(analysis, ref, arrived, watch, judged, refused)
            judged_files += Flag.PIPELINE not in verdict.quality.raised
        except RingwatchError as error:
            identity = analysis.analysis_id
            verdict = unknown_verdict(ref, str(error), identity, arrived, watch)
        verdicts.append((path, verdict))
    _check_refusal(settings.poni, [] if judged else refused)
    if save_as_reference is not None:
        save_sound(save_as_reference, analysis, judged)
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
                **as_nearest(known, v),
            }
            for path, v in verdicts
        ]
        if why:
            told = [each.to_object() for each in reasons]
            objects = [a | b for a, b in zip(objects, told, strict=True)]
        sys.stdout.write(json.dumps(objects, indent=2) + "\n")
    else:
        print_table(verdicts, known)
        note_assumed(axes)
        note_unchecked(settings.poni, len(verdicts) > len(axes))
        if checks:
            print_checks([v for v in verdicts if v[0] not in axes])
        for (path, verdict), found in zip(verdicts, reasons, strict=False):
            Console().print(found.show(path.name, verdict), highlight=False)
    if not judged_files:
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


def _judge_frame(
    analysis: Analysis,
    ref: FrameRef,
    arrived: float,
    watch: Stopwatch,
    judged: list[JudgedFrame],
    refused: list[RingwatchError],
) -> Verdict:
    path = Path(ref.run_uid)
    if path.is_dir():
        raise FrameReadError(f"{path} is a folder: name the files in it")
    if path.is_file() and not path.stat().st_size:
        raise FrameReadError(f"{path} is empty: write or copy it again")
    with watch("read_ms"):
        frame = read_image(path)
    _check_files(analysis, frame.shape, refused)
    ref = replace(ref, locator=MemoryLocator(frame=frame))

    def keep(facts: FrameFacts, quality: Quality) -> None:
        judged.append((path, facts, quality))

    run = RunAnalysis(analysis, {}, FrameReader(), DarkBook(), keep)
    verdict = run.judge(ref, arrived, watch=watch)
    frames = _frames_in(path)
    if frames == 1:
        return verdict
    return replace(verdict, reason=f"{verdict.reason} (first of {frames} frames)")


def _check_files(
    analysis: Analysis, shape: tuple[int, ...], refused: list[RingwatchError]
) -> None:
    """Try mask, dark and reference on frames of a shape; note what is refused."""
    rows, columns = shape[:2]
    try:
        analysis.reduction((rows, columns))
        analysis.dark_of_file((rows, columns))
        analysis.reference((rows, columns))
    except RingwatchError as error:
        refused.append(error)
        raise


def _check_refusal(poni: Path | None, refused: list[RingwatchError]) -> None:
    """Raise what was refused, as if the geometry had told the detector's shape ahead.

    Where it did, the files fit that shape, and it is the frames that do not.
    """
    told = poni is not None and load_geometry(poni).detector.shape is not None
    if refused and not told:
        raise refused[0]


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
    watch: Stopwatch,
) -> Verdict:
    path = Path(ref.run_uid)
    with watch("read_ms"):
        pattern = read_pattern(path, unit=axis.unit, wavelength=axis.wavelength)
    return analysis.judge_pattern(ref, pattern, arrived, watch)


def _wavelength(path: Path, poni: Path | None, axes: dict[Path, Axis]) -> float | None:
    """Angstrom: what is known of patterns, the geometry's for frames, if any."""
    if is_pattern_file(path):
        return axes[path].wavelength if path in axes else None
    return float(load_geometry(poni).wavelength) * 1e10 if poni else None

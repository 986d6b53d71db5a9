"""``ringwatch evaluate``: how good a classifier is, measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.progress import Progress

from ringwatch.agent.cli.evaluate_table import (
    part_heading,
    scores_table,
    skipped_lines,
    without_parts,
)
from ringwatch.agent.cli.out_folder import check_out
from ringwatch.agent.errors import SettingsError
from ringwatch.models.classifier import Classifier, Prior
from ringwatch.models.evaluation.datasets import (
    DatasetError,
    Part,
    Reasons,
    count_structures,
)
from ringwatch.models.evaluation.inputs import Tick
from ringwatch.models.evaluation.model_card import record_report
from ringwatch.models.evaluation.recalibration import recalibrate
from ringwatch.models.evaluation.report import (
    adaptation_scores,
    build_report,
    write_report,
)
from ringwatch.models.evaluation.scaling import LogError, read_log
from ringwatch.models.evaluation.scoring import (
    LabelledLogits,
    Scores,
    collect,
    evaluation_sets,
    score_all,
)
from ringwatch.models.evaluation.sweeps import n_steps, sweep_all
from ringwatch.models.weight_files import SHIPPED, WeightsError

__all__ = ["evaluate"]


@dataclass(frozen=True)
class _Data:
    """What is scored, and under which prior."""

    structures: Path | None
    patterns: Path | None
    part: Part
    limit: int
    prior: Prior


def evaluate(
    structures: Annotated[
        Path | None,
        typer.Option(
            help="Parquet of real structures: space_group, cell (a to gamma), "
            "site_element, site_frac, site_occ; structure_type, formula tell the part."
        ),
    ] = None,
    patterns: Annotated[
        Path | None,
        typer.Option(
            help="Parquet of measured patterns: x, x_unit, wavelength_A, intensity, "
            "space_group, usable_for_sg_scoring; group tells the part."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights (.safetensors) [default: those shipped]."),
    ] = None,
    prior: Annotated[
        str, typer.Option(help="natural, balanced or training.")
    ] = "natural",
    part: Annotated[
        str,
        typer.Option(
            help="Of files that tell structure types or groups: report (never used for "
            "a choice), all, train, choose, seen or test. Others are scored whole."
        ),
    ] = "report",
    limit: Annotated[
        int, typer.Option(min=0, help="A random choice of so many structures; 0: all.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and figures; takes a minute."),
    ] = None,
    sweeps: Annotated[
        int,
        typer.Option(
            min=0,
            help="Structures to disturb, one way at a time, for --out and --card.",
        ),
    ] = 400,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt",
            help="Score the measured patterns adapted to, too: an unlabelled beamtime.",
        ),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(help="log.jsonl of a training run: its scaling curve, to --out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    card: Annotated[
        bool,
        typer.Option(
            "--card",
            help="Write what is found to the model card beside --weights; of the "
            "shipped ones if none are named.",
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="First fit calibration, novelty and embedding on the part 'choose', "
            "and write them to --weights; to the shipped ones if none are named. "
            "Rows of no part are scored by a fit to the others.",
        ),
    ] = False,
    simulated: Annotated[
        int,
        typer.Option(min=256, help="Simulated patterns that --calibrate learns from."),
    ] = 12_288,
) -> None:
    """Score a classifier on real structures and on measured patterns.

    Structures are drawn clean (Cu K-alpha) and as a beamline sees them. Percent with
    95 % intervals, a bootstrap over structure types and groups of measurements.
    Calibration error "beyond chance" is what is left less what chance alone would show:
    a negative one is less than chance would show, nothing wrong is seen.

    Example:

      ringwatch evaluate --structures structures.parquet --patterns patterns.parquet
    """
    data = _Data(structures, patterns, part, limit, prior)  # type: ignore[arg-type]
    _check(data, log, out, card=card)
    path = weights or SHIPPED
    try:
        others = _recalibrated(path, data, simulated) if calibrate else {}
        classifier = Classifier.load(path, prior=data.prior)
        report: dict[str, Any] = {"tables": {}}
        scores: dict[str, Scores] = {}
        reasons: dict[str, Reasons] = {}
        heading = ""
        if structures or patterns:
            sets = _collected(classifier, data, reasons)
            heading = part_heading(sets, data.part)
            scores = score_all(classifier, sets)
            scores |= {n: s for n, s in others.items() if without_parts(sets[n])}
            report = build_report(classifier, sets, part=data.part, scores=scores)
        if structures and sweeps and (out or card):
            report["sweeps"] = _swept(classifier, data, sweeps)
        adapted = _adapted(classifier, data) if adapt else {}
        if adapted:
            report["adaptation"] = {name: s.to_dict() for name, s in adapted.items()}
        if log:
            report["training"] = read_log(log)
    except (DatasetError, WeightsError, LogError, ValueError) as error:
        raise SettingsError(str(error)) from error
    files = _written(report, out) if out else []
    if scores and (card or calibrate):
        record_report(path, report, out)
    if as_json:
        found = {name: s.to_dict() for name, s in scores.items()}
        extra = {"adaptation": report["adaptation"]} if adapted else {}
        typer.echo(json.dumps(found | extra, indent=1))
        return
    console = Console()
    if scores:
        console.print(scores_table(scores, f"{heading}, prior {prior}"))
    for line in skipped_lines(reasons):
        console.print(line, highlight=False, soft_wrap=True)
    if adapted:
        console.print(
            scores_table(adapted, "measured patterns, as an unlabelled beamtime")
        )
    for file in files:
        console.print(f"wrote {file}", highlight=False, soft_wrap=True)


def _check(data: _Data, log: Path | None, out: Path | None, *, card: bool) -> None:
    """Refuse what makes no sense, with the remedy."""
    prior, part = data.prior, data.part
    if prior not in get_args(Prior):
        raise SettingsError(f"prior {prior!r}: choose natural, balanced or training")
    if part not in get_args(Part):
        raise SettingsError(f"part {part!r}: choose one of {', '.join(get_args(Part))}")
    if data.structures is None and data.patterns is None and log is None:
        raise SettingsError("nothing to evaluate on: name --structures or --patterns")
    if log is not None and out is None:
        raise SettingsError("--log makes a figure: name the folder for it with --out")
    if card and data.structures is None and data.patterns is None:
        raise SettingsError("--card keeps scores: name --structures or --patterns")
    if out is not None:
        check_out(out)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Tick]:
    """Show a progress bar on a terminal's stderr; gives what moves it on."""
    shown = Console(stderr=True)
    with Progress(console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _recalibrated(path: Path, data: _Data, simulated: int) -> dict[str, Scores]:
    """Fit and keep a calibration; cross-fitted scores."""
    if data.prior != "natural":
        raise SettingsError("--calibrate is for the natural prior: leave out --prior")
    n_batches = -(-simulated // 256)
    with _progress("calibrating", n_batches) as tick:
        return recalibrate(
            path,
            structures=data.structures,
            patterns=data.patterns,
            limit=data.limit,
            count=256 * n_batches,
            tick=tick,
        )[1]


def _collected(
    classifier: Classifier, data: _Data, reasons: dict[str, Reasons]
) -> dict[str, LabelledLogits]:
    """Logits of all tables, and why rows were skipped."""
    n = 0
    if data.structures:
        n = count_structures(data.structures, part=data.part, limit=data.limit)
    with _progress("patterns", 3 * n) as tick:
        return collect(
            classifier,
            structures=data.structures,
            patterns=data.patterns,
            part=data.part,
            limit=data.limit,
            tick=tick,
            reasons=reasons,
        )


def _swept(classifier: Classifier, data: _Data, n: int) -> dict[str, Any]:
    """Scores under one disturbance at a time."""
    assert data.structures is not None
    limit = min(n, data.limit or n)
    with _progress("disturbances", n_steps()) as tick:
        return sweep_all(
            classifier, data.structures, part=data.part, limit=limit, tick=tick
        )


def _adapted(classifier: Classifier, data: _Data) -> dict[str, Scores]:
    """Scores of the measured patterns, adapted to them and not."""
    if data.patterns is None:
        raise SettingsError("--adapt needs a beamtime: name its --patterns")
    found = evaluation_sets(None, data.patterns, part=data.part, grid=classifier.grid)
    return adaptation_scores(classifier, found["measured"])


def _written(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Write report and figures."""
    from ringwatch.models.evaluation.figures import draw_figures  # noqa: PLC0415 - a second's load

    return [write_report(report, out), *draw_figures(report, out)]

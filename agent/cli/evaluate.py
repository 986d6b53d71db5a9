"""``ringwatch evaluate``: how good a classifier is, measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ringwatch.agent.errors import SettingsError
from ringwatch.models.classifier import Classifier
from ringwatch.models.datasets import DatasetError
from ringwatch.models.evaluation import Scores, collect, score_all
from ringwatch.models.model_card import record_calibration, record_scores
from ringwatch.models.recalibration import cross_fitted
from ringwatch.models.weight_files import SHIPPED, WeightsError

__all__ = ["evaluate"]


def evaluate(
    structures: Annotated[
        Path | None,
        typer.Option(help="Parquet of real structures: space_group, cell, site_*."),
    ] = None,
    patterns: Annotated[
        Path | None,
        typer.Option(help="Parquet of measured patterns: x, intensity, x_unit, ..."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights (.safetensors) [default: those shipped]."),
    ] = None,
    prior: Annotated[
        str, typer.Option(help="natural, balanced or training.")
    ] = "natural",
    limit: Annotated[
        int, typer.Option(min=0, help="A random choice of so many structures; 0: all.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Write the scores to the model card.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit temperature and label sets on these patterns and keep them; each "
            "pattern is scored with a fit to the other half.",
        ),
    ] = False,
) -> None:
    """Score a classifier on real structures and on measured patterns.

    Structures are drawn clean (Cu K-alpha) and as a beamline sees them. Percent with
    95 % Wilson intervals.

    Example:

      ringwatch evaluate --structures structures.parquet --patterns patterns.parquet
    """
    if prior not in ("natural", "balanced", "training"):
        raise SettingsError(f"prior {prior!r}: choose natural, balanced or training")
    if structures is None and patterns is None:
        raise SettingsError("nothing to evaluate on: name --structures or --patterns")
    try:
        classifier = Classifier.load(weights, prior=prior)  # type: ignore[arg-type]
        sets = collect(
            classifier, structures=structures, patterns=patterns, limit=limit
        )
        if calibrate:
            found, scores = cross_fitted(classifier, sets)
        else:
            scores = score_all(classifier, sets)
    except (DatasetError, WeightsError, ValueError) as error:
        raise SettingsError(str(error)) from error
    path = weights or SHIPPED
    if calibrate:
        source = (
            f"{', '.join(sets)} patterns; each is scored by a fit to the other half"
        )
        record_calibration(path, found, source)
    if card or calibrate:
        record_scores(path, scores, prior=prior)
    if as_json:
        typer.echo(
            json.dumps({name: s.to_dict() for name, s in scores.items()}, indent=1)
        )
    else:
        Console().print(_table(scores))


_RATES = {
    "class, top 1": "class_top1",
    "class, top 5": "class_top5",
    "crystal system": "system",
    "space group, top 1": "space_group",
    "space group, top 5": "space_group_top5",
    "label set holds it": "coverage",
}
_NUMBERS = {
    "classes in a label set": "mean_set_size",
    "calibration error": "ece",
    "surest half, top 1": "surest_half",
    "commonest class": "majority",
}


def _table(scores: dict[str, Scores]) -> Table:
    """One column per set of patterns, narrow enough for a terminal."""
    table = Table(title="percent, with 95 % intervals", box=SIMPLE)
    table.add_column("", no_wrap=True)
    for name in scores:
        table.add_column(name, justify="right")
    found = [s.to_dict() for s in scores.values()]
    for label, key in _RATES.items():
        table.add_row(
            label,
            *("{percent:.1f} ({low:.1f}-{high:.1f})".format(**s[key]) for s in found),
        )
    for label, key in _NUMBERS.items():
        table.add_row(label, *(f"{s[key]:.1f}" for s in found))
    table.add_row("patterns", *(str(s["class_top1"]["n"]) for s in found))
    table.add_row("rows skipped", *(str(s["skipped"]) for s in found))
    return table

"""``ringwatch evaluate``: how good a classifier is, measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ringwatch.agent.errors import SettingsError
from ringwatch.models.classifier import Classifier
from ringwatch.models.datasets import DatasetError
from ringwatch.models.evaluation import Rate, Scores
from ringwatch.models.evaluation import evaluate as run
from ringwatch.models.model_card import record_scores
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
        scores = run(classifier, structures=structures, patterns=patterns, limit=limit)
    except (DatasetError, WeightsError, ValueError) as error:
        raise SettingsError(str(error)) from error
    if card:
        record_scores(weights or SHIPPED, scores, prior=prior)
    if as_json:
        typer.echo(
            json.dumps({name: s.to_dict() for name, s in scores.items()}, indent=1)
        )
    else:
        Console().print(_table(scores))


def _table(scores: dict[str, Scores]) -> Table:
    """One row per set of patterns."""
    table = Table(title="percent, with 95 % intervals")
    for column in (
        "patterns",
        "n",
        "class",
        "class top 5",
        "system",
        "space group",
        "SG top 5",
        "90 % set holds it",
        "set size",
        "ECE",
        "majority",
        "skipped",
    ):
        table.add_column(column, justify="left" if column == "patterns" else "right")
    for name, s in scores.items():
        table.add_row(
            name,
            str(s.class_top1.n),
            *(
                _cell(rate)
                for rate in (
                    s.class_top1,
                    s.class_top5,
                    s.system,
                    s.space_group,
                    s.space_group_top5,
                    s.coverage,
                )
            ),
            f"{s.mean_set_size:.1f}",
            f"{s.ece:.1f}",
            f"{s.majority:.1f}",
            str(s.skipped),
        )
    return table


def _cell(rate: Rate) -> str:
    """Percent and interval."""
    return f"{rate.percent:.1f} ({rate.low:.1f}-{rate.high:.1f})"

"""The model card: calibration and scores beside the weights, for machines and people.

Every number on the card is written by code that measured it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ringwatch.models.evaluation.card_text import card_text
from ringwatch.models.weight_files import SHIPPED, read_weights, write_card

__all__ = [
    "card_text",
    "record_report",
]

_ON_CARD = (
    "systems",
    "parts",
    "volumes",
    "selectivity",
    "errors",
    "neighbours",
    "q_range",
)
"""What of a table's breakdown the card keeps; the rest fills pages."""


def record_report(
    weights: Path, report: Mapping[str, Any], figures: Path | None = None
) -> None:
    """Write what an evaluation found to the card and its Markdown form.

    Parameters
    ----------
    weights : Path
        The ``.safetensors`` file that was scored.
    report : mapping
        Of `ringwatch.models.evaluation.report`. It replaces an older report and the
        scores under its prior; scores under other priors stay.
    figures : Path, optional
        A folder that ``--out`` wrote figures to. Figures there, beside the weights and,
        of the weights that are shipped, in ``docs/images``, are linked if the
        ``evaluation.json`` beside them is of the same classifier.
    """
    card = read_weights(weights).card
    tables = report["tables"]
    found = {name: table["scores"] for name, table in tables.items()}
    card["scores"] = {**card.get("scores", {}), report["prior"]: found}
    card["evaluation"] = {
        "part": report["part"],
        "prior": report["prior"],
        "tables": {
            name: {key: table[key] for key in _ON_CARD}
            for name, table in tables.items()
        },
        **{key: report[key] for key in ("sweeps", "adaptation") if key in report},
    }
    write_card(weights, card)
    file = read_weights(weights)
    text = card_text(
        file,
        name=weights.stem,
        n_bytes=weights.stat().st_size,
        figures=_links(weights.parent, figures, report["identity"]),
    )
    (weights.parent / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def _links(beside: Path, figures: Path | None, identity: str) -> dict[str, str]:
    """Links to figures of a classifier, by name of the figure, seen from its card."""
    beside = beside.resolve()
    folders = [beside]
    if beside == SHIPPED.parent:
        folders.append((beside / "../../docs/images").resolve())
    if figures is not None and figures.resolve().is_relative_to(beside):
        folders.append(figures.resolve())
    for folder in folders:
        if _identity(folder / "evaluation.json") == identity:
            path = os.path.relpath(folder, beside)
            return {
                figure.name: quote(Path(path, figure.name).as_posix())
                for figure in sorted(folder.glob("*.png"))
            }
    return {}


def _identity(report: Path) -> str | None:
    """Which classifier the report beside figures is of; None if that is unknown."""
    try:
        found = json.loads(report.read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)

"""The model card: calibration and scores beside the weights, for machines and people.

Every number on the card is written by code that measured it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringwatch.models.evaluation.card_text import card_text
from ringwatch.models.weight_files import read_weights, write_card

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


def record_report(weights: Path, report: Mapping[str, Any]) -> None:
    """Write what an evaluation found to the card and its Markdown form.

    Parameters
    ----------
    weights : Path
        The ``.safetensors`` file that was scored.
    report : mapping
        Of `ringwatch.models.evaluation.report`. It replaces an older report and the
        scores under its prior; scores under other priors stay.
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
    _write_text(weights)


def _write_text(weights: Path) -> None:
    """Write ``MODEL_CARD.md`` beside the weights."""
    file = read_weights(weights)
    images = weights.parent / "../../docs/images"
    text = card_text(
        file,
        name=weights.stem,
        n_bytes=weights.stat().st_size,
        figures=[path.name for path in sorted(images.glob("*.png"))],
    )
    (weights.parent / "MODEL_CARD.md").write_text(text, encoding="utf-8")

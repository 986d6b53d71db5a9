"""The model card in Markdown, made from the machine-readable one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ringwatch.models.ambiguity import neighbours
from ringwatch.models.crystals.prototype_sources import AFLOW
from ringwatch.models.evaluation.card_tables import (
    TABLES,
    details,
    markdown_table,
    scores_table,
)
from ringwatch.models.evaluation.views import BEAMLINE, CLEAN
from ringwatch.models.symmetry import POWDER_CLASSES
from ringwatch.models.weight_files import WeightsFile

__all__ = ["card_text"]

Card = Mapping[str, Any]

_TEMPLATE = Path(__file__).resolve().parents[1] / "weights" / "MODEL_CARD.template.md"
_NOT_LAYERS = ("prior.", "embedding.", "novelty.", "calibration.")
_FEW = 3
"""Deciding lines that are called few."""
_FIGURES = {
    "accuracy.png": "accuracy of three tables, with intervals",
    "selectivity.png": "accuracy of the surest answers",
    "reliability.png": "stated probability against accuracy",
    "sweeps.png": "accuracy under one disturbance at a time",
    "scaling.png": "accuracy over training samples",
}


def card_text(
    file: WeightsFile,
    *,
    name: str,
    n_bytes: int,
    figures: Mapping[str, str] | None = None,
) -> str:
    """Markdown form of a card.

    Parameters
    ----------
    file : WeightsFile
        Weights and card.
    name : str
        Of the weights.
    n_bytes : int
        Size of the weights file.
    figures : mapping of str to str, optional
        Figures of this network, from the card's folder, by name.
    """
    card, figures = file.card, figures or {}
    training, report = card["training"], card.get("evaluation", {})
    network = file.network
    scores = "\n".join(
        scores_table(found, prior, report) for prior, found in card["scores"].items()
    )
    weaknesses = _weaknesses(card["scores"], report)
    return _TEMPLATE.read_text(encoding="utf-8").format(
        name=name,
        n_bins=network.n_bins,
        n_networks=len(file.networks),
        n_weights=sum(
            value.size
            for key, value in file.tensors.items()
            if not key.startswith(_NOT_LAYERS)
        ),
        mib=n_bytes / 2**20,
        digest=file.digest,
        crystals=_crystals(training),
        seed=training.get("recipe", {}).get("crystals", {}).get("seed", "?"),
        recipe=training.get("identity", "?"),
        minutes=training["seconds"] / 60,
        q_min=network.q_min,
        q_max=network.q_max,
        temperature=card["temperature"],
        doubt=card.get("doubt", 0.0),
        threshold=card["coverage"]["threshold"],
        stated=card["coverage"]["stated"],
        unsure=card["unsure_below"],
        calibration=card.get("calibration", "nothing yet"),
        scores=scores or "None recorded yet.\n",
        details="\n".join(details(report)),
        novelty=_novelty(card),
        figures="\n".join(
            f"![{what}]({figures[figure]})\n"
            for figure, what in _FIGURES.items()
            if figure in figures
        ),
        templates=_templates(training),
        clean=CLEAN,
        beamline=BEAMLINE,
        weaknesses="\n".join(f"- {line}" for line in weaknesses),
    )


def _crystals(training: Card) -> str:
    """What the network was trained on."""
    share = _prototype_share(training)
    samples = f"{training['samples']:,} simulated crystals, none twice"
    if not share:
        return f"{samples}; no real structure, no measured pattern"
    return (
        f"{samples}; {share:.0%} of them known structure types with other elements, "
        f"cells and coordinates{_sources(training.get('prototypes'))}; no measured "
        "pattern"
    )


def _prototype_share(training: Card) -> float:
    """Share of the crystals that were decorated structure types."""
    crystals = training.get("recipe", {}).get("crystals", {})
    return float(crystals.get("prototype_share", 0.0))


def _templates(training: Card) -> str:
    """What a measured pattern may have in common with training."""
    if not _prototype_share(training):
        return ""
    return "; the structure type of a common mineral may be among the templates"


def _sources(prototypes: object) -> str:
    """Where prototypes come from; older cards hold a digest alone."""
    sources = prototypes.get("sources") if isinstance(prototypes, Mapping) else None
    if not sources:
        return ""
    most_first = sorted(sources.items(), key=lambda item: -item[1])
    told = ", ".join(f"{n:,} of {source}" for source, n in most_first)
    if set(sources) == {AFLOW}:
        told += ", none left out for the reports"
    return f" (templates: {told})"


def _weaknesses(scores: Card, report: Card) -> Iterable[str]:
    """What is hard, where it was measured."""
    tables = report.get("tables", {})
    measured = scores.get(report.get("prior", ""), {}).get("measured")
    if measured and isinstance(measured.get("coverage"), Mapping):
        yield (
            f"Of measured patterns the first class is right in "
            f"{measured['class_top1']['percent']:.0f} %, the label set in "
            f"{measured['coverage']['percent']:.0f} %: look at the set, not only at "
            "the first label."
        )
    for name, table in tables.items():
        systems = sorted(table["systems"], key=lambda s: s["class_top1"]["percent"])
        if len(systems) > 2:
            hardest = " and ".join(
                f"{entry['name']} ({entry['class_top1']['percent']:.0f} %)"
                for entry in systems[:2]
            )
            yield f"Hardest crystal systems, {TABLES.get(name, name)}: {hardest}."
        if len(table["volumes"]) > 1:
            first, last = (table["volumes"][k]["class_top1"] for k in (0, -1))
            yield (
                f"From the smallest fifth of the cells to the largest, "
                f"{TABLES.get(name, name)}, the first class is right in "
                f"{first['percent']:.0f} and {last['percent']:.0f} %."
            )
    near = {k for pair in neighbours() if pair.count <= _FEW for k in pair.classes}
    yield (
        f"{len(near)} of the {len(POWDER_CLASSES)} classes differ from a neighbour in "
        f"{_FEW} lines or fewer: a range that misses those lines cannot decide."
    )


def _novelty(card: Card) -> str:
    """How well what is no single crystalline phase is told from what is one."""
    found = card.get("novelty", {})
    rows = [
        [
            name,
            "{value:.3f} ({low:.3f}-{high:.3f})".format(**area),
            "{novel} and {known}".format(**area),
        ]
        for name, area in found.items()
        if isinstance(area, Mapping)  # older cards have the bare number
    ]
    if not rows:
        return "Not measured yet.\n"
    return markdown_table(["novel", "AUROC", "patterns"], rows)

"""The model card: calibration and scores beside the weights, for machines and people.

Every number on the card is written by code that measured it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ringwatch.models.calibration import Calibration
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.evaluation import LabelledLogits, Scores
from ringwatch.models.recalibration import fit
from ringwatch.models.recipe import parse_recipe
from ringwatch.models.weight_files import WeightsFile, read_weights, write_card

__all__ = ["calibrate", "card_text", "record_calibration", "record_scores"]

_SEED = 55_555
"""Crystals of this seed are never trained on."""
_TEMPLATE = Path(__file__).resolve().parent / "weights" / "MODEL_CARD.template.md"


def calibrate(weights: Path, *, count: int = 4096) -> Calibration:
    """Fit temperature and label-set threshold on new random crystals; keep them.

    Drawn with the frequencies of nature, the default prior; half of the patterns are
    clean, half disturbed.

    Parameters
    ----------
    weights : Path
        The ``.safetensors`` file; the card beside it is rewritten.
    count : int
        Random crystals.
    """
    classifier = Classifier.load(weights, backend="onnx")
    recipe = parse_recipe(classifier.card["training"]["recipe"])
    source = Disturbances(recipe.disturbances, seed=_SEED, grid=classifier.grid)
    crystals = CrystalGenerator(
        seed=_SEED, class_balance=0.0, joint=recipe.crystals.joint
    )
    logits, groups = [], []
    for start in range(0, count, 256):
        peaks = crystals.peaks(start, min(256, count - start))
        logits.append(classifier.logits(source.patterns(peaks, start, 0.5)))
        groups.append(peaks.space_group)
    drawn = LabelledLogits(np.concatenate(logits), np.concatenate(groups), 0)
    found = fit(classifier, {"random crystals": drawn})
    record_calibration(weights, found, f"{count} random crystals never trained on")
    return found


def record_calibration(weights: Path, found: Calibration, source: str) -> None:
    """Write a calibration to the card; ``source`` says what it was fitted on."""
    card = read_weights(weights).card
    card["temperature"] = found.temperature
    card["coverage"] = {"stated": found.coverage, "threshold": found.threshold}
    card["calibration"] = source
    card["scores"] = {}  # those of another calibration
    write_card(weights, card)


def record_scores(weights: Path, scores: Mapping[str, Scores], *, prior: str) -> None:
    """Write scores to the card and its Markdown form beside the weights.

    Parameters
    ----------
    weights : Path
        The ``.safetensors`` file that was scored.
    scores : mapping of str to Scores
        By set of patterns.
    prior : str
        Name of the prior they were measured with.
    """
    card = read_weights(weights).card
    recorded = card.setdefault("scores", {}).setdefault(prior, {})
    recorded.update({name: value.to_dict() for name, value in scores.items()})
    write_card(weights, card)
    file = read_weights(weights)
    text = card_text(file, name=weights.stem, n_bytes=weights.stat().st_size)
    (weights.parent / "MODEL_CARD.md").write_text(text, encoding="utf-8")


_HEADER = (
    "| patterns | n | class | top-5 | system | space group | top-5 | set holds it "
    "| set size | ECE | majority |"
)
_SETS = {
    "clean": "real structures, drawn clean (Cu K-alpha, 5-90 degrees, FWHM 0.008 1/A)",
    "beamline": "the same, as a beamline sees them (0.8-5.5 1/A, FWHM 0.02, noise)",
    "measured": "measured patterns, mostly RRUFF minerals in the laboratory",
}


def card_text(file: WeightsFile, *, name: str, n_bytes: int) -> str:
    """Markdown form of a card."""
    card, training = file.card, file.card["training"]
    parts = []
    for prior, scores in sorted(card["scores"].items()):
        parts.append(_score_table(scores, prior))
    return _TEMPLATE.read_text(encoding="utf-8").format(
        name=name,
        n_bins=file.network.n_bins,
        n_weights=sum(
            v.size for k, v in file.tensors.items() if not k.startswith("prior.")
        ),
        mib=n_bytes / 2**20,
        digest=file.digest,
        samples=training["samples"],
        minutes=training["seconds"] / 60,
        q_min=file.network.q_min,
        q_max=file.network.q_max,
        temperature=card["temperature"],
        threshold=card["coverage"]["threshold"],
        stated=card["coverage"]["stated"],
        unsure=card["unsure_below"],
        calibration=card.get("calibration", "nothing yet"),
        scores="\n".join(parts),
    )


def _score_table(scores: Mapping[str, Any], prior: str) -> str:
    """Scores under one prior, as a Markdown table."""
    rows = [
        f"Prior `{prior}`:\n",
        _HEADER,
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, value in scores.items():
        cells = [
            "{percent:.1f} ({low:.1f}-{high:.1f})".format(**value[key])
            for key in (
                "class_top1",
                "class_top5",
                "system",
                "space_group",
                "space_group_top5",
                "coverage",
            )
        ]
        numbers = [f"{value[k]:.1f}" for k in ("mean_set_size", "ece", "majority")]
        what = _SETS.get(name, name)
        cells = [what, str(value["class_top1"]["n"]), *cells, *numbers]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"

"""One disturbance at a time: where the points are lost.

Real structures are drawn clean but for one thing, which is made worse step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ringwatch.models.classifier import Classifier
from ringwatch.models.evaluation.datasets import Part, read_structures
from ringwatch.models.evaluation.inputs import Tick, drawn, no_tick
from ringwatch.models.evaluation.scores import Answers, Rate, Resampling
from ringwatch.models.evaluation.scoring import logits_of
from ringwatch.models.evaluation.views import BEAMLINE, CLEAN, View
from ringwatch.models.symmetry import SYSTEM_INDEX

__all__ = ["SWEEPS", "Sweep", "n_steps", "sweep_all"]

_PEDESTAL = 0.02
"""Counting noise stands on a constant of this height, as it does at an instrument."""

_HIGH_ENERGY = replace(
    CLEAN, wavelength=BEAMLINE.wavelength, polarization=BEAMLINE.polarization
)
"""What a flat detector sees: small angles alone."""


@dataclass(frozen=True)
class Sweep:
    """One disturbance, made worse step by step.

    Attributes
    ----------
    label : str
        What and in what unit.
    views : dict of float to View
        By the value of what is varied.
    """

    label: str
    views: Mapping[float, View]


SWEEPS: Mapping[str, Sweep] = {
    "width": Sweep(
        "FWHM of the lines (1/Angstrom)",
        {
            w: replace(CLEAN, fwhm=(w, w))
            for w in (0.004, 0.008, 0.012, 0.02, 0.03, 0.05)
        },
    ),
    "counts": Sweep(
        "counts at the top of the strongest line",
        {
            n: replace(CLEAN, counts=(n, n), pedestal=_PEDESTAL)
            for n in (1e5, 3e4, 1e4, 3e3, 1e3, 300.0)
        },
    ),
    "range": Sweep(
        "highest q that was measured (1/Angstrom)",
        {q: replace(CLEAN, q_max=q) for q in (5.76, 5.0, 4.5, 4.0, 3.5, 3.0)},
    ),
    "low range": Sweep(
        "lowest q that was measured (1/Angstrom)",
        {q: replace(CLEAN, q_min=q) for q in (0.356, 0.7, 1.0, 1.3, 1.6)},
    ),
    "impurity": Sweep(
        "height of three foreign lines (share of strongest)",
        {
            h: replace(CLEAN, impurities=3, impurity_height=h)
            for h in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
        },
    ),
    "texture": Sweep(
        "texture: sigma of the log of a factor per line",
        {s: replace(CLEAN, texture=s) for s in (0.0, 0.2, 0.4, 0.8, 1.2)},
    ),
    "preferred orientation": Sweep(
        "March-Dollase r of plates (< 1) or needles (> 1)",
        {r: replace(CLEAN, march_dollase=r) for r in (0.3, 0.5, 0.7, 1.0, 1.4, 2.0)},
    ),
    "distance": Sweep(
        f"distance of an area detector at {_HIGH_ENERGY.wavelength:g} A (m)",
        {d: replace(_HIGH_ENERGY, distance=d) for d in (2.0, 1.0, 0.5, 0.3, 0.2, 0.1)},
    ),
    "background": Sweep(
        "height of a smooth background (share of strongest)",
        {h: replace(CLEAN, background=(h, h)) for h in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)},
    ),
    "zero shift": Sweep(
        "sigma of an offset of q (1/Angstrom)",
        {s: replace(CLEAN, zero_shift=s) for s in (0.0, 0.0025, 0.005, 0.01)},
    ),
    "doublet": Sweep(
        "K-alpha doublet: 0 off, 1 on",
        {x: replace(CLEAN, doublet=bool(x)) for x in (0.0, 1.0)},
    ),
}
"""By name. Each starts from the clean view, which one of its values is; that over the
distance from the clean view at high energy, whose lines a far detector resolves."""


def n_steps() -> int:
    """How many views all sweeps have."""
    return sum(len(sweep.views) for sweep in SWEEPS.values())


def sweep_all(
    classifier: Classifier,
    structures: Path,
    *,
    part: Part,
    limit: int = 500,
    tick: Tick = no_tick,
) -> dict[str, Any]:
    """Score a random choice of real structures under every disturbance.

    Parameters
    ----------
    classifier : Classifier
        With its prior and calibration.
    structures : Path
        Parquet file.
    part : str
        See `ringwatch.models.evaluation.datasets.Part`.
    limit : int
        How many structures; 0: all.
    tick : callable
        Called once per view.

    Returns
    -------
    dict
        By name: ``label`` and ``points``, each with ``value`` and the
        rates ``class_top1``, ``class_top5`` and ``system``.

    Raises
    ------
    DatasetError
        If the file or a column is missing, or the part is empty.
    """
    found = list(read_structures(structures, part=part, limit=limit))
    report = {}
    for name, sweep in SWEEPS.items():
        points = []
        for value, view in sweep.views.items():
            logits = logits_of(classifier, drawn(found, view))
            groups = logits.space_group
            p = classifier.probabilities(logits.logits)
            answers = Answers.of(p, groups)
            resampling = Resampling(logits.cluster, len(groups))
            hits = {
                "class_top1": answers.place == 0,
                "class_top5": answers.place < 5,
                "system": answers.system == SYSTEM_INDEX[groups],
            }
            rates = {
                key: Rate.of(hit, resampling).to_dict() for key, hit in hits.items()
            }
            points.append({"value": value} | rates)
            tick()
        report[name] = {"label": sweep.label, "points": points}
    return report

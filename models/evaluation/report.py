"""Everything an evaluation found, as plain numbers: for figures, the card and machines.

A report is a dict that JSON holds as it is:

- ``part``, ``prior``, ``identity`` of the classifier, ``samples`` it was trained on;
- ``tables``: by name of the table, ``scores`` and what `breakdown` gives;
- ``sweeps``, ``adaptation``, ``training``: as the functions named so give them; absent
  where they were not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringwatch.models.classifier import Classifier
from ringwatch.models.evaluation.adaptation import adapt_prior, share_between_alike
from ringwatch.models.evaluation.breakdown import breakdown
from ringwatch.models.evaluation.datasets import Part
from ringwatch.models.evaluation.scores import Answers
from ringwatch.models.evaluation.scoring import (
    InputSet,
    LabelledLogits,
    Scores,
    logits_of_inputs,
    score,
    score_all,
)

__all__ = ["adaptation_scores", "build_report", "write_report"]


def build_report(
    classifier: Classifier,
    sets: Mapping[str, LabelledLogits],
    *,
    part: Part,
    scores: Mapping[str, Scores] | None = None,
) -> dict[str, Any]:
    """Score sets, and take the scores apart.

    Parameters
    ----------
    classifier : Classifier
        With its prior and calibration.
    sets : mapping of str to LabelledLogits
        Of `ringwatch.models.evaluation.scoring.collect`.
    part : str
        Which part of the data they are.
    scores : mapping of str to Scores, optional
        Where they are known already.

    Raises
    ------
    ValueError
        If none of a set's rows could be used.
    """
    scores = scores or score_all(classifier, sets)
    tables = {}
    for name, found in sets.items():
        p = classifier.probabilities(found.logits)
        answers = Answers.of(p, found.space_group)
        tables[name] = {"scores": scores[name].to_dict()} | breakdown(
            answers, found.space_group, found.facts
        )
    return {
        "part": part,
        "prior": classifier.prior,
        "identity": classifier.identity,
        "samples": classifier.card["training"].get("samples", 0),
        "tables": tables,
    }


def adaptation_scores(classifier: Classifier, found: InputSet) -> dict[str, Scores]:
    """Scores with and without adaptation to these patterns, which it sees unlabelled.

    Parameters
    ----------
    classifier : Classifier
        With its prior and calibration.
    found : InputSet
        A beamtime; its labels serve to score alone.

    Returns
    -------
    dict of str to Scores
        ``as shipped``; ``alike shared``: with answers shared between patterns that
        look alike; ``frequencies``: with class frequencies adapted; ``both``.

    Raises
    ------
    ValueError
        If there is no pattern.
    """
    threshold = float(classifier.card["coverage"]["threshold"])
    plain = logits_of_inputs(classifier, [found])
    alike = share_between_alike(plain.logits, found.x)
    p = classifier.probabilities(plain.logits)
    p_alike = classifier.probabilities(alike)
    prior, doubt = classifier.space_group_prior, classifier.calibration.doubt
    forms = {
        "as shipped": p,
        "alike shared": p_alike,
        "frequencies": adapt_prior(p, prior, doubt=doubt).probabilities,
        "both": adapt_prior(p_alike, prior, doubt=doubt).probabilities,
    }
    return {
        name: score(
            probabilities,
            found.space_group,
            threshold=threshold,
            cluster=found.cluster,
            skipped=found.skipped,
        )
        for name, probabilities in forms.items()
    }


def write_report(report: Mapping[str, Any], out: Path) -> Path:
    """Write ``evaluation.json`` to the folder ``out``, which is made if absent."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "evaluation.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path

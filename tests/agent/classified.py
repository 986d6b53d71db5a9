"""What ``ringwatch classify`` says of files, as objects."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.timings import TIMINGS
from ringwatch.models.diffraction import lorentz_polarization

KEYS = {
    "file",
    "unit",
    "verdict",
    "reason",
    "flags",
    "not_evaluated",
    "values",
    "label",
    "label_prob",
    "label_set",
    "classes",
    "space_groups",
    "crystal_systems",
    "unsure",
    "novelty",
    *TIMINGS,
    "analysis_id",
}


def classify(
    *arguments: object, readable: bool = True, more: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["classify", *map(str, arguments), "--json"])
    assert result.exit_code == (0 if readable else 1), result.output
    objects: list[dict[str, Any]] = json.loads(result.stdout)
    for each in objects:
        assert set(each) == KEYS | more
    return objects


def ceria_pattern() -> tuple[np.ndarray, np.ndarray]:
    """q and intensity of CeO2-like rings, Cu K-alpha range."""
    q = np.linspace(0.5, 5.5, 4000)
    y = np.zeros_like(q)
    for n, f in (
        (3, 1),
        (4, 0.45),
        (8, 0.7),
        (11, 0.6),
        (12, 0.12),
        (16, 0.1),
        (19, 0.25),
    ):
        centre = 2 * np.pi * np.sqrt(n) / 5.4115
        strength = f * lorentz_polarization(np.array([centre]), 1.5406, 1.0)[0]
        y += strength * np.exp(-0.5 * ((q - centre) / 0.006) ** 2)
    return q, 1000 * y + 2

"""How accuracy grows with the number of training samples, beside what others published.

Published (Baggett, Friedman, Ratcliff, arXiv:2604.23811): a transformer of 2.7 M
parameters over 99 classes, trained and scored on reflections alone - exact positions
and intensities, no profile, no noise - and a ResNet-18 that stopped near 80 %. Ours are
scored on drawn profiles over 97 classes, evenly frequent. The curves show how each
grows; their heights do not compare.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["PUBLISHED", "PUBLISHED_CEILING", "LogError", "read_log"]

PUBLISHED = (
    (0.1e6, 57.5),
    (0.4e6, 80.4),
    (1.0e6, 89.8),
    (2.2e6, 93.7),
    (5.1e6, 94.4),
)
"""Samples and top-1 in percent of the transformer."""
PUBLISHED_CEILING = 80.0
"""Where the ResNet-18 stopped, percent."""

_SCORES = ("_top1", "_top5", "_system")
"""How the names of scores end."""
_MAX_BYTES = 64 * 2**20


class LogError(ValueError):
    """A training log is missing or holds no scores."""


def read_log(path: Path) -> list[dict[str, Any]]:
    """Scores of a training run at its checkpoints.

    Parameters
    ----------
    path : Path
        ``log.jsonl`` of ``ringwatch train``.

    Returns
    -------
    list of dict
        ``samples`` and the scores in percent by name, such as ``clean_top1``; by
        rising samples.

    Raises
    ------
    LogError
        If the file is missing, is no such log, or has no scores yet.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LogError(f"{path} is larger than {_MAX_BYTES} bytes: no training log")
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        found = [
            {
                key: float(value)
                for key, value in row.items()
                if key == "samples" or key.endswith(_SCORES)
            }
            for row in rows
            if any(key.endswith(_SCORES) for key in row)
        ]
    except (
        OSError,
        UnicodeDecodeError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise LogError(f"{path}: no readable training log ({error})") from error
    if not found or any("samples" not in row for row in found):
        raise LogError(f"{path} holds no scores: wait for the first checkpoint")
    return sorted(found, key=lambda row: row["samples"])

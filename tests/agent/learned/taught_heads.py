"""Heads for tests, taught from drawn patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ringwatch.models.heads import FlagHead
from ringwatch.models.teaching import teach_flag

Q = np.linspace(0.6, 7.0, 500)
CEO2 = 2.0 * np.pi / 5.4115 * np.sqrt([3, 4, 8, 11, 12, 16, 19, 20, 24])


def rings(places: Any, width: float = 0.05) -> Any:
    return np.exp(-0.5 * ((Q[:, None] - np.asarray(places)) / width) ** 2).sum(axis=1)


@lru_cache(maxsize=1)
def ceo2_flag() -> tuple[FlagHead, dict[str, Any]]:
    """A flag that is raised where the rings of CeO2 are seen."""
    rng = np.random.default_rng(4)
    haze = 20.0 * np.ones_like(Q)
    stored = [
        rng.poisson(haze + 300 * rings(rng.uniform(1.0, 6.0, 7)), (6, Q.size)) * 1.0
        for _ in range(8)
    ]
    before = rng.poisson(haze + 300 * rings([1.5, 2.9, 4.8]), (10, Q.size)) * 1.0
    taught = rng.poisson(haze + 300 * rings([1.5, 2.9, 4.8, *CEO2]), (10, Q.size)) * 1.0
    flag = teach_flag(Q, taught, before, stored)
    return flag.head, flag.card() | {"by": "ada", "accepted_per_hour": 1.0}

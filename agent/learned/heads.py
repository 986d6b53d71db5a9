"""The heads of one run at work: what they say of a frame, as published fields.

Those in force give ``taught`` (names of raised flags), ``taught_class`` and
``taught_class_distance``, and a ``taught_score_<name>`` each, raised from 0 on; those
in shadow the same under ``taught_shadow``, for nobody to act on. All of it is
information: no verdict is worse for it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.learned.head_file import Head
from ringwatch.agent.nouns import Pattern
from ringwatch.models.class_heads import UNNAMED, ClassHead
from ringwatch.models.heads import FlagHead

__all__ = ["Heads"]

Said = dict[str, float | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Heads in force and in shadow, each by name.

    Attributes
    ----------
    force, shadow : tuple of Head
    """

    force: tuple[Head, ...] = ()
    shadow: tuple[Head, ...] = ()

    @property
    def identity(self) -> str:
        """Hash over all of them, for the analysis id; '' without any."""
        if not self.force and not self.shadow:
            return ""
        told = [[each.digest for each in heads] for heads in (self.force, self.shadow)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def fields(self) -> dict[str, type]:
        """Published fields and their types, str or float; none without a head."""
        kinds: dict[str, type] = {}
        for prefix, heads in (("taught", self.force), ("taught_shadow", self.shadow)):
            if heads:
                kinds |= {prefix: str, f"{prefix}_class": str}
                kinds[f"{prefix}_class_distance"] = float
            for each in heads:
                if each.is_flag:
                    kinds[f"{prefix}_score_{each.name}"] = float
        return kinds

    def judge(
        self,
        pattern: Pattern | None,
        embedding: NDArray[np.floating] | None,
        model_hash: str,
    ) -> Said:
        """What the heads say of a frame, by published field.

        Parameters
        ----------
        pattern : Pattern or None
            None, or one without light: no flag is evaluated.
        embedding : (64,) array or None
        model_hash : str
            Of the network that the embedding is of; classes of another are not
            evaluated.
        """
        said: Said = {}
        for prefix, heads in (("taught", self.force), ("taught_shadow", self.shadow)):
            if heads:
                said |= _flags(prefix, heads, pattern)
                said |= _classes(prefix, heads, embedding, model_hash)
        return said


def _flags(prefix: str, heads: tuple[Head, ...], pattern: Pattern | None) -> Said:
    said: Said = {}
    raised = []
    for each in heads:
        if not isinstance(each.model, FlagHead):
            continue
        score = math.nan
        if pattern is not None:
            q, intensity, _ = pattern.measured()
            score = float(each.model.score(q, intensity[None])[0])
        said[f"{prefix}_score_{each.name}"] = score
        if score >= 0.0:
            raised.append(each.name)
    return said | {prefix: ",".join(raised)}


def _classes(
    prefix: str,
    heads: tuple[Head, ...],
    embedding: NDArray[np.floating] | None,
    model_hash: str,
) -> Said:
    """The nearest class of all heads, in each one's own scatters; '' for none."""
    name, nearest = "", math.nan
    for each in heads:
        model = each.model
        fits = (
            isinstance(model, ClassHead) and each.card.get("model_hash") == model_hash
        )
        if not fits or embedding is None or not np.isfinite(embedding).all():
            continue
        assert isinstance(model, ClassHead)
        row = np.asarray(embedding, np.float64)[None]
        away = float(model.novelty(row)[0])
        if not away >= nearest:  # also where there is none yet
            name, nearest = model.classify(row)[0], away
    if name.startswith(UNNAMED):
        name = ""
    return {f"{prefix}_class": name, f"{prefix}_class_distance": nearest}

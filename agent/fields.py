"""The published fields: what an event of a derived run holds, and how it is described.

Fields have fixed names, types and shapes, so that every consumer - a table, a zarr
array, a callback - knows what to expect. What is absent is said in band: ``''`` for
text, NaN for numbers, -1 for class and group numbers, True for ``unsure``. NaN is an
ordinary IEEE number in msgpack, in SQL tables and in zarr; only JSON has no word for
it, and no sink here speaks JSON.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import DocumentError
from ringwatch.agent.nouns import Flag, Pattern, Verdict
from ringwatch.agent.timings import TIMINGS
from ringwatch.models.embedding import SIZE
from ringwatch.models.prediction import Prediction
from ringwatch.models.symmetry import CRYSTAL_SYSTEMS

__all__ = ["CRYSTAL_SYSTEMS", "OBJECT", "TOP", "Fields"]

TOP = 5
"""Classes and space groups published per frame."""

OBJECT = "ringwatch"
"""Name of the object that the fields belong to."""

SCALARS: dict[str, tuple[type, str | None]] = {
    "raw_data_key": (str, None),
    "raw_seq_num": (int, None),
    "raw_index": (int, None),
    "raw_time": (float, "s"),
    "revision": (int, None),
    "final": (bool, None),
    "verdict": (str, None),
    "reason": (str, None),
    "primary_flag": (str, None),
    "also": (str, None),
    "alarm": (str, None),
    "alarm_since": (int, None),
    "alarm_episode": (int, None),
    "alarm_new": (bool, None),
    "dq": (int, None),
    "dq_evaluated": (int, None),
    "not_evaluated": (str, None),
    **dict.fromkeys(TIMINGS, (float, "ms")),
    "label": (str, None),
    "label_prob": (float, None),
    "label_set": (str, None),
    "unsure": (bool, None),
    "novelty": (float, None),
}
# Half the width for the one array that is no measurement but a place on a map.
ARRAYS: dict[str, tuple[type, int]] = {
    "class_numbers": (int, TOP),
    "class_probs": (float, TOP),
    "space_group_numbers": (int, TOP),
    "space_group_probs": (float, TOP),
    "crystal_system_probs": (float, len(CRYSTAL_SYSTEMS)),
    "embedding": (np.float32, SIZE),
}
PATTERNS = (
    *("intensity", "sigma"),
    *("intensity_corrected", "sigma_corrected"),
    *("intensity_robust", "sigma_robust"),
)
# event-model's word and numpy's; |O is how numpy holds text of any length.
DTYPES = {
    str: ("string", "|O8"),
    int: ("integer", "<i8"),
    float: ("number", "<f8"),
    bool: ("boolean", "|b1"),
    np.float32: ("number", "<f4"),
}

_OWN_FIELDS = frozenset({"latency_ms", "novelty", "label_prob"})

logger = logging.getLogger(__name__)


class Fields:
    """The fields of one derived run.

    Parameters
    ----------
    q : (n,) float64 or None
        Bin centres of every pattern, 1/Angstrom; without it ``intensity`` and ``sigma``
        are absent.
    values : mapping of str to str
        Physical values beside those that the flags name: key to unit.
    learned : mapping of str to type
        Fields of taught heads, str or float; see ``ringwatch.agent.learned.heads``.
    """

    def __init__(
        self,
        q: NDArray[np.float64] | None,
        values: Mapping[str, str],
        learned: Mapping[str, type] | None = None,
    ) -> None:
        self._learned = dict(learned or {})
        self.q = None if q is None else np.array(q, dtype=np.float64)
        self._nothing = np.full(0 if self.q is None else self.q.shape, np.nan)
        self._nothing.setflags(write=False)  # one for all patterns that are not there
        # The values of `pipeline`, `novel` and `unsure` are fields of their own.
        self.units = {f.value_key: f.unit for f in Flag} | dict(values)
        for name in _OWN_FIELDS:
            self.units.pop(name, None)
        self._reported: set[str] = set()

    def data_keys(self) -> dict[str, dict[str, Any]]:
        """The ``data_keys`` of a descriptor, each with its ``dtype_numpy``."""
        keys = {name: _key(kind, (), unit) for name, (kind, unit) in SCALARS.items()}
        keys |= {f"z_{flag.label}": _key(float, (), "1") for flag in Flag}
        keys |= {name: _key(float, (), unit) for name, unit in self.units.items()}
        keys |= {name: _key(kind, (), None) for name, kind in self._learned.items()}
        keys |= {name: _key(kind, (n,), None) for name, (kind, n) in ARRAYS.items()}
        if self.q is not None:
            for name in PATTERNS:
                keys[name] = _key(float, self.q.shape, "counts per pixel")
                keys[name]["dims"] = ["q"]
        return keys

    def configuration(self) -> dict[str, Any]:
        """The ``configuration`` of a descriptor: ``q``, once."""
        if self.q is None:
            return {}
        return {
            OBJECT: {
                "data": {"q": self.q},
                "timestamps": {"q": time.time()},
                "data_keys": {"q": _key(float, self.q.shape, "1/Angstrom")},
            }
        }

    def data(self, verdict: Verdict) -> dict[str, Any]:
        """The ``data`` of the event that publishes ``verdict``.

        Scalars are Python's own, arrays are numpy's.

        Raises
        ------
        DocumentError
            If the pattern has another length than ``q``.
        """
        frame, quality = verdict.frame, verdict.quality
        primary, alarm = quality.primary, quality.alarm
        data: dict[str, Any] = {
            "raw_data_key": frame.data_key,
            "raw_seq_num": int(frame.seq_num),
            "raw_index": int(frame.index),
            "raw_time": float(frame.time),
            "revision": int(verdict.revision),
            "final": bool(verdict.final),
            "verdict": verdict.word.value,
            "reason": verdict.reason,
            "primary_flag": "" if primary is None else primary.label,
            "also": ",".join(f.label for f in quality.raised if f is not primary),
            "alarm": "" if alarm is None else alarm.flag.label,
            "alarm_since": -1 if alarm is None else alarm.since,
            "alarm_episode": 0 if alarm is None else alarm.episode,
            "alarm_new": alarm is not None and alarm.new,
            "dq": int(quality.dq),
            "dq_evaluated": int(quality.dq_evaluated),
            "not_evaluated": "\n".join(
                f"{flag.label}: {why}" for flag, why in quality.why_not.items()
            ),
            **verdict.timings,
        }
        for flag in Flag:
            data[f"z_{flag.label}"] = float(quality.z.get(flag, np.nan))
        for name in self.units:
            data[name] = float(quality.values.get(name, np.nan))
        self._report_unpublished(quality.values)
        data |= _prediction_data(verdict.prediction)
        for name, kind in self._learned.items():
            data[name] = verdict.learned.get(name, "" if kind is str else np.nan)
        if self.q is not None:
            forms = verdict.pattern, verdict.corrected, verdict.robust
            names = PATTERNS[:2], PATTERNS[2:4], PATTERNS[4:]
            for pattern, named in zip(forms, names, strict=True):
                data |= self._pattern_data(pattern, self.q, named)
        return data

    def _pattern_data(
        self, pattern: Pattern | None, q: NDArray[np.float64], names: tuple[str, ...]
    ) -> dict[str, NDArray[np.float64]]:
        if pattern is None:
            return dict.fromkeys(names, self._nothing)
        if pattern.intensity.shape != q.shape or pattern.sigma.shape != q.shape:
            raise DocumentError(
                f"a pattern has {pattern.intensity.size} bins, its derived run has "
                f"{q.size}; begin a new attempt when the geometry changes"
            )
        columns = (pattern.intensity, pattern.sigma)
        return {
            name: np.asarray(column, dtype=np.float64)
            for name, column in zip(names, columns, strict=True)
        }

    def _report_unpublished(self, values: Mapping[str, float]) -> None:
        news = set(values) - set(self.units) - _OWN_FIELDS - self._reported
        if news:
            self._reported |= news
            logger.warning(
                "values %s are not published, the fields of a run are fixed; name them "
                "in `values` when the derived run is made",
                sorted(news),
            )


def _key(kind: type, shape: tuple[int, ...], unit: str | None) -> dict[str, Any]:
    dtype, dtype_numpy = DTYPES[kind]
    key: dict[str, Any] = {
        "source": "ringwatch",
        "dtype": "array" if shape else dtype,
        "dtype_numpy": dtype_numpy,
        "shape": list(shape),
    }
    if unit is not None:
        key["units"] = unit
    return key


def _prediction_data(prediction: Prediction | None) -> dict[str, Any]:
    if prediction is None:
        absent: dict[str, Any] = {
            name: np.full(n, -1 if kind is int else np.nan, dtype=DTYPES[kind][1])
            for name, (kind, n) in ARRAYS.items()
        }
        return absent | {
            "label": "",
            "label_prob": np.nan,
            "label_set": "",
            "unsure": True,
            "novelty": np.nan,
        }
    classes, groups = prediction.classes[:TOP], prediction.space_groups[:TOP]
    return {
        "label": prediction.label,
        "label_prob": float(prediction.label_prob),
        "label_set": ",".join(prediction.label_set),
        "class_numbers": np.array([c.number for c in classes], dtype=np.int64),
        "class_probs": np.array([c.probability for c in classes], dtype=np.float64),
        "space_group_numbers": np.array([g.number for g in groups], dtype=np.int64),
        "space_group_probs": np.array(
            [g.probability for g in groups], dtype=np.float64
        ),
        "crystal_system_probs": prediction.system_probabilities(CRYSTAL_SYSTEMS),
        "unsure": bool(prediction.unsure),
        "novelty": float(prediction.novelty),
        "embedding": np.asarray(prediction.embedding, dtype=np.float32),
    }

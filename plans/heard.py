"""A verdict as it reaches a plan: an event of a derived run in plain data."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ringwatch.agent.nouns import Word

__all__ = ["Heard", "near"]

_NAMED = frozenset(
    {
        *("raw_seq_num", "raw_index", "raw_time", "revision", "dq", "dq_evaluated"),
        *("alarm_since", "alarm_episode", "label_prob", "novelty", "latency_ms"),
        *("wait_ms", "read_ms", "reduce_ms", "flags_ms", "classify_ms"),
    }
)
"""Numbers of an event that are no physical values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One revision of the verdict of one frame.

    Attributes
    ----------
    run_uid : str
        Of the raw run; empty where its start was missed.
    stream, data_key : str
        Of the frame.
    index : int
        Ordinal of the frame in its data key, never used again.
    seq_num : int
        Of the raw event; a rewound one comes twice.
    taken : float
        When the frame was taken, seconds of the epoch.
    revision : int
    final : bool
        Whether no further revision comes.
    word : Word
    reason : str
        One sentence.
    primary_flag, alarm : str
        Root cause, and the one whose alarm is in force; empty without.
    alarm_since, alarm_episode : int
        Index of the first frame of the alarm in force, and how many times its cause
        came in the run so far, from 1; -1 and 0 without.
    label : str
        Extinction symbol; empty where nothing was classified.
    class_number : int
        Smallest space-group number of the powder class that ``label`` names; 0 without.
    label_prob : float
        0..1; NaN without a label.
    label_set : tuple of str
    unsure : bool
    novelty : float
    latency_ms : float
        From the frame's document to its verdict.
    values : mapping of str to float
        Physical values by key, those that are numbers.
    z : mapping of str to float
        Effect over its standard deviation by name of the flag, those that are numbers.
    heard_at : float
        When it came, on the clock of ``time.monotonic``.
    """

    run_uid: str
    stream: str
    data_key: str
    index: int
    seq_num: int
    taken: float
    revision: int
    final: bool
    word: Word
    reason: str
    primary_flag: str = ""
    alarm: str = ""
    alarm_since: int = -1
    alarm_episode: int = 0
    label: str = ""
    class_number: int = 0
    label_prob: float = math.nan
    label_set: tuple[str, ...] = ()
    unsure: bool = True
    novelty: float = math.nan
    latency_ms: float = math.nan
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    z: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    heard_at: float = field(default_factory=time.monotonic)

    @property
    def order(self) -> tuple[int, int]:
        """Later frames of a point count more, and later revisions of a frame."""
        return self.index, self.revision

    @classmethod
    def of_event(cls, data: Mapping[str, Any], run_uid: str, stream: str) -> Heard:
        """Read the ``data`` of an event of a derived run.

        Raises
        ------
        LookupError, TypeError, ValueError, ArithmeticError
            Where it is no such event.
        """
        numbers = {
            key: float(value)
            for key, value in data.items()
            if type(value) in (int, float) and not math.isnan(value)
        }
        return cls(
            run_uid=run_uid,
            stream=stream,
            data_key=str(data["raw_data_key"]),
            index=int(data["raw_index"]),
            seq_num=int(data["raw_seq_num"]),
            taken=float(data["raw_time"]),
            revision=int(data["revision"]),
            final=bool(data["final"]),
            word=Word(data["verdict"]),
            reason=str(data["reason"]),
            primary_flag=str(data["primary_flag"]),
            alarm=str(data["alarm"]),
            alarm_since=int(data.get("alarm_since", -1)),
            alarm_episode=int(data.get("alarm_episode", 0)),
            label=str(data["label"]),
            class_number=int(data["class_numbers"][0]) if data["label"] else 0,
            label_prob=float(data["label_prob"]),
            label_set=tuple(filter(None, str(data["label_set"]).split(","))),
            unsure=bool(data["unsure"]),
            novelty=float(data["novelty"]),
            latency_ms=float(data["latency_ms"]),
            values=MappingProxyType(
                {k: v for k, v in numbers.items() if k not in _NAMED and k[:2] != "z_"}
            ),
            z=MappingProxyType({k[2:]: v for k, v in numbers.items() if k[:2] == "z_"}),
        )


def near(key: str, heard: Heard) -> str:
    """Words on which values there are, for somebody who asked for one that is not."""
    alike = difflib.get_close_matches(key, heard.values, n=3, cutoff=0.7)
    if alike:
        return f"; perhaps {' or '.join(alike)}"
    return f"; there are {', '.join(sorted(heard.values)) or 'none'}"

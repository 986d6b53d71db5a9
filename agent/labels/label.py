"""One thing that one person says of one frame, beside what the machine had said."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from ringwatch.agent.errors import LabelError
from ringwatch.agent.nouns import Word

__all__ = ["MOST_COMMENT", "MOST_NAME", "SAYS", "FrameKey", "Label", "machine_said"]

FrameKey = tuple[str, str, str, int]
"""Identity of a frame: run uid, stream, data key, index."""

SAYS: Mapping[str, str] = MappingProxyType(
    {
        "correct": "what the machine said is right: the verdict, and the class",
        "wrong": "it is not; `value` may hold the right word of a verdict",
        "class": "the frame shows the class `value`: a symbol, or a name of one's own",
        "flag": "the frame shows the condition `value`, beside whatever else it shows",
        "comment": "only `comment`; says nothing for or against the machine",
        "withdraw": "takes back what the same person said of the frame before",
    }
)
"""The words of a label, and what each means."""

MOST_NAME = 100
"""Letters of a name: of a person, a class, a condition."""
MOST_COMMENT = 2000
"""Letters of a comment."""
_MOST_KEY = 200  # letters of a stream, a data key, a hash
_MOST_INDEX = 2**53  # a double still tells it from the next one
_MOST_TIME = 1e11  # seconds since the epoch: the year 5138
_WORDS = frozenset(word.value for word in Word)
_NAMED = frozenset({"class", "flag"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One thing that one person says of one frame.

    Attributes
    ----------
    run_uid, stream, data_key, index
        The frame, of the raw run.
    by : str
        Who says it: a name, as given. Nobody checks it.
    says : str
        One of ``SAYS``.
    value : str
        Name of the class or condition; of a ``wrong`` verdict the right word, or ``''``
        where it is not said.
    comment : str
        In the person's words.
    adjudicated : bool
        Whether this settles what several people said differently.
    verdict, primary_flag, label, label_prob : str, str, str, float
        What the machine had said when the person spoke: the word, the root cause, the
        class and its probability; ``''`` and NaN where it had said nothing.
    analysis_id, model_hash : str
        By which analysis and which network; ``''`` where it had said nothing.
    time : float
        When it was said, seconds since the epoch.
    uid : str
        Of this label.

    Raises
    ------
    LabelError
        Where a field is not as described, too long, or holds signs that do not print.
    """

    run_uid: str
    stream: str
    data_key: str
    index: int
    by: str
    says: str
    value: str = ""
    comment: str = ""
    adjudicated: bool = False
    verdict: str = ""
    primary_flag: str = ""
    label: str = ""
    label_prob: float = math.nan
    analysis_id: str = ""
    model_hash: str = ""
    time: float = field(default_factory=time.time)
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        for name, most in _TEXTS.items():
            _check_text(name, getattr(self, name), most, needed=name in _NEEDED)
        if not _is_number(self.index, int) or not 0 <= self.index < _MOST_INDEX:
            raise LabelError(
                f"index is {self.index!r}: expected the ordinal of a frame, from 0"
            )
        if not _is_number(self.time, float) or not 0 < self.time < _MOST_TIME:
            raise LabelError(f"time is {self.time!r}: expected seconds since the epoch")
        if not _is_number(self.label_prob, float) or not (
            math.isnan(self.label_prob) or 0 <= self.label_prob <= 1
        ):
            raise LabelError(
                f"label_prob is {self.label_prob!r}: expected 0 to 1, or NaN"
            )
        if not isinstance(self.adjudicated, bool):
            raise LabelError(f"adjudicated is {self.adjudicated!r}: True or False")
        if not self.uid.replace("-", "").isalnum():
            raise LabelError(f"uid is {self.uid!r}: expected letters, digits and -")
        self._check_words()
        # One NaN and true floats, so that equal labels compare equal.
        absent = math.isnan(self.label_prob)
        object.__setattr__(
            self, "label_prob", math.nan if absent else float(self.label_prob)
        )
        object.__setattr__(self, "time", float(self.time))

    def _check_words(self) -> None:
        if self.says not in SAYS:
            raise LabelError(
                f"says is {self.says!r}: expected one of {', '.join(SAYS)}"
            )
        if self.verdict not in _WORDS | {""}:
            raise LabelError(
                f"verdict is {self.verdict!r}: expected one of {_listed(_WORDS)}"
            )
        if self.says in _NAMED:
            if not self.value.strip():
                raise LabelError(f"a {self.says} needs its name as value")
        elif self.says == "wrong":
            if self.value not in _WORDS | {""}:
                raise LabelError(
                    f"the right word is {self.value!r}: expected one of "
                    f"{_listed(_WORDS)}, or nothing; a class goes as says='class'"
                )
        elif self.value:
            raise LabelError(f"{self.says!r} takes no value, but has {self.value!r}")
        if self.says == "comment" and not self.comment.strip():
            raise LabelError("a comment without words: give some")

    @property
    def frame(self) -> FrameKey:
        """Identity of the frame."""
        return self.run_uid, self.stream, self.data_key, self.index

    def to_object(self) -> dict[str, Any]:
        """Plain values by field, fit for JSON: a probability that is absent is None."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return plain | {
            "label_prob": None if math.isnan(self.label_prob) else self.label_prob
        }

    @classmethod
    def from_object(cls, told: Mapping[str, Any]) -> Label:
        """The label of plain values by field; unknown keys are refused.

        Raises
        ------
        LabelError
            Where a key is unknown or missing, or a value is not what it should be.
        """
        if not isinstance(told, Mapping):
            raise LabelError(f"a label is {type(told).__name__}: expected an object")
        known = {each.name: each for each in fields(cls)}
        if strange := sorted(str(key)[:40] for key in told if key not in known):
            raise LabelError(f"a label has unknown keys {strange[:5]}")
        if missing := sorted(
            name
            for name, each in known.items()
            if name not in told
            and each.default is MISSING
            and each.default_factory is MISSING
        ):
            raise LabelError(f"a label lacks {', '.join(missing)}")
        values = dict(told)
        if values.get("label_prob", math.nan) is None:
            values["label_prob"] = math.nan
        return cls(**values)


def machine_said(
    start: Mapping[str, Any], stream: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """The frame, and what the machine said of it, as arguments of ``Label``.

    Parameters
    ----------
    start : mapping
        Start document of the derived run.
    stream : str
        Name of the stream that the event is of.
    data : mapping
        Of the event that publishes the verdict.

    Raises
    ------
    LabelError
        If these are no documents of a derived run.

    Examples
    --------
    ``Label(**machine_said(start, stream, event["data"]), by="ada", says="wrong")``
    """
    try:
        return {
            "run_uid": str(start["raw_uid"]),
            "stream": stream,
            "data_key": str(data["raw_data_key"]),
            "index": int(data["raw_index"]),
            "verdict": str(data["verdict"]),
            "primary_flag": str(data["primary_flag"]),
            "label": str(data["label"]),
            "label_prob": float(data["label_prob"]),
            "analysis_id": str(start.get("analysis_id", "")),
            "model_hash": str(start.get("model_hash", "")),
        }
    except (LookupError, TypeError, ValueError) as error:
        raise LabelError(
            f"this event holds no verdict ({type(error).__name__}: {error}): give the "
            "start document and an event of a derived run"
        ) from error


_TEXTS = {
    "run_uid": _MOST_KEY,
    "stream": _MOST_KEY,
    "data_key": _MOST_KEY,
    "by": MOST_NAME,
    "says": MOST_NAME,
    "value": MOST_NAME,
    "comment": MOST_COMMENT,
    "verdict": MOST_NAME,
    "primary_flag": MOST_NAME,
    "label": MOST_NAME,
    "analysis_id": _MOST_KEY,
    "model_hash": _MOST_KEY,
    "uid": MOST_NAME,
}
_NEEDED = frozenset({"run_uid", "stream", "data_key", "by", "says", "uid"})


def _check_text(name: str, text: Any, most: int, *, needed: bool) -> None:
    if not isinstance(text, str):
        raise LabelError(f"{name} is {type(text).__name__}: expected text")
    if len(text) > most:
        raise LabelError(f"{name} has {len(text)} letters: at most {most}")
    if needed and not text.strip():
        raise LabelError(f"{name} is empty: a label needs one")
    # What does not print could steer the terminal of whoever reads it.
    shown = text.replace("\n", "").replace("\t", "") if name == "comment" else text
    if not shown.isprintable():
        raise LabelError(f"{name} holds signs that do not print: {text[:80]!r}")


def _is_number(value: Any, kind: type) -> bool:
    """Whether it is an int, or for ``float`` either; True and False are neither."""
    allowed = int if kind is int else (int, float)
    return isinstance(value, allowed) and not isinstance(value, bool)


def _listed(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))

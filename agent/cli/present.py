"""Verdicts as people and machines read them in a terminal."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console

from ringwatch.agent.nouns import Quality, Verdict, Word
from ringwatch.models.prediction import Prediction

__all__ = ["VerdictTape", "as_object", "word_style"]

_STYLES = {
    Word.GOOD: "green",
    Word.SUSPECT: "yellow",
    Word.MISALIGNED: "magenta",
    Word.BAD: "bold red",
    Word.UNKNOWN: "dim",
}


def word_style(word: Word) -> str:
    """Style of ``rich`` for a verdict's word."""
    return _STYLES[word]


class VerdictTape:
    """Prints one line a verdict as derived documents pass: a sink's listener.

    Columns: number of the point, index of the frame, verdict, primary flag, its z,
    label, its probability, milliseconds from the document to the verdict; then the
    reason, where it is new.

    Parameters
    ----------
    console : rich.console.Console
    stream : str or None
        Whose frames are shown; None for those of all.
    """

    _ROW = "{:>5} {:>5}  {:<10}  {:<14} {:>6}  {:<9} {:>5}  {:>6}  {}"

    def __init__(self, console: Console, stream: str | None = "primary") -> None:
        self._console = console
        self._stream = stream
        self._wanted: set[str] = set()
        self._told = ""  # flag whose reason stands in the line above

    def heading(self) -> None:
        """Print the names of the columns."""
        names = ("seq", "frame", "verdict", "flag", "z", "label", "p", "ms", "")
        self._console.print(self._ROW.format(*names), style="bold", highlight=False)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take one derived document."""
        if name == "descriptor" and doc["name"] == self._stream:
            self._wanted.add(doc["uid"])
        if name != "event":
            return
        if self._stream is not None and doc["descriptor"] not in self._wanted:
            return
        data = doc["data"]
        word = Word(data["verdict"])
        probability = data["label_prob"]
        z = data.get(f"z_{data['primary_flag']}", math.nan)
        row = self._ROW.format(
            data["raw_seq_num"],
            data["raw_index"],
            word.value,
            data["primary_flag"] or "-",
            "-" if math.isnan(z) else f"{z:.1f}",
            (data["label"] or "-") + ("?" if data["label"] and data["unsure"] else ""),
            "-" if math.isnan(probability) else f"{probability:.2f}",
            f"{data['latency_ms']:.0f}",
            self._reason(data),
        )
        self._console.print(
            row, style=word_style(word), highlight=False, markup=False, soft_wrap=True
        )

    def _reason(self, data: dict[str, Any]) -> str:
        """Reason of a raised flag, once: it stays the same for frames on end.

        Before it what people taught, where that is raised.
        """
        taught = f"[{data['taught']}] " if data.get("taught") else ""
        flag = data["primary_flag"] or data["verdict"]
        known, self._told = self._told, flag
        if flag in ("good", known):
            return taught.rstrip()
        return taught + str(data["reason"])


def as_object(verdict: Verdict) -> dict[str, Any]:
    """Verdict as ``--json`` prints it: plain types, null for what is not a number."""
    return {
        "verdict": verdict.word.value,
        "reason": verdict.reason,
        **_quality(verdict.quality),
        **_prediction(verdict.prediction),
        **{key: _milliseconds(ms) for key, ms in verdict.timings.items()},
        "analysis_id": verdict.analysis_id,
    }


def _quality(quality: Quality) -> dict[str, Any]:
    return {
        "flags": [
            {
                "name": flag.label,
                "z": _number(quality.z.get(flag)),
                "value": _number(quality.values.get(flag.value_key)),
                "unit": flag.unit,
            }
            for flag in quality.raised
        ],
        "not_evaluated": [
            {"name": flag.label, "reason": reason}
            for flag, reason in quality.why_not.items()
        ],
        "values": {key: _number(value) for key, value in quality.values.items()},
    }


def _prediction(prediction: Prediction | None) -> dict[str, Any]:
    if prediction is None:
        return {
            "label": None,
            "label_prob": None,
            "label_set": [],
            "classes": [],
            "space_groups": [],
            "crystal_systems": [],
            "unsure": True,
            "novelty": None,
        }
    return {
        "label": prediction.label,
        "label_prob": prediction.label_prob,
        "label_set": list(prediction.label_set),
        "classes": [
            {"class": c.number, "symbol": c.symbol, "probability": c.probability}
            for c in prediction.classes[:5]
        ],
        "space_groups": [
            {"number": g.number, "probability": g.probability}
            for g in prediction.space_groups[:5]
        ],
        "crystal_systems": [
            {"name": s.name, "probability": s.probability}
            for s in prediction.crystal_systems
        ],
        "unsure": prediction.unsure,
        "novelty": _number(prediction.novelty),
    }


def _milliseconds(value: float) -> float | None:
    return _number(round(value, 3))


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)

"""What the page shows of one verdict: a row for the strip of frames, and a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ringwatch.agent.dashboard.message import jsonable
from ringwatch.agent.nouns import Flag, Word
from ringwatch.agent.quality import VALUE_UNITS
from ringwatch.models.symmetry import POWDER_CLASSES

__all__ = ["FLAGS", "ROW", "WORDS", "card_of", "row_of"]

WORDS = tuple(word.value for word in Word)
"""Words by their code in a row."""

FLAGS = tuple(
    {"bit": flag.bit, "name": flag.label, "severity": flag.severity.value}
    for flag in Flag
)
"""What the page has to know of the flags."""

_NUMBERS = {
    "dx": "beam_center_dx_px",
    "dy": "beam_center_dy_px",
    "center_sigma": "beam_center_sigma_px",
    "scale": "radial_scale_ppm",
    "scale_sigma": "radial_scale_sigma_ppm",
    "light": "intensity_over_i0",
    "light_sigma": "intensity_over_i0_sigma",
    "bragg": "crystalline_fraction",
}

ROW = ("index", "word", "dq", "checked", "label", "prob", "unsure", "final", *_NUMBERS)
"""Names of the columns of a row."""

_SHOWN = (
    *(
        "raw_data_key",
        "raw_seq_num",
        "raw_index",
        "raw_time",
        "revision",
        "final",
        "reason",
    ),
    *("verdict", "primary_flag", "also", "alarm", "alarm_since", "not_evaluated"),
    *("label", "label_prob", "label_set", "unsure", "novelty", "latency_ms"),
    *("taught", "taught_class"),
)
_KINDS = {entry.number: (entry.symbol, entry.bravais) for entry in POWDER_CLASSES}


def row_of(data: Mapping[str, Any]) -> list[Any]:
    """One row of the strip, by the columns of ``ROW``."""
    word = str(data["verdict"])
    return [
        int(data["raw_index"]),
        WORDS.index(word) if word in WORDS else WORDS.index(Word.UNKNOWN),
        int(data["dq"]),
        int(data["dq_evaluated"]),
        str(data["label"]),
        jsonable(float(data["label_prob"])),
        bool(data["unsure"]),
        bool(data["final"]),
        *(jsonable(float(data.get(key, "nan"))) for key in _NUMBERS.values()),
    ]


def card_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """All that is said of one frame, fit for JSON."""
    card = {key: jsonable(data[key]) for key in _SHOWN if key in data}
    card["classes"] = [
        {
            "number": int(number),
            "symbol": _KINDS[int(number)][0],
            "bravais": _KINDS[int(number)][1],
            "probability": float(probability),
        }
        for number, probability in zip(
            data.get("class_numbers", ()), data.get("class_probs", ()), strict=True
        )
        if int(number) in _KINDS
    ]
    dq, raised = int(data["dq"]), []
    for flag in Flag:
        if dq & flag.mask:
            value = float(data.get(flag.value_key, "nan"))
            z = float(data.get(f"z_{flag.label}", "nan"))
            raised.append(
                {
                    "name": flag.label,
                    "severity": flag.severity.value,
                    "value": jsonable(value),
                    "unit": "" if flag.unit == "1" else flag.unit,
                    "z": jsonable(z),
                }
            )
    card["raised"] = raised
    card["values"] = {
        key: jsonable(float(data[key])) for key in VALUE_UNITS if key in data
    }
    return card

"""What a run of frames without a fault adds up to, and what many runs do."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.stats import chi2

from ringwatch.agent.nouns import Flag, FlagState, Quality, Severity, Word
from ringwatch.benchmarks.flags.ledger import Ledger

__all__ = ["FRAME_RATE_HZ", "Tally", "summarize"]

FRAME_RATE_HZ = 10.0
_ALARMS = (Word.BAD, Word.MISALIGNED)
_COUNTERS = ("flags", "evaluated", "raises", "baselines")


class Tally:
    """Counts the frames of one run as they are judged.

    A false alarm is one contiguous episode of the verdicts ``bad`` or ``misaligned``; a
    raise is one contiguous episode of a flag that is more than information.
    """

    def __init__(self) -> None:
        self._words: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._evaluated: Counter[Flag] = Counter()
        self._raises: Counter[str] = Counter()
        self._complaints: Counter[str] = Counter()
        self._episodes: list[dict[str, Any]] = []
        self._raised: set[str] = set()
        self._complaining: set[str] = set()
        self._within = False
        self._frames = 0

    def add(self, quality: Quality, complaints: set[str]) -> None:
        """Count the next frame; ``complaints`` are those of the simple rules."""
        index, self._frames = self._frames, self._frames + 1
        self._complaints.update(complaints - self._complaining)
        self._complaining = complaints
        self._words[quality.word.value] += 1
        self._evaluated.update(
            flag
            for flag, state in quality.states.items()
            if state is not FlagState.NOT_EVALUATED
        )
        raised = quality.raised
        self._flags.update(flag.label for flag in raised)
        grave = {
            flag.label
            for flag in raised
            if quality.severities[flag] is not Severity.INFORMATION
        }
        self._raises.update(grave - self._raised)
        self._raised = grave
        alarm = quality.word in _ALARMS
        if alarm and not self._within:
            cause = quality.primary.label if quality.primary else ""
            self._episodes.append(
                {"frame": index, "flag": cause, "why": quality.reason}
            )
        elif alarm:
            first = self._episodes[-1]["frame"]
            self._episodes[-1]["frames"] = index - first + 1
        self._within = alarm

    def result(self) -> dict[str, Any]:
        """All that was counted, ready for JSON.

        ``flags``: frames with it raised; ``evaluated``: frames on which it was asked;
        ``raises``: episodes of it that are more than information.
        """
        return {
            "frames": self._frames,
            "words": dict(self._words),
            "flags": dict(self._flags),
            "evaluated": {flag.label: n for flag, n in self._evaluated.items()},
            "raises": dict(self._raises),
            "episodes": self._episodes,
            "baselines": dict(self._complaints),
        }


def summarize(
    ledger: Ledger, keys: Iterable[str] = ("story", "geometry", "sample")
) -> dict[str, Any]:
    """Alarms per hour with their upper limit, by counts and by each of the keys."""
    results = [result for _, result in ledger.results()]
    frames = sum(r["frames"] for r in results)
    alarms = sum(len(r["episodes"]) for r in results)
    hours = frames / FRAME_RATE_HZ / 3600.0
    return {
        "frames": frames,
        "hours": hours,
        "alarms": alarms,
        "per_hour": alarms / hours if hours else 0.0,
        "upper_limit_per_hour": _most(alarms) / hours if hours else float("inf"),
        "flags": _by_flag(results, frames),
        "by": {key: _split(results, key) for key in keys}
        | {"counts": _split(results, "counts", lambda c: f"1e{int(np.log10(c))}")},
        "episodes": [
            {"story": r["story"], "geometry": r["geometry"], "sample": r["sample"]}
            | {"counts": r["counts"]}
            | episode
            for r in results
            for episode in r["episodes"]
        ],
        "digest": zlib.crc32(repr(sorted(ledger.results())).encode()),
    }


def _most(alarms: int) -> float:
    """Upper limit at 95 % (one-sided) of a Poisson mean (F. Garwood, 1936)."""
    return float(chi2.ppf(0.95, 2 * (alarms + 1)) / 2)


def _by_flag(results: list[dict[str, Any]], frames: int) -> dict[str, dict[str, Any]]:
    """Of each flag: frames it was asked on and raised in, episodes, and their rate."""
    total = {
        counter: sum((Counter(r[counter]) for r in results), Counter())
        for counter in ("flags", "evaluated", "raises")
    }
    table: dict[str, dict[str, Any]] = {}
    for flag in Flag:
        hours = total["evaluated"][flag.label] / FRAME_RATE_HZ / 3600.0
        raises = total["raises"][flag.label]
        table[flag.label] = {
            "of": frames,
            "evaluated": total["evaluated"][flag.label],
            "raised": total["flags"][flag.label],
            "raises": raises,
            "raises_per_hour": raises / hours if hours else None,
        }
    return table


def _split(
    results: list[dict[str, Any]], key: str, name: Callable[[Any], str] = str
) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for result in results:
        row = table.setdefault(
            name(result[key]),
            {"frames": 0, "alarms": 0, "suspect": 0}
            | {counter: {} for counter in _COUNTERS},
        )
        row["frames"] += result["frames"]
        row["alarms"] += len(result["episodes"])
        row["suspect"] += result["words"].get("suspect", 0)
        for counter in _COUNTERS:
            for each, count in result[counter].items():
                row[counter][each] = row[counter].get(each, 0) + count
    for row in table.values():
        hours = row["frames"] / FRAME_RATE_HZ / 3600.0
        row["raises_per_hour"] = {f: n / hours for f, n in row["raises"].items()}
    return dict(sorted(table.items()))

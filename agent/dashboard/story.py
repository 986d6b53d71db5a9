"""What the page keeps of one run: bounded, and enough to draw it whenever asked."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.dashboard.cards import ROW, card_of, row_of
from ringwatch.agent.dashboard.film import FILM_BINS, film_column, film_zero
from ringwatch.agent.dashboard.message import Parts, jsonable
from ringwatch.agent.nouns import Word

__all__ = ["MOST_FRAMES", "MOST_PATTERNS", "Story"]

MOST_FRAMES = 8192
"""Frames of a run on the page, the newest: some 3 kB each."""

MOST_PATTERNS = 2000
"""Frames whose pattern is kept in memory: some 10 kB each."""

_SOUND = 5  # frames of the reference
_TOLD = (
    *("scan_id", "plan_name", "sample", "sample_name"),
    *("attempt", "analysis_id", "model_hash"),
)
_Pattern = tuple[NDArray[np.float32], NDArray[np.float32]]


class Story:
    """The verdicts of one data key of one raw run's stream, as they came.

    Parameters
    ----------
    uid, stream, data_key : str
        The raw run, its stream, and what of it the frames are.
    start : mapping
        Start document of the derived run.
    q : (n,) array or None
        Bin centres, 1/Angstrom.

    Attributes
    ----------
    version : int
        Rises with each change.
    newest : int
        Largest index with a verdict, -1 before the first.
    newest_at : float
        When the newest verdict was handed over, seconds since the epoch.
    ended : str
        How the run ended; empty while it goes on.
    shape : (int, int)
        Of its frames where that is known, else (0, 0).
    """

    def __init__(
        self,
        uid: str,
        stream: str,
        data_key: str,
        start: Mapping[str, Any],
        q: NDArray[np.floating] | None,
    ) -> None:
        self.uid, self.stream, self.data_key = uid, stream, data_key
        self.start = {key: jsonable(start[key]) for key in _TOLD if key in start}
        self.start["time"] = jsonable(float(start.get("time", 0.0)))
        self.q = None if q is None else np.asarray(q, np.float32)
        self.version, self.newest, self.newest_at = 0, -1, 0.0
        self.ended = ""
        self.frames: dict[str, int] = {}
        self._rows: dict[int, list[Any]] = {}
        self._cards: dict[int, bytes] = {}
        self._films: dict[int, NDArray[np.uint8]] = {}
        self._zero: float | None = None
        self._patterns: OrderedDict[int, _Pattern] = OrderedDict()
        self._changed: OrderedDict[int, int] = OrderedDict()
        self._sound: dict[int, _Pattern] = {}
        self._reference: _Pattern | None = None

    def take(self, data: Mapping[str, Any], handed_over: float | None = None) -> None:
        """Take the data of one event: a revision of a verdict."""
        index = int(data["raw_index"])
        self.version += 1
        self._rows[index] = row_of(data)
        self._cards[index] = json.dumps(card_of(data), separators=(",", ":")).encode()
        self._changed[index] = self.version
        self._changed.move_to_end(index)
        if self.q is not None and "intensity" in data:
            self._take_pattern(index, data)
        if index >= self.newest:
            self.newest = index
            self.newest_at = time.time() if handed_over is None else handed_over
        if len(self._rows) > MOST_FRAMES:
            oldest = min(self._rows)
            for kept in (self._rows, self._cards, self._films, self._changed):
                kept.pop(oldest, None)

    def stop(self, doc: Mapping[str, Any]) -> None:
        """Take the stop document of the derived run."""
        self.version += 1
        self.ended = str(doc.get("raw_exit_status") or doc.get("exit_status") or "?")
        told = doc.get("frames")
        self.frames = {k: int(v) for k, v in told.items()} if told else {}

    def go_on(self) -> None:
        """Take note that another attempt at the same run goes on."""
        self.ended, self.frames = "", {}

    def _take_pattern(self, index: int, data: Mapping[str, Any]) -> None:
        intensity = np.asarray(data["intensity"], np.float32)
        sigma = np.asarray(data["sigma"], np.float32)
        if self.q is None or intensity.shape != self.q.shape:
            return
        if not np.isfinite(intensity).any():
            self._films[index] = np.zeros(FILM_BINS, np.uint8)
            return
        self._patterns[index] = intensity, sigma
        if len(self._patterns) > MOST_PATTERNS:
            self._patterns.popitem(last=False)
        if self._zero is None:
            self._zero = film_zero(intensity)
        self._films[index] = film_column(intensity, self._zero)
        good = data["verdict"] == Word.GOOD and data["final"]
        if good and len(self._sound) < _SOUND and index not in self._sound:
            self._sound[index] = intensity, sigma
            patterns = list(self._sound.values())
            mean = np.mean(np.stack([i for i, _ in patterns]), axis=0)
            square = np.mean(np.stack([s * s for _, s in patterns]), axis=0)
            noise = np.sqrt(square / len(patterns))
            self._reference = _float32(mean), _float32(noise)

    @property
    def indices(self) -> list[int]:
        """Frames with a verdict, rising."""
        return sorted(self._rows)

    @property
    def final(self) -> int:
        """Frames of which the newest revision is final."""
        at = ROW.index("final")
        return sum(bool(row[at]) for row in self._rows.values())

    @property
    def reference_of(self) -> list[int]:
        """Frames that the reference is the mean of."""
        return sorted(self._sound)

    def card(self, index: int) -> dict[str, Any] | None:
        """What was said of a frame; None where that is not kept."""
        kept = self._cards.get(index)
        return None if kept is None else json.loads(kept)

    def pattern(self, index: int) -> Parts:
        """``intensity`` and ``sigma`` (n,) of a frame; empty where not kept."""
        found = self._patterns.get(index)
        return {} if found is None else dict(zip(_NAMES, found, strict=True))

    def reference(self) -> Parts:
        """``reference`` and ``reference_sigma`` (n,); empty before a sound frame."""
        if self._reference is None:
            return {}
        return dict(zip(_REFERENCE, self._reference, strict=True))

    def since(self, version: int) -> tuple[list[list[Any]], Parts]:
        """Rows that changed after a version, and their columns of the film (k, 256)."""
        news = []
        for index, changed in reversed(self._changed.items()):
            if changed <= version:
                break
            news.append(index)
        news.sort()
        rows = [self._rows[index] for index in news]
        if self.q is None or not news:
            return rows, {}
        dark = np.zeros(FILM_BINS, np.uint8)
        return rows, {"film": np.stack([self._films.get(i, dark) for i in news])}


def _float32(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


_NAMES = ("intensity", "sigma")
_REFERENCE = ("reference", "reference_sigma")

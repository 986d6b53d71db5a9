"""How the verdicts of a derived run stand: what its stop document sums up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["Tally"]


class Tally:
    """Verdicts per word. Only frames without a final verdict are remembered."""

    def __init__(self) -> None:
        self._final: Counter[str] = Counter()
        self._open: dict[tuple[str, str, int], str] = {}
        self._flags: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._revised = 0

    def count(self, stream: str, data: Mapping[str, Any]) -> None:
        """Count one revision of a verdict.

        Parameters
        ----------
        stream : str
        data : mapping
            Of the event that publishes it; see ``Fields``.
        """
        frame = (stream, str(data["raw_data_key"]), int(data["raw_index"]))
        word = str(data["verdict"])
        if not data["final"]:
            self._open[frame] = word
            return
        self._open.pop(frame, None)
        self._final[word] += 1
        self._revised += data.get("revision", 0) > 0
        for counter, key in ((self._flags, "primary_flag"), (self._labels, "label")):
            if data.get(key):
                counter[str(data[key])] += 1

    def words(self) -> Counter[str]:
        """Frames per word of their newest verdict."""
        return self._final + Counter(self._open.values())

    def paragraph(self) -> str:
        """The same for people."""
        words = self.words()
        frames = words.total()
        sentences = [f"{frames} frame{'s' * (frames != 1)}"]
        if frames:
            sentences[0] += ": " + _counts(words)
        if self._open:
            sentences.append(f"Without a final verdict: {len(self._open)}")
        if self._revised:
            sentences.append(f"Revised: {self._revised}")
        if self._flags:
            sentences.append(f"Root causes: {_counts(self._flags)}")
        if self._labels:
            label, n = self._labels.most_common(1)[0]
            sentences.append(f"Most frequent label: {label} ({n})")
        return ". ".join(sentences) + "."


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {word}" for word, n in counter.most_common())

"""What is told of a replayed run: its verdicts, and how they differ from others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ringwatch.agent.cli.compare import Comparison, condensed
from ringwatch.agent.results import NamedDocument

__all__ = ["Listener", "Said", "diff_object", "frame_object"]

TOLD = 5
"""Frames that differ of which a comparison tells in full."""

Listener = Callable[[str, dict[str, Any]], None]


class Said:
    """Keeps what was said finally of each frame of a run, however long.

    Parameters
    ----------
    listener : callable, optional
        Told of each derived document.

    Attributes
    ----------
    words : Counter
        Frames by verdict.
    paragraph : str
        What became of the run, in words; empty before it stops.
    documents : list of (name, document)
        Starts, descriptors and final events, long arrays condensed.
    """

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self.words: Counter[str] = Counter()
        self.paragraph = ""
        self.documents: list[NamedDocument] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take one derived document."""
        if name == "event" and doc["data"]["final"]:
            self.words[doc["data"]["verdict"]] += 1
            self.documents.append((name, doc | {"data": condensed(doc["data"])}))
        elif name in ("start", "descriptor"):
            self.documents.append((name, doc))
        elif name == "stop":
            self.paragraph = str(doc.get("summary", ""))
        if self._listener is not None:
            self._listener(name, doc)


def diff_object(start: dict[str, Any], found: Comparison) -> dict[str, Any]:
    """A comparison with a stored pass, whose start document this is, for JSON."""
    return {
        "attempt": int(start.get("attempt", 0)),
        "analysis_id": str(start.get("analysis_id", "")),
        "frames": found.frames,
        "differ": len(found.unlike),
        "words": [
            {"old": old, "new": new, "frames": n}
            for (old, new), n in found.words.most_common()
        ],
        "fields": dict(found.fields.most_common()),
        "not_compared": list(found.not_compared),
        "first": [
            {
                "stream": unlike.frame.stream,
                "index": unlike.frame.index,
                "fields": list(unlike.fields),
                "old": unlike.words[0],
                "old_reason": str(unlike.old.get("reason", "no final verdict")),
                "new": unlike.words[1],
                "new_reason": str(unlike.new.get("reason", "no final verdict")),
            }
            for unlike in found.unlike[:TOLD]
        ],
    }


def frame_object(stream: str, data: dict[str, Any]) -> dict[str, Any]:
    """A verdict as ``--frames`` prints it: plain types, null for what is no number."""
    known = {
        key: value
        for key, value in data.items()
        if isinstance(value, str | int | float) and not _is_hash(key)
    }
    return {"stream": stream} | {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in known.items()
    }


def _is_hash(key: str) -> bool:
    """Whether a field holds an array, of which only a hash was kept."""
    return key == "embedding" or key.startswith(("intensity", "sigma"))

"""The pace of a replay: as fast as it goes, as it was recorded, or so many times that.

Documents of a run carry the times at which they were emitted. A replay in real time
waits until as much time has gone by since the start document as it did then.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from ringwatch.agent.errors import SettingsError
from ringwatch.agent.results import NamedDocument

__all__ = ["Pace", "paced"]

Document = dict[str, Any]
Wait = Callable[[float], bool]
"""Waits so many seconds; True at once where the replay is to end."""

MOST_FACTOR = 1e6
MOST_FRAMES = 100_000  # in a StreamDatum that is taken apart


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times as fast as recorded; infinitely many times is a burst.

    Attributes
    ----------
    factor : float
        1 for real time, ``inf`` for a burst.
    """

    factor: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``real``, ``burst`` or a number of times, such as ``x10`` or ``x0.5``.

        Raises
        ------
        SettingsError
            Where it is something else.
        """
        if text == "burst":
            return cls()
        if text == "real":
            return cls(1.0)
        found = re.fullmatch(r"x(\d+\.?\d*|\.\d+)", text)
        factor = float(found.group(1)) if found else 0.0
        if not 0 < factor <= MOST_FACTOR:
            raise SettingsError(
                f"no pace {text!r}: expected real, burst, or xN for N times as fast as "
                "recorded, such as x10 or x0.5"
            )
        return cls(factor)

    def __str__(self) -> str:
        if math.isinf(self.factor):
            return "burst"
        return "real" if self.factor == 1 else f"x{self.factor:g}"


def paced(
    documents: Iterable[NamedDocument], pace: Pace, *, wait: Wait | None = None
) -> Iterator[NamedDocument]:
    """Documents, each when its time has come.

    Each run has a clock of its own, which begins at its start document: hours between a
    dark run and its light run are not waited for. Frames without an event, as a flight
    has them, have no times: they come one by one, evenly over the time to the next
    document that has one. A replay that falls behind (analysis takes longer than the
    scan did) catches up.

    Parameters
    ----------
    documents : iterable of (name, document)
    pace : Pace
    wait : callable, optional
        Waits so many seconds and says whether to end, as ``threading.Event.wait`` does;
        the documents end there.
    """
    if math.isinf(pace.factor):
        yield from documents
        return
    wait = wait or threading.Event().wait
    began = first = last = 0.0
    held: list[NamedDocument] = []  # without a time: they wait for one that has it
    for name, doc in documents:
        if "time" not in doc:
            held += _one_by_one(name, doc)
            continue
        if name == "start":
            began, first, last = time.monotonic(), float(doc["time"]), doc["time"]
        due = max(last, float(doc["time"]))
        for when, document in _spread(held, doc, last, due):
            ahead = began + (when - first) / pace.factor - time.monotonic()
            if ahead > 0 and wait(ahead):
                return
            yield document
        held.clear()
        ahead = began + (due - first) / pace.factor - time.monotonic()
        if ahead > 0 and wait(ahead):
            return
        last = due
        yield name, doc
    yield from held


def _spread(
    held: list[NamedDocument], doc: Document, last: float, due: float
) -> Iterator[tuple[float, NamedDocument]]:
    """When documents without a time are due: with their event, or evenly before that.

    The frame of a point is announced when it is there, just before its event.
    """
    stream = doc.get("descriptor")  # None: not an event
    if stream and all(other.get("descriptor", stream) == stream for _, other in held):
        yield from ((due, document) for document in held)
        return
    frames = sum(kind == "stream_datum" for kind, _ in held)
    done = 0
    for document in held:
        done += document[0] == "stream_datum"
        yield last + (due - last) * done / max(1, frames), document


def _one_by_one(name: str, doc: Document) -> Iterator[NamedDocument]:
    """A StreamDatum as one for each of its frames: a range would come at once."""
    if name != "stream_datum":
        yield name, doc
        return
    start, stop = doc["indices"]["start"], doc["indices"]["stop"]
    if not 1 < stop - start <= MOST_FRAMES:
        yield name, doc
        return
    first_seq = doc["seq_nums"]["start"]
    for step in range(stop - start):
        yield (
            name,
            doc
            | {
                "uid": f"{doc['uid']}+{step}",
                "indices": {"start": start + step, "stop": start + step + 1},
                "seq_nums": {"start": first_seq + step, "stop": first_seq + step + 1},
            },
        )

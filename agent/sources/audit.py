"""Whether all documents came: what went by is compared with what should have."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.errors import MALFORMED, DocumentError, RingwatchError

__all__ = ["FEED_ERRORS", "Audit", "Gap"]

Document = dict[str, Any]
Gap = Callable[[str, str], object]
"""Told of each gap: uid of the raw run, empty where it is not known, and why."""

MOST_RUNS = 64
MOST_NAMES = 10_000
MOST_DATUMS = 100_000
LONGEST_NAME = 300
FEED_ERRORS = (RingwatchError, *MALFORMED)
"""What the taker of a document may raise."""


@dataclass(slots=True)
class _Frames:
    """Frames of one data key in one stream: how far they came."""

    resource: str = ""
    stream: str | None = None
    next_index: int = 0
    next_seq: int = 0


@dataclass(slots=True)
class _Run:
    began: bool = False  # whether its start came
    descriptors: dict[str, str] = field(default_factory=dict)  # uid -> stream
    external: dict[str, frozenset[str]] = field(default_factory=dict)
    apart: dict[str, set[str]] = field(default_factory=dict)  # stream -> keys
    eventful: set[str] = field(default_factory=set)  # streams with numbers in events
    resources: dict[str, str] = field(default_factory=dict)  # uid -> data key
    frames: dict[tuple[str, str], _Frames] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)  # stream -> last seq_num


class Audit:
    """Follows the numbers in documents of interleaved runs and tells of gaps.

    Event numbers of a stream go up by one (or back, after a rewind); the indices of a
    stream resource follow one another; each descriptor, resource and datum that is
    used was seen; the stop says how many events there were. Two things show nowhere:
    what is left out at the end of a run without stop (who keeps the time must ask
    Tiled), and events taken again after a rewind of which all or the last are lost.

    Memory is bounded: 64 open runs, of each 10,000 descriptors and resources.

    Parameters
    ----------
    gap : callable
        Called with uid of the run and reason, once for each gap.

    Attributes
    ----------
    gaps : int
        How many were told.
    """

    def __init__(self, gap: Gap) -> None:
        self._gap = gap
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._descriptors: dict[str, str] = {}  # uid -> run
        self._resources: dict[str, str] = {}  # uid -> run
        self._datums: OrderedDict[str, None] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._strangers: OrderedDict[str, None] = OrderedDict()
        self.gaps = 0

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Runs that have not stopped yet, oldest first."""
        return tuple(self._runs)

    def knows(self, run_uid: str) -> bool:
        """Whether the start of a run came, the last runs that ended included.

        From any thread.
        """
        run = self._runs.get(run_uid)
        return run_uid in self._ended or (run is not None and run.began)

    def stranger(self, name: str, doc: Document) -> str | None:
        """Whose a document is if the start of its run never came; asked after ``take``.

        The uid of its run or of its descriptor, empty where it names neither; None
        where the start came.

        Raises
        ------
        KeyError, TypeError
            Where the document does not say whose it is.
        """
        if name == "start":
            return None
        if name.startswith("datum"):
            run = self._resources.get(doc["resource"], "")
        elif "descriptor" in doc:
            run = self._descriptors.get(doc["descriptor"], "")
        else:
            run = doc.get("run_start") or next(reversed(self._runs), "")
        if run and self.knows(run):
            return None
        return _text(run or doc.get("descriptor", ""))

    def take(self, name: str, doc: Document) -> None:
        """Note a document; ``gap`` is called before this returns.

        Raises
        ------
        DocumentError
            Where the document lacks what its kind must have, or has it wrong.
        """
        handle = getattr(self, f"_{name}", None)
        if handle is None:
            return
        try:
            for uid, why in list(handle(doc)):
                self.gaps += 1
                self._gap(uid, why[:LONGEST_NAME])
        except MALFORMED as error:
            raise DocumentError(
                f"malformed {name!r} document ({type(error).__name__}): it was left "
                "out; check the device or plan that made it"
            ) from error

    # One method a kind of document: each yields (run, why).

    def _start(self, doc: Document) -> Iterator[tuple[str, str]]:
        uid = _text(doc["uid"])
        while len(self._runs) >= MOST_RUNS:
            oldest = next(iter(self._runs))
            self._forget(oldest)
            yield oldest, f"no stop came, and {MOST_RUNS} newer runs began"
        self._runs.setdefault(uid, _Run()).began = True

    def _descriptor(self, doc: Document) -> Iterator[tuple[str, str]]:
        uid, run_uid, stream = _text(doc["uid"]), _text(doc["run_start"]), doc["name"]
        run = self._runs.get(run_uid)
        if run is None:
            yield from self._stranger(run_uid, "its start never came")
            run = self._runs[run_uid] = _Run()
        if len(run.descriptors) >= MOST_NAMES:
            raise ValueError("too many descriptors")
        keys = doc["data_keys"].items()
        run.descriptors[uid] = _text(stream)
        run.external[uid] = frozenset(k for k, told in keys if "external" in told)
        if len(run.external[uid]) < len(keys):
            run.eventful.add(stream)
        apart = (k for k, t in keys if str(t.get("external")).startswith("STREAM"))
        run.apart.setdefault(stream, set()).update(map(_text, apart))
        self._descriptors[uid] = run_uid

    def _event(self, doc: Document) -> Iterator[tuple[str, str]]:
        return self._events(doc, [int(doc["seq_num"])], doc["data"])

    def _event_page(self, doc: Document) -> Iterator[tuple[str, str]]:
        return self._events(doc, [int(n) for n in doc["seq_num"]], {})

    def _events(
        self, doc: Document, numbers: list[int], data: Document
    ) -> Iterator[tuple[str, str]]:
        uid = _text(doc["descriptor"])
        run_uid = self._descriptors.get(uid)
        if run_uid is None:
            yield from self._stranger("", f"descriptor {uid[:40]} never came")
            return
        run = self._runs[run_uid]
        stream = run.descriptors[uid]
        for number in numbers:
            last = run.events.get(stream, 0)
            if number > last + 1:
                yield run_uid, _missing(f"events of {stream!r}", last + 1, number - 1)
            run.events[stream] = number
        for key in run.external[uid] & data.keys():
            if isinstance(data[key], str) and data[key] not in self._datums:
                yield run_uid, f"datum {data[key][:60]} of {key!r} never came"

    def _stream_resource(self, doc: Document) -> Iterator[tuple[str, str]]:
        yield from self._resource(doc)

    def _resource(self, doc: Document) -> Iterator[tuple[str, str]]:
        # Old resources do not name their run.
        newest = next(reversed(self._runs), "")
        run_uid = _text(doc.get("run_start") or newest)
        run = self._runs.get(run_uid)
        if run is None:
            yield from self._stranger(run_uid, "its start never came")
            run = self._runs[run_uid] = _Run()
        if len(run.resources) >= MOST_NAMES:
            raise ValueError("too many resources")
        uid = _text(doc["uid"])
        run.resources[uid] = _text(doc.get("data_key") or uid)
        self._resources[uid] = run_uid

    def _stream_datum(self, doc: Document) -> Iterator[tuple[str, str]]:
        uid, descriptor = _text(doc["stream_resource"]), _text(doc["descriptor"])
        run_uid = self._resources.get(uid) or self._descriptors.get(descriptor, "")
        if descriptor not in self._descriptors:
            yield from self._stranger(run_uid, f"descriptor {descriptor[:40]} is lost")
        if uid not in self._resources:
            yield from self._stranger(run_uid, f"stream resource {uid[:40]} is lost")
            return
        run = self._runs[run_uid]
        stream = run.descriptors.get(descriptor)
        # A dark between two files of one camera is in a stream of its own.
        series = run.resources[uid], stream or uid
        frames = run.frames.setdefault(series, _Frames(stream=stream))
        first, end = int(doc["indices"]["start"]), int(doc["indices"]["stop"])
        # A further file goes on counting or begins anew.
        wanted = 0 if frames.resource != uid and first == 0 else frames.next_index
        if first > wanted:
            what = f"frames of stream resource {uid[:40]}"
            yield run_uid, _missing(what, wanted, first - 1)
        frames.resource, frames.next_index = uid, max(wanted, end)
        frames.next_seq = max(frames.next_seq, int(doc["seq_nums"]["stop"]))

    def _datum(self, doc: Document) -> Iterator[tuple[str, str]]:
        yield from self._datum_of(doc, [doc["datum_id"]])

    def _datum_page(self, doc: Document) -> Iterator[tuple[str, str]]:
        yield from self._datum_of(doc, doc["datum_id"])

    def _datum_of(self, doc: Document, ids: list[str]) -> Iterator[tuple[str, str]]:
        uid = _text(doc["resource"])
        if uid not in self._resources:
            newest = next(reversed(self._runs), "")
            yield from self._stranger(newest, f"resource {uid[:40]} never came")
        for datum_id in ids:
            self._datums[_text(datum_id)] = None
        while len(self._datums) > MOST_DATUMS:
            self._datums.popitem(last=False)

    def _stop(self, doc: Document) -> Iterator[tuple[str, str]]:
        run_uid = _text(doc["run_start"])
        run = self._runs.get(run_uid)
        if run is None:
            yield from self._stranger(run_uid, "only its stop came")
            return
        if run.began:
            self._ended[run_uid] = None
            while len(self._ended) > MOST_RUNS:
                self._ended.popitem(last=False)
        self._forget(run_uid)
        for stream, told in (doc.get("num_events") or {}).items():
            came = run.events.get(stream, 0)
            ends = [f.next_seq for f in run.frames.values() if f.stream == stream]
            # Frames without events count as events in the stop document.
            if not came and ends and stream not in run.eventful:
                came = max(ends) - 1
            short = [end for end in ends if 1 < end <= int(told)]
            seen = {key for key, of in run.frames if of == stream}
            never = sorted(run.apart.get(stream, set()) - seen)
            if came < int(told):
                yield run_uid, _missing(f"events of {stream!r}", came + 1, int(told))
            elif short:
                what = f"frames of {stream!r}, by number of their event,"
                yield run_uid, _missing(what, min(short), int(told))
            elif never and int(told):
                yield run_uid, f"frames of {never[0][:60]!r} in {stream!r} never came"

    # How it is done.

    def _stranger(self, run_uid: str, why: str) -> Iterator[tuple[str, str]]:
        """A gap that each further document would show again: told once."""
        key = f"{run_uid} {why}"
        if key not in self._strangers:
            self._strangers[key] = None
            while len(self._strangers) > MOST_NAMES:
                self._strangers.popitem(last=False)
            yield run_uid, why

    def _forget(self, run_uid: str) -> None:
        run = self._runs.pop(run_uid)
        for uid in run.descriptors:
            self._descriptors.pop(uid, None)
        for uid in run.resources:
            self._resources.pop(uid, None)


def _missing(what: str, first: int, last: int) -> str:
    if first == last:
        return f"{what} are missing: {first}"
    return f"{what} are missing: {first} to {last} ({last - first + 1})"


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise TypeError("a uid or name is no text, or a long one")
    return value

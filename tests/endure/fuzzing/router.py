"""Torn and hostile documents for the router, and what must hold of each run of them.

One input is a run: the documents of a real one, of which a few were changed, left out,
doubled or put elsewhere. ``torn_run`` makes it from numbers that somebody chooses: a
generator with a seed, or bytes that a fuzzer guides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
from guard import check_refusal

from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import FrameReadError, RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.inbox import Inbox
from ringwatch.agent.nouns import FileLocator, FrameRef, LostLocator
from ringwatch.agent.sources.audit import FEED_ERRORS, Audit
from ringwatch.agent.wire.messages import DOCUMENT_NAMES

Run = list[tuple[str, Any]]
Below = Callable[[int], int]
"""Chooses a number from 0 up to, not including, the one given."""

LONGEST_REASON = 1000
REFUSED_BY_THE_CALLBACK = (TypeError, LookupError, AttributeError, ValueError)
NAMES = (*sorted(DOCUMENT_NAMES), "feed", "__init__", "nonsense")

circle: list[Any] = []
circle.append(circle)
deep: Any = 0
for _ in range(3000):
    deep = [deep]

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2,
    3,
    1 << 31,
    1 << 62,
    -(1 << 63),
    1 << 64,
    10**400,
    10**12,
    0.5,
    1e308,
    math.nan,
    math.inf,
    "",
    "0",
    "9" * 5000,
    "x" * 100_000,
    "\udcff\x00",
    b"\xff",
    "/",
    "../../../../etc/passwd",
    "file:///dev/zero",
    "file://localhost/%2e%2e/%00",
    "http://[::1",
    "%s%s_%99999999d.tiff",
    "{:999999999d}",
    "application/x-hdf5",
    "image/tiff",
    "multipart/related;type=image/tiff",
    "AD_TIFF",
    "STREAM:",
    [],
    [[]],
    {},
    {"a": {1: 2}},
    [10**12],
    [10**6, 10**6],
    [1, 1 << 40, 4, 5],
    [None, None],
    [-4, -5],
    [math.nan, 5],
    ["4", "5"],
    {"start": 0, "stop": 10**12},
    {"start": -(10**12), "stop": 3},
    {"start": 3, "stop": 0},
    {"start": 0, "stop": 10_000},
    {"start": 0, "stop": 300_000},
    np.zeros((0, 5), np.uint16),
    np.zeros((3, 4, 5), np.float32),
    np.zeros((2, 2), object),
    np.zeros(2, "M8[s]"),
    np.ones((4, 5), complex),
    np.uint64(2**64 - 1),
    circle,
    deep,
)


def read_runs(folder: Path) -> list[Run]:
    """Documents of real runs, as ``corpus`` keeps them; their files are in a folder."""
    packed = folder.joinpath("runs.msgpack").read_bytes()
    told = msgpack.unpackb(packed, object_hook=msgpack_numpy.decode)
    files = str(folder / "files").lstrip("/")

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [placed(inner) for inner in value]
        return value.replace(told["here"], files) if isinstance(value, str) else value

    return [[(name, placed(doc)) for name, doc in run] for run in told["runs"]]


def torn_run(runs: list[Run], below: Below) -> Run:
    """Some real run, changed one to four times."""
    run = list(runs[below(len(runs))])
    for _ in range(1 + below(4)):
        at = below(len(run))
        name, doc = run[at]
        what = below(16)
        if what < 10:
            run[at] = name, _changed(doc, runs, below)
        elif what == 10:
            del run[at : at + 1 + below(2)]
            run = run or [("stop", {})]
        elif what == 11:
            run.insert(below(len(run) + 1), run[at])
        elif what == 12:
            run.insert(below(len(run) + 1), run.pop(at))
        elif what == 13:
            run[at] = NAMES[below(len(NAMES))], doc
        elif what == 14:
            other = runs[below(len(runs))]
            run.insert(at, other[below(len(other))])
        else:
            run[at] = name, ODD[below(len(ODD))]
    return run


def _changed(doc: Any, runs: list[Run], below: Below) -> Any:
    """A copy with one thing changed, somewhere in it."""
    if not isinstance(doc, dict | list) or not doc:
        return ODD[below(len(ODD))]
    copy: Any = doc.copy()
    if isinstance(doc, list):
        copy[below(len(doc))] = ODD[below(len(ODD))]
        return copy
    key = tuple(doc)[below(len(doc))]
    what = below(12)
    if what < 6 and isinstance(doc[key], dict | list):
        copy[key] = _changed(doc[key], runs, below)
    elif what < 8:
        copy[key] = ODD[below(len(ODD))]
    elif what == 8:
        del copy[key]
    elif what == 9:
        copy[(3, None, ("a", 1), b"k", "k" * 5000, "\x00", key)[below(7)]] = copy[key]
    elif what == 10:
        copy[key] = copy[tuple(doc)[below(len(doc))]]
    else:
        other = runs[below(len(runs))]
        _, strange = other[below(len(other))]
        copy[key] = strange.get(key, strange) if isinstance(strange, dict) else strange
    return copy


class Notes:
    """A listener that believes nothing."""

    def __init__(self) -> None:
        self.refs: list[FrameRef] = []
        self.open: dict[str, dict[tuple[str, str], int]] = {}

    def run_started(self, start: dict[str, Any]) -> None:
        assert start["uid"] not in self.open
        self.open[start["uid"]] = {}

    def run_stopped(self, stop: dict[str, Any]) -> None:
        del self.open[stop["run_start"]]

    def frame_announced(self, ref: FrameRef) -> None:
        indices = self.open[ref.run_uid]
        series = ref.stream, ref.data_key
        assert all(isinstance(part, str) for part in (ref.run_uid, *series))
        assert ref.index >= indices.get(series, 0)  # never used again
        indices[series] = ref.index + 1
        assert isinstance(ref.index, int)
        assert isinstance(ref.seq_num, int)
        assert -(1 << 63) <= ref.seq_num < 1 << 63
        assert all(isinstance(key, str) for key in ref.readbacks)
        assert all(isinstance(value, float) for value in ref.readbacks.values())
        if isinstance(ref.locator, LostLocator):
            assert 0 < len(ref.locator.reason) <= LONGEST_REASON
        self.refs.append(ref)


class RouterCheck:
    """Feeds runs to all that a document passes before a frame is read; and reads some.

    Parameters
    ----------
    good : list of (name, document)
        A run that comes after each input, and must lose nothing.
    files : Path
        Below which frames may be read.
    """

    def __init__(self, good: Run, files: Path) -> None:
        self._good = [(n, _renamed(d)) for n, d in good]
        self._reader = FrameReader(roots=(files,), timeout_s=0, max_frame_bytes=1 << 20)
        self._round = 0

    def __call__(self, run: Run) -> bool:
        """Whether every document of it was accepted."""
        self._round += 1
        notes = Notes()
        announcer, audit = Announcer(notes), Audit(_no_gap)
        inbox = Inbox(max_bytes=1 << 20, max_items=100)
        accepted = not sum(not _take(inbox, audit, announcer, *pair) for pair in run)
        announcer.release_held()
        self._read_some(notes.refs)
        known = len(notes.refs)
        for name, doc in self._good:
            audit.take(name, doc)
            assert audit.stranger(name, doc) is None
            announcer.feed(name, doc)
        assert len(notes.refs) == known + 2, "the good run lost frames"
        announcer.abandon_runs()
        assert not notes.open
        return accepted

    def _read_some(self, refs: list[FrameRef]) -> None:
        """The last of the frames, now and then."""
        if not refs or self._round % 8:
            return
        ref = refs[-1]
        try:
            pixels = self._reader.read(ref)
        except FrameReadError as error:
            check_refusal(error, 2 * LONGEST_REASON)
        else:
            assert pixels.ndim == 2
            assert not isinstance(ref.locator, FileLocator) or pixels.nbytes <= 1 << 20


def _take(
    inbox: Inbox, audit: Audit, announcer: Announcer, name: str, doc: Any
) -> bool:
    """Whether a document was accepted; it may only be refused as the agent does it."""
    try:
        inbox.put(name, doc)
    except REFUSED_BY_THE_CALLBACK:
        return False
    item = inbox.get(0)
    assert item is not None
    accepted = _is_audited(audit, item.name, item.doc)
    try:
        announcer.feed(item.name, item.doc)
    except RingwatchError as error:
        check_refusal(error, LONGEST_REASON)
        return False
    return accepted


def _is_audited(audit: Audit, name: str, doc: Any) -> bool:
    """Whether the audit takes it, and says whose it is, as a source asks it to."""
    try:
        audit.take(name, doc)
        uid = audit.stranger(name, doc)
    except RingwatchError as error:
        check_refusal(error, LONGEST_REASON)
        return False
    except FEED_ERRORS:  # it does not say whose it is
        return False
    assert uid is None or len(uid) <= LONGEST_REASON
    return True


def _renamed(value: Any) -> Any:
    """The same with uids of its own."""
    if isinstance(value, dict):
        return {key: _renamed(inner) for key, inner in value.items()}
    if isinstance(value, str) and value.startswith("uid"):
        return f"good-{value}"
    return value


def _no_gap(run_uid: str, why: str) -> None:
    assert isinstance(run_uid, str)
    assert 0 < len(why) <= LONGEST_REASON

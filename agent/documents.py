"""Bluesky documents become frame references.

All three asset styles end in the same ``FrameRef``: images inside events, classic
Resource/Datum, and StreamResource/StreamDatum (with events, as in a step scan, or
without, as in a fly scan). Nothing is opened or read here.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from event_model import DocumentRouter

from ringwatch.agent.assets import Asset, asset_of_resource, asset_of_stream_resource
from ringwatch.agent.errors import DocumentError, RingwatchError
from ringwatch.agent.nouns import FrameRef, Locator, LostLocator, MemoryLocator

__all__ = ["SHED_KEY", "Announcer", "Listener", "image_keys"]

logger = logging.getLogger(__name__)

Document = dict[str, Any]

SHED_KEY = "_ringwatch_shed"
"""Set in an event whose pixels were dropped under overload; its value says why."""

_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError)


class Listener(Protocol):
    """Who is told of runs and frames, in the order of the documents."""

    def run_started(self, start: Document) -> None:
        """Take the start document of a run."""

    def frame_announced(self, ref: FrameRef) -> None:
        """Take one frame."""

    def run_stopped(self, stop: Document) -> None:
        """Take the stop document; every frame of the run was announced."""


@dataclass(slots=True)
class _Stream:
    """What one descriptor says of the detector."""

    run_uid: str
    name: str
    data_key: str
    shape: tuple[int, ...]
    waits_for_event: bool
    held: list[FrameRef] = field(default_factory=list)
    held_since: float = 0.0


@dataclass(slots=True)
class _Run:
    """What is known of an open run."""

    start: Document
    descriptors: list[str] = field(default_factory=list)
    images_seen: set[str] = field(default_factory=set)
    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    assets: list[str] = field(default_factory=list)


class Announcer(DocumentRouter):
    """Turns documents of interleaved runs into frame references for one detector.

    Parameters
    ----------
    listener : Listener
        Told of runs and frames.
    detector : str, optional
        Data key of the images, or name of the device that has one; by default the first
        image of a run.

    A frame whose pixels are announced ahead of its event (StreamDatum) waits for that
    event where the descriptor promises numbers with it: they say what the beam, the
    exposure and the temperature were.
    """

    def __init__(self, listener: Listener, *, detector: str | None = None) -> None:
        super().__init__()
        self._listener = listener
        self._detector = detector
        self._runs: dict[str, _Run] = {}
        self._streams: dict[str, _Stream | None] = {}
        self._resources: dict[str, Asset | LostLocator] = {}
        self._datums: dict[str, Document] = {}

    def feed(self, name: str, doc: Document) -> None:
        """Take one document.

        Raises
        ------
        DocumentError
            Where it is malformed or unknown. Later documents can still be fed.
        """
        try:
            self(name, doc)
        except RingwatchError:
            raise
        except _MALFORMED as error:
            raise DocumentError(
                f"malformed {name!r} document ({type(error).__name__}: {error}): it "
                "was left out; check the device or plan that made it"
            ) from error

    def release_held(self, older_than_s: float) -> None:
        """Let frames go whose event did not come within ``older_than_s`` seconds."""
        limit = time.monotonic() - older_than_s
        for stream in self._streams.values():
            if stream is not None and stream.held and stream.held_since <= limit:
                self._release(stream)

    @property
    def holds_frames(self) -> bool:
        """Whether any frame waits for its event."""
        return any(s is not None and s.held for s in self._streams.values())

    # Documents, in the order in which they come.

    def start(self, doc: Document) -> None:
        """Open a run."""
        self._runs[doc["uid"]] = _Run(start=doc)
        self._listener.run_started(doc)

    def descriptor(self, doc: Document) -> None:
        """Note which image of the stream is wanted, if any."""
        run = self._runs.get(doc["run_start"])
        if run is None:
            raise DocumentError(
                f"descriptor {doc['uid']} belongs to run {doc['run_start']}, whose "
                "start never came: subscribe the agent before the run begins"
            )
        images = image_keys(doc)
        run.images_seen |= set(images)
        run.descriptors.append(doc["uid"])
        key = self._choose(images, doc)
        if key is None:
            self._streams[doc["uid"]] = None
            return
        data_keys = doc["data_keys"]
        external = str(data_keys[key].get("external", ""))
        self._streams[doc["uid"]] = _Stream(
            run_uid=doc["run_start"],
            name=doc["name"],
            data_key=key,
            shape=tuple(int(n) for n in data_keys[key]["shape"]),
            waits_for_event=external.startswith("STREAM")
            and any(k["dtype"] in ("number", "integer") for k in data_keys.values()),
        )

    def resource(self, doc: Document) -> None:
        """Note where the frames of a classic resource lie."""
        self._resources[doc["uid"]] = asset_of_resource(doc)
        self._remember(doc)

    def datum(self, doc: Document) -> Document:
        """Note a classic datum until its event comes."""
        self._datums[doc["datum_id"]] = doc
        return doc

    def stream_resource(self, doc: Document) -> None:
        """Note where the frames of a stream resource lie."""
        self._resources[doc["uid"]] = asset_of_stream_resource(doc)
        self._remember(doc)

    def stream_datum(self, doc: Document) -> None:
        """Announce a range of frames."""
        stream = self._streams[doc["descriptor"]]
        resource = self._resources[doc["stream_resource"]]
        if stream is None or not self._is_for(stream, resource):
            return
        per_index = stream.shape[0] if len(stream.shape) > 2 else 1
        first_seq = int(doc["seq_nums"]["start"])
        indices = range(int(doc["indices"]["start"]), int(doc["indices"]["stop"]))
        for step, index in enumerate(indices):
            for offset in range(per_index):
                locator: Locator = (
                    resource
                    if isinstance(resource, LostLocator)
                    else resource.locate(index, per_index, offset)
                )
                self._hold_or_announce(
                    stream, self._ref(stream, first_seq + step, locator)
                )

    def event(self, doc: Document) -> Document:
        """Announce the frames of an event, and let those go that waited for it."""
        stream = self._streams[doc["descriptor"]]
        if stream is None:
            return doc
        seq_num, when = int(doc["seq_num"]), float(doc["time"])
        readbacks = self._readbacks_of(doc)
        while stream.held and stream.held[0].seq_num <= seq_num:
            ref = stream.held.pop(0)
            known = readbacks if ref.seq_num == seq_num else {}
            self._listener.frame_announced(replace(ref, time=when, readbacks=known))
        if stream.data_key in doc["data"] or SHED_KEY in doc:
            for locator in self._locators(stream, doc):
                ref = self._ref(stream, seq_num, locator)
                ref = replace(ref, time=when, readbacks=readbacks)
                self._listener.frame_announced(ref)
        return doc

    def stop(self, doc: Document) -> None:
        """Close a run: nothing of it is held any longer."""
        run = self._runs.pop(doc["run_start"], None)
        if run is None:
            raise DocumentError(
                f"stop of run {doc['run_start']}, whose start never came"
            )
        found = False
        for uid in run.descriptors:
            stream = self._streams.pop(uid, None)
            if stream is not None:
                found = True
                self._release(stream)
        for uid in run.assets:
            self._resources.pop(uid, None)
        unused = [d for d, doc in self._datums.items() if doc["resource"] in run.assets]
        for datum_id in unused:
            del self._datums[datum_id]
        if run.images_seen and not found:
            logger.error(
                "detector %r is not in run %s; its images are: %s",
                self._detector,
                doc["run_start"],
                ", ".join(sorted(run.images_seen)),
            )
        self._listener.run_stopped(doc)

    # How it is done.

    def _choose(self, images: list[str], descriptor: Document) -> str | None:
        if self._detector is None:
            return images[0] if images else None
        if self._detector in images:
            return self._detector
        owned = descriptor.get("object_keys", {}).get(self._detector, [])
        return next((key for key in images if key in owned), None)

    def _remember(self, resource: Document) -> None:
        newest = next(reversed(self._runs), "")
        run = self._runs.get(resource.get("run_start") or newest)
        if run is not None:
            run.assets.append(resource["uid"])

    @staticmethod
    def _is_for(stream: _Stream, resource: Asset | LostLocator) -> bool:
        return isinstance(resource, LostLocator) or resource.data_key in (
            "",
            stream.data_key,
        )

    def _ref(self, stream: _Stream, seq_num: int, locator: Locator) -> FrameRef:
        counters = self._runs[stream.run_uid].counters
        key = (stream.name, stream.data_key)
        index = counters.get(key, 0)
        counters[key] = index + 1
        rows, columns = stream.shape[-2:]
        return FrameRef(
            run_uid=stream.run_uid,
            stream=stream.name,
            data_key=stream.data_key,
            index=index,
            seq_num=seq_num,
            time=math.nan,
            locator=locator,
            shape=(rows, columns),
        )

    def _hold_or_announce(self, stream: _Stream, ref: FrameRef) -> None:
        if not stream.waits_for_event:
            self._listener.frame_announced(ref)
            return
        if not stream.held:
            stream.held_since = time.monotonic()
        stream.held.append(ref)

    def _release(self, stream: _Stream) -> None:
        for ref in stream.held:
            self._listener.frame_announced(ref)
        stream.held.clear()

    def _readbacks_of(self, event: Document) -> dict[str, float]:
        values: dict[str, float] = {}
        for key, value in event["data"].items():
            if isinstance(value, bool | int | float | np.number):
                values[key] = float(value)
        return values

    def _locators(self, stream: _Stream, event: Document) -> list[Locator]:
        if SHED_KEY in event:
            frames = int(np.prod(stream.shape[:-2], dtype=int))
            return [LostLocator(reason=event[SHED_KEY])] * frames
        value = event["data"][stream.data_key]
        if isinstance(value, str):
            return self._locators_of_datum(stream, value)
        return _locators_of_pixels(value)

    def _locators_of_datum(self, stream: _Stream, datum_id: str) -> list[Locator]:
        datum = self._datums.pop(datum_id, None)
        frames = int(np.prod(stream.shape[:-2], dtype=int))
        if datum is None:
            reason = f"datum {datum_id} was never announced"
            return [LostLocator(reason=reason)] * frames
        resource = self._resources.get(datum["resource"])
        if resource is None:
            reason = (
                f"resource {datum['resource']} of datum {datum_id} was never announced"
            )
            return [LostLocator(reason=reason)] * frames
        if isinstance(resource, LostLocator):
            return [resource] * frames
        point = int(datum["datum_kwargs"].get("point_number", 0))
        per_point = resource.frames_per_point or frames
        return [
            resource.locate(point, per_point, offset) for offset in range(per_point)
        ]


def image_keys(descriptor: Document) -> list[str]:
    """Data keys of a descriptor that hold images, in their order."""
    return [
        key
        for key, data_key in descriptor["data_keys"].items()
        if sum(1 for n in data_key.get("shape") or [] if n is None or n > 1) >= 2
    ]


def _locators_of_pixels(value: Any) -> list[Locator]:
    """Locate the frames of an event that carries its pixels: (..., y, x)."""
    try:
        pixels = np.asarray(value)
    except ValueError as error:
        return [LostLocator(reason=f"the event holds no image: {error}")]
    if pixels.ndim < 2 or not pixels.size or pixels.dtype.kind not in "uifb":
        shape = f"shape {pixels.shape} and type {pixels.dtype}"
        return [LostLocator(reason=f"the event holds no image but an array of {shape}")]
    images = pixels.reshape(-1, *pixels.shape[-2:])
    return [MemoryLocator(frame=image) for image in images]

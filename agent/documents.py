"""Bluesky documents become frame references.

All three asset styles end in the same ``FrameRef``: images inside events, classic
Resource/Datum, and StreamResource/StreamDatum (with events, as in a step scan, or
without, as in a fly scan). Nothing is opened or read here.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace

from event_model import DocumentRouter

from ringwatch.agent.assets import Asset, asset_of_resource, asset_of_stream_resource
from ringwatch.agent.errors import DocumentError, RingwatchError
from ringwatch.agent.nouns import FrameRef, Locator, LostLocator
from ringwatch.agent.streams import (
    Document,
    Listener,
    OpenRun,
    Stream,
    image_keys,
    locate_pixels,
    readbacks_of,
)

__all__ = ["SHED_KEY", "Announcer"]

logger = logging.getLogger(__name__)

SHED_KEY = "_ringwatch_shed"
"""Set in an event whose pixels were dropped under overload: data key to reason."""

MOST_OPEN_RUNS = 64
"""Runs without a stop document beyond this are taken for abandoned, oldest first."""

MOST_FRAMES_AT_ONCE = 1_000_000
"""A StreamDatum that announces more is malformed."""

_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


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
        self._runs: dict[str, OpenRun] = {}
        self._streams: dict[str, Stream | None] = {}
        self._resources: dict[str, Asset | LostLocator] = {}
        self._datums: dict[str, Document] = {}
        self._arrived = 0.0

    def feed(self, name: str, doc: Document, arrived: float | None = None) -> None:
        """Take one document.

        Parameters
        ----------
        name, doc
            As Bluesky emits them.
        arrived : float, optional
            When it came, on ``time.monotonic``; by default now.

        Raises
        ------
        DocumentError
            Where it is malformed or unknown. Later documents can still be fed.
        """
        self._arrived = time.monotonic() if arrived is None else arrived
        try:
            self(name, doc)
        except RingwatchError:
            raise
        except _MALFORMED as error:
            raise DocumentError(
                f"malformed {name!r} document ({type(error).__name__}: {error}): it "
                "was left out; check the device or plan that made it"
            ) from error

    def release_held(self, before: float = math.inf) -> None:
        """Let frames go that have waited for their event since ``before``.

        Measured by the arrival of documents, on ``time.monotonic``: how long the frames
        waited in our own queue does not count.
        """
        for stream in self._streams.values():
            if stream is not None and stream.held and stream.held_since <= before:
                self._release(stream)

    def abandon_runs(self, keep: int = 0) -> None:
        """Close the oldest open runs, but for ``keep``: their stop will not come."""
        while len(self._runs) > keep:
            self.abandon(next(iter(self._runs)))

    def abandon(self, uid: str) -> None:
        """Close a run whose stop will not come."""
        reason = "no stop document came"
        self.stop({"run_start": uid, "exit_status": "abandoned", "reason": reason})

    @property
    def holds_frames(self) -> bool:
        """Whether any frame waits for its event."""
        return any(s is not None and s.held for s in list(self._streams.values()))

    # Documents, in the order in which they come.

    def start(self, doc: Document) -> None:
        """Open a run."""
        self.abandon_runs(keep=MOST_OPEN_RUNS - 1)
        self._runs[doc["uid"]] = OpenRun()
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
        key = self._choose(images, doc)
        stream = None if key is None else Stream.from_descriptor(doc, key)
        run.descriptors.append(doc["uid"])
        self._streams[doc["uid"]] = stream

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
        resource = self._resources.get(doc["stream_resource"])
        if stream is None or (
            isinstance(resource, Asset)
            and resource.data_key not in ("", stream.data_key)
        ):
            return
        if resource is None:
            resource = LostLocator(
                reason=f"stream resource {doc['stream_resource']} was never announced"
            )
        first_seq = int(doc["seq_nums"]["start"])
        indices = range(int(doc["indices"]["start"]), int(doc["indices"]["stop"]))
        if len(indices) > MOST_FRAMES_AT_ONCE:
            raise ValueError(f"{len(indices)} frames at once")
        for step, index in enumerate(indices):
            for locator in stream.locate(resource, index, stream.frames_per_point):
                ref = self._ref(stream, first_seq + step, locator)
                self._hold_or_announce(stream, ref)

    def event(self, doc: Document) -> Document:
        """Announce the frames of an event, and let those go that waited for it."""
        stream = self._streams[doc["descriptor"]]
        if stream is None:
            return doc
        seq_num, when = int(doc["seq_num"]), float(doc["time"])
        readbacks = readbacks_of(doc)
        while stream.held and stream.held[0].seq_num <= seq_num:
            ref = stream.held.pop(0)
            known = readbacks if ref.seq_num == seq_num else {}
            self._listener.frame_announced(replace(ref, time=when, readbacks=known))
        if stream.inside_events:
            for locator in self._locators(stream, doc):
                ref = self._ref(stream, seq_num, locator)
                ref = replace(ref, time=when, readbacks=readbacks)
                self._listener.frame_announced(ref)
        return doc

    def stop(self, doc: Document) -> None:
        """Close a run: nothing of it is held any longer."""
        run = self._runs.pop(doc["run_start"], None)
        if run is None:
            uid = doc["run_start"]
            raise DocumentError(f"stop of run {uid}, whose start never came")
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

    def _ref(self, stream: Stream, seq_num: int, locator: Locator) -> FrameRef:
        counters = self._runs[stream.run_uid].counters
        key = (stream.name, stream.data_key)
        index = counters.get(key, 0)
        counters[key] = index + 1
        return FrameRef(
            run_uid=stream.run_uid,
            stream=stream.name,
            data_key=stream.data_key,
            index=index,
            seq_num=seq_num,
            time=math.nan,
            locator=locator,
            shape=stream.frame_shape,
        )

    def _hold_or_announce(self, stream: Stream, ref: FrameRef) -> None:
        if not stream.waits_for_event:
            self._listener.frame_announced(ref)
            return
        if not stream.held:
            stream.held_since = self._arrived
        stream.held.append(ref)

    def _release(self, stream: Stream) -> None:
        for ref in stream.held:
            self._listener.frame_announced(ref)
        stream.held.clear()

    def _locators(self, stream: Stream, event: Document) -> list[Locator]:
        shed = event.get(SHED_KEY, {})
        if stream.data_key in shed:
            return stream.lost(shed[stream.data_key], shed=True)
        if stream.data_key not in event["data"]:
            return stream.lost(f"the event holds no {stream.data_key!r}")
        value = event["data"][stream.data_key]
        if isinstance(value, str):
            return self._locators_of_datum(stream, value)
        return locate_pixels(value)

    def _locators_of_datum(self, stream: Stream, datum_id: str) -> list[Locator]:
        datum = self._datums.pop(datum_id, None)
        if datum is None:
            return stream.lost(f"datum {datum_id} was never announced")
        uid = datum["resource"]
        resource = self._resources.get(uid)
        if resource is None:
            return stream.lost(f"resource {uid} of {datum_id} was never announced")
        point = int(datum["datum_kwargs"].get("point_number", 0))
        per_point = stream.frames_per_point
        if isinstance(resource, Asset) and resource.frames_per_point:
            per_point = resource.frames_per_point
        return stream.locate(resource, point, per_point)

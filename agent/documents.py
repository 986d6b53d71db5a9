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

from event_model import DocumentNames, DocumentRouter

from ringwatch.agent.announced_assets import AnnouncedAssets
from ringwatch.agent.assets import Asset, asset_of_resource, asset_of_stream_resource
from ringwatch.agent.document_bounds import (
    check_frame_count,
    check_lengths,
    check_shape,
    text_of,
    whole_number,
)
from ringwatch.agent.errors import MALFORMED, DocumentError, RingwatchError
from ringwatch.agent.nouns import FrameRef, Locator, LostLocator
from ringwatch.agent.streams import (
    Document,
    Listener,
    OpenRun,
    Stream,
    choose_image,
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

MOST_DESCRIPTORS = 10_000  # of a run; one with more is malformed


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
        self._assets = AnnouncedAssets()
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
        if name not in DocumentNames.__members__:
            raise DocumentError(
                f"{str(name)[:40]!r} is no kind of document: it was left out"
            )
        try:
            self(name, doc)
        except RingwatchError:
            raise
        except MALFORMED as error:
            raise DocumentError(
                f"malformed {name!r} document ({type(error).__name__}: "
                f"{str(error)[:200]}): it was left out; check the device or plan that "
                "made it"
            ) from error

    def lose(self, uid: str) -> None:
        """Note that documents of a run were lost, before the next one that is fed."""
        if uid in self._runs:
            self._runs[uid].torn = True

    def release_held(self, before: float = math.inf) -> None:
        """Let frames go that have waited for their event since ``before``."""
        for stream in self.overdue(before):
            self._release(stream)

    def overdue(self, before: float = math.inf) -> list[Stream]:
        """Streams with frames that have waited for their event since then.

        Measured by the arrival of documents, on ``time.monotonic``: how long the frames
        waited in our own queue does not count.
        """
        streams = list(self._streams.values())  # any thread may ask
        return [s for s in streams if s and s.held and s.held_since <= before]

    def abandon_runs(self, keep: int = 0) -> None:
        """Close the oldest open runs, but for ``keep``: their stop will not come."""
        while len(self._runs) > keep:
            self.abandon(next(iter(self._runs)))

    def abandon(self, uid: str) -> None:
        """Close a run whose stop will not come."""
        reason = "no stop document came"
        self.stop({"run_start": uid, "exit_status": "abandoned", "reason": reason})

    # Documents, in the order in which they come.

    def start(self, doc: Document) -> None:
        """Open a run."""
        uid = text_of(doc["uid"])
        if uid in self._runs:
            raise DocumentError(f"a second start of run {uid}: it was left out")
        self.abandon_runs(keep=MOST_OPEN_RUNS - 1)
        self._listener.run_started(doc)
        self._runs[uid] = OpenRun()

    def descriptor(self, doc: Document) -> None:
        """Note which image of the stream is wanted, if any."""
        uid, run_uid = text_of(doc["uid"]), text_of(doc["run_start"])
        run = self._runs.get(run_uid)
        if run is None:
            raise DocumentError(
                f"descriptor {uid} belongs to run {run_uid}, whose "
                "start never came: subscribe the agent before the run begins"
            )
        if uid in self._streams or len(run.descriptors) >= MOST_DESCRIPTORS:
            raise DocumentError(f"a second descriptor {uid}, or too many of them")
        check_lengths(doc["data_keys"])
        images = image_keys(doc)
        key = choose_image(images, doc, self._detector)
        stream = None if key is None else Stream.from_descriptor(doc, key)
        if stream is not None:
            text_of(stream.name), text_of(stream.data_key)
            check_shape(stream.shape)
        run.images_seen |= set(images)
        run.descriptors.append(uid)
        self._streams[uid] = stream

    def resource(self, doc: Document) -> None:
        """Note where the frames of a classic resource lie."""
        self._remember(doc, asset_of_resource(doc))

    def datum(self, doc: Document) -> Document:
        """Note a classic datum until its event comes."""
        self._assets.add_datum(doc)
        return doc

    def stream_resource(self, doc: Document) -> None:
        """Note where the frames of a stream resource lie."""
        self._remember(doc, asset_of_stream_resource(doc))

    def stream_datum(self, doc: Document) -> None:
        """Announce a range of frames."""
        stream = self._stream_of(doc)
        resource = self._assets.find(text_of(doc["stream_resource"]))
        if stream is None or (
            isinstance(resource, Asset)
            and resource.data_key not in ("", stream.data_key)
        ):
            return
        first_seq = whole_number(doc["seq_nums"]["start"])
        first, end = (whole_number(doc["indices"][n]) for n in ("start", "stop"))
        indices = range(first, end)
        check_frame_count(max(0, end - first) * stream.frames_per_point)
        whole_number(first_seq + len(indices))
        for step, index in enumerate(indices):
            for locator in stream.locate(resource, index, stream.frames_per_point):
                ref = self._ref(stream, first_seq + step, locator)
                self._hold_or_announce(stream, ref)

    def event(self, doc: Document) -> Document:
        """Announce the frames of an event, and let those go that waited for it."""
        stream = self._stream_of(doc)
        if stream is None:
            return doc
        seq_num, when = whole_number(doc["seq_num"]), float(doc["time"])
        readbacks = readbacks_of(doc)
        while stream.held and stream.held[0].seq_num <= seq_num:
            ref = stream.held.popleft()
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
        uid = text_of(doc["run_start"])
        run = self._runs.pop(uid, None)
        if run is None:
            raise DocumentError(f"stop of run {uid}, whose start never came")
        found = False
        for uid in run.descriptors:
            stream = self._streams.pop(uid, None)
            if stream is not None:
                found = True
                self._release(stream)
        self._assets.forget(run.assets)
        if run.images_seen and not found:
            logger.error(
                "detector %r is not in run %s; its images are: %s",
                self._detector,
                doc["run_start"],
                ", ".join(sorted(run.images_seen)),
                extra={"run_uid": doc["run_start"]},
            )
        self._listener.run_stopped(doc)

    # How it is done.

    def _remember(self, doc: Document, asset: Asset | LostLocator) -> None:
        uid, newest = text_of(doc["uid"]), next(reversed(self._runs), "")
        run = self._runs.get(text_of(doc.get("run_start") or newest))
        if run is not None:
            run.assets.append(uid)
        self._assets.add(uid, asset)

    def _stream_of(self, doc: Document) -> Stream | None:
        """Stream of an event or StreamDatum; None where it has no wanted image."""
        uid = doc["descriptor"]
        if uid not in self._streams:
            raise DocumentError(
                f"descriptor {uid:.40} never came, so its events say nothing: they are "
                "left out; subscribe the agent before the run begins"
            )
        return self._streams[uid]

    def _ref(self, stream: Stream, seq_num: int, locator: Locator) -> FrameRef:
        index = self._runs[stream.run_uid].next_index(stream, seq_num)
        return stream.frame(index, seq_num, locator)

    def _hold_or_announce(self, stream: Stream, ref: FrameRef) -> None:
        if not stream.waits_for_event:
            self._listener.frame_announced(ref)
            return
        if not stream.held:
            stream.held_since = self._arrived
        stream.held.append(ref)

    def _release(self, stream: Stream) -> None:
        while stream.held:  # it counts as held until it is announced
            try:
                self._listener.frame_announced(stream.held[0])
            finally:
                stream.held.popleft()

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
        resource, point = self._assets.take(datum_id)
        per_point = stream.frames_per_point
        if isinstance(resource, Asset) and resource.frames_per_point:
            per_point = resource.frames_per_point
        check_frame_count(per_point)
        return stream.locate(resource, point, per_point)

"""The area detector that streams: StreamResource and StreamDatum, step and fly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar, cast

from bluesky.utils import NoReplayAllowed
from event_model import compose_stream_resource
from ophyd import Component, Kind, Signal
from ophyd.status import DeviceStatus

from ringwatch.simulated_beamline.area_detector import (
    GRACE_S,
    AreaDetector,
    settle,
)
from ringwatch.simulated_beamline.frame_file import FRAMES, FrameFile
from ringwatch.simulated_beamline.readout import Readout

__all__ = ["StreamDetector"]

Document = dict[str, Any]


class StreamDetector(AreaDetector):
    """Frames are announced by StreamDatum; events lack the frame's key.

    In a step scan each frame gets a StreamDatum of its own. A fly scan
    (``kickoff``, ``complete``, ``collect``) takes ``num_frames`` frames and announces
    them in ranges, without events.
    """

    num_frames = Component(Signal, value=20, kind=Kind.config)
    external: ClassVar[str] = "STREAM:"

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self._flying = False
        self._landed: DeviceStatus | None = None
        self._may_run = threading.Event()
        self._stopping = threading.Event()

    # -- staging ------------------------------------------------------------------
    def _open(self) -> None:
        self._frame_file = FrameFile(self.folder, self.source.shape, self.source.dtype)
        self._bundle = compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost{self._frame_file.path.as_posix()}",
            data_key=self.data_key,
            parameters={
                "dataset": FRAMES,
                "chunk_shape": [1, *self.source.shape],
                "swmr": True,
            },
        )
        self._resource_doc: Document = dict(self._bundle.stream_resource_doc)
        self._resource_doc.pop("run_start", None)
        self._handed_over: list[Document] = []
        self._announced = 0
        self._flying = False
        self._landed = None
        self._stopping.clear()
        self._may_run.set()

    def _close(self) -> None:
        self._frame_file.close()

    def unstage(self) -> list[object]:
        """End a flight after its running frame, then close the series."""
        self._stopping.set()
        self._may_run.set()
        return super().unstage()

    def _keep(self, readout: Readout) -> None:
        self._frame_file.append(readout)

    # -- flying -------------------------------------------------------------------
    def kickoff(self) -> DeviceStatus:
        """Start to take ``num_frames`` frames.

        Raises
        ------
        RuntimeError
            If the detector is not staged, or flies already.
        """
        if self._flying:
            msg = (
                f"{self.name} flies already; "
                "wait for complete() before the next kickoff()."
            )
            raise RuntimeError(msg)
        number = int(self.num_frames.get())
        duration = number * (float(self.exposure_time.get()) + 1.0)
        landed = DeviceStatus(self, timeout=duration + GRACE_S)
        self._landed = landed
        self._flying = True
        future = self._armed().submit(self._fly, number)
        self._exposing = future
        future.add_done_callback(lambda done: settle(landed, done))
        started = DeviceStatus(self)
        started.set_finished()
        return started

    def _fly(self, number: int) -> None:
        try:
            for _ in range(number):
                self._may_run.wait()
                if self._stopping.is_set():
                    break
                self._expose()
        finally:
            self._flying = False

    def complete(self) -> DeviceStatus:
        """Status of the flight: done when its last frame is written.

        Raises
        ------
        RuntimeError
            If the detector was not kicked off in this series.
        """
        if self._landed is None:
            msg = f"{self.name} does not fly; call kickoff() before complete()."
            raise RuntimeError(msg)
        return self._landed

    def stop(self, *, success: bool = False) -> None:
        """End a flight after its running frame; what was taken stays."""
        self._stopping.set()
        self._may_run.set()
        if self._flying and self._exposing is not None:
            self._exposing.exception(self.exposure_time.get() + GRACE_S)

    def pause(self) -> None:
        """Hold a flight after its running frame, or finish a step's exposure.

        Raises
        ------
        NoReplayAllowed
            In a flight: it goes on where it was, and must not be kicked off again.
        """
        if not self._flying:
            super().pause()
            return
        self._may_run.clear()
        raise NoReplayAllowed

    def resume(self) -> None:
        """Let a held flight go on."""
        self._may_run.set()
        super().resume()

    # -- documents ----------------------------------------------------------------
    def describe_collect(self) -> Document:
        """The frame alone: a flight has no events to carry scalars."""
        return self._describe_frames()

    def get_index(self) -> int:
        """Frames written so far in this series."""
        return self._frame_file.length

    def collect_asset_docs(
        self, index: int | None = None
    ) -> Iterator[tuple[str, Document]]:
        """Announce the frames written since the last call, up to ``index``.

        The RunEngine refuses a StreamDatum of more than one frame in a step scan, but a
        step interrupted by a pause leaves two: each gets its own. What the RunEngine
        collected and then forgot (a pause between ``read`` and ``save``) is handed over
        again; it fills in ``run_start`` and ``descriptor`` only when it really emits.
        """
        written = self._frame_file.length
        stop = written if index is None else min(index, written)
        forgotten = [doc for doc in self._handed_over if not doc["descriptor"]]
        fresh = [self._datum(*r) for r in self._ranges(self._announced, stop)]
        self._announced = max(stop, self._announced)
        self._handed_over = forgotten + fresh
        if not self._handed_over:
            return
        if "run_start" not in self._resource_doc:
            yield "stream_resource", self._resource_doc
        for doc in self._handed_over:
            yield "stream_datum", doc

    def _ranges(self, start: int, stop: int) -> list[tuple[int, int]]:
        in_flight_plan = self._landed is not None
        if in_flight_plan and stop > start:
            return [(start, stop)]
        return [(i, i + 1) for i in range(start, stop)]

    def _datum(self, start: int, stop: int) -> Document:
        datum = self._bundle.compose_stream_datum(
            indices={"start": start, "stop": stop}
        )
        return cast(Document, dict(datum))

"""What an agent would make of documents, live and replayed, for tests of replay."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.documents import Announcer
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef
from ringwatch.simulated_beamline.area_detector import DatumDetector, InlineDetector
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.stream_detector import StreamDetector

__all__ = ["STYLES", "Frames", "detector_of", "live", "pausing", "replayed"]

STYLES = {"inline": InlineDetector, "datum": DatumDetector, "stream": StreamDetector}
SHAPE = (12, 10)
# Frame numbers differ in every pixel, so a frame taken for another cannot go unseen.
FRAMES = [np.full(SHAPE, 100 + n, dtype=np.uint16) for n in range(60)]


class Frames:
    """What an agent would make of documents: references, with the pixels read."""

    def __init__(self, detector: str = "det_image") -> None:
        self.refs: list[FrameRef] = []
        self.pixels: list[int] = []
        self.stops: list[dict[str, Any]] = []
        self._reader = FrameReader()
        self.announcer = Announcer(self, detector=detector)

    def run_started(self, start: dict[str, Any]) -> None:
        pass

    def frame_announced(self, ref: FrameRef) -> None:
        self.refs.append(ref)
        pixels = self._reader.read(ref)
        self.pixels.append(zlib.crc32(np.ascontiguousarray(pixels).tobytes()))

    def run_stopped(self, stop: dict[str, Any]) -> None:
        self.stops.append(stop)

    def feed(self, name: str, doc: dict[str, Any]) -> None:
        self.announcer.feed(name, doc)

    def told(self, *, by_event: bool = True) -> list[tuple[Any, ...]]:
        """All that a verdict may depend on."""
        return [
            (
                ref.run_uid,
                ref.stream,
                ref.data_key,
                ref.index,
                ref.seq_num,
                ref.shape,
                crc,
                (ref.time, ref.readbacks) if by_event else None,
            )
            for ref, crc in zip(self.refs, self.pixels, strict=True)
        ]


def detector_of(style: str, folder: Path) -> Any:
    return STYLES[style](
        name="det", source=ListedFrames(FRAMES), folder=folder, exposure_time=0.001
    )


def live(
    engine: RunEngine, raw: Any, plan: Any, *, pauses: int = 0, batch_size: int = 10
) -> tuple[Any, Frames, list[str]]:
    """Run a plan, written to Tiled and seen live; the stored run, frames, names."""
    seen, names, uids = Frames(), [], []
    engine.subscribe(TiledWriter(raw, batch_size=batch_size))
    engine.subscribe(seen.feed)
    engine.subscribe(lambda name, doc: names.append(name))
    engine.subscribe(lambda name, doc: uids.append(doc["uid"]), "start")
    if pauses:
        with pytest.raises(RunEngineInterrupted):
            engine(plan)
        for _ in range(pauses - 1):
            with pytest.raises(RunEngineInterrupted):
                engine.resume()
        engine.resume()
    else:
        engine(plan)
    return raw[uids[-1]], seen, names


def replayed(
    documents: Iterator[tuple[str, dict[str, Any]]],
) -> tuple[Frames, list[str]]:
    seen, names = Frames(), []
    for name, doc in documents:
        names.append(name)
        seen.feed(name, doc)
    return seen, names


def pausing(plan: Any, command: str, *numbers: int) -> Any:
    """The plan with a pause before the n-th message of a kind."""
    count = 0
    for msg in plan:
        if msg.command == command:
            count += 1
            if count in numbers:
                yield from bps.pause()
        yield msg

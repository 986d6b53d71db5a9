"""What the announcer remembers of open runs and streams, and pixels inside events."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ringwatch.agent.assets import Asset
from ringwatch.agent.document_bounds import MOST_FRAMES_AT_ONCE, text_of
from ringwatch.agent.nouns import FrameRef, Locator, LostLocator, MemoryLocator

__all__ = [
    "Document",
    "OpenRun",
    "Stream",
    "choose_image",
    "image_keys",
    "locate_pixels",
    "readbacks_of",
]

Document = dict[str, Any]


class Listener(Protocol):
    """Who is told of runs and frames, in the order of the documents."""

    def run_started(self, start: Document) -> None:
        """Take the start document of a run."""

    def frame_announced(self, ref: FrameRef) -> None:
        """Take one frame."""

    def run_stopped(self, stop: Document) -> None:
        """Take the stop document; every frame of the run was announced."""


@dataclass(slots=True)
class Stream:
    """What one descriptor says of the detector.

    Attributes
    ----------
    shape : tuple of int
        As announced, (..., y, x); 0 where the descriptor leaves a length open.
    inside_events : bool
        Whether its frames come with events (their pixels, or a datum), not apart.
    waits_for_event : bool
        Whether frames announced apart wait for the event with their readbacks.
    held : deque of FrameRef
        Those that wait, in order; ``held_since`` is the arrival of the oldest.
    """

    run_uid: str
    name: str
    data_key: str
    shape: tuple[int, ...]
    inside_events: bool
    waits_for_event: bool
    held: deque[FrameRef] = field(default_factory=deque)
    held_since: float = 0.0

    @classmethod
    def from_descriptor(cls, descriptor: Document, data_key: str) -> Stream:
        """Read what a descriptor says of one of its images."""
        data_keys = descriptor["data_keys"]
        said = data_keys[data_key]
        apart = str(said.get("external", "")).startswith("STREAM")
        numbers = any(k["dtype"] in ("number", "integer") for k in data_keys.values())
        return cls(
            run_uid=descriptor["run_start"],
            name=descriptor["name"],
            data_key=data_key,
            shape=tuple(int(n or 0) for n in said["shape"]),
            inside_events=not apart,
            waits_for_event=apart and numbers,
        )

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Announced (y, x); (0, 0) where the descriptor leaves one open."""
        rows, columns = self.shape[-2:]
        return (rows, columns) if rows and columns else (0, 0)

    @property
    def frames_per_point(self) -> int:
        """Frames of one event or stream index, at least one."""
        return max(1, math.prod(self.shape[:-2]))

    def frame(self, index: int, seq_num: int, locator: Locator) -> FrameRef:
        """Refer to one frame; when it was taken only its event says."""
        return FrameRef(
            run_uid=self.run_uid,
            stream=self.name,
            data_key=self.data_key,
            index=index,
            seq_num=seq_num,
            time=math.nan,
            locator=locator,
            shape=self.frame_shape,
        )

    def lost(self, reason: str, *, shed: bool = False) -> list[Locator]:
        """Locators of the frames of one point whose pixels cannot be had."""
        return [LostLocator(reason=reason, shed=shed)] * self.frames_per_point

    def locate(
        self, resource: Asset | LostLocator, point: int, per_point: int
    ) -> list[Locator]:
        """Locate the ``per_point`` frames of one point of a resource."""
        if isinstance(resource, LostLocator):
            return self.lost(resource.reason)
        return [resource.locate(point, per_point, n) for n in range(per_point)]


@dataclass(slots=True)
class OpenRun:
    """What is known of a run that has not stopped.

    ``torn`` says that documents of it were lost: its frames are no longer counted one
    by one but by the numbers of their events.
    """

    descriptors: list[str] = field(default_factory=list)
    images_seen: set[str] = field(default_factory=set)
    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    assets: list[str] = field(default_factory=list)
    torn: bool = False

    def next_index(self, stream: Stream, seq_num: int) -> int:
        """Number the next frame of a stream within the run, from 0."""
        key = stream.name, stream.data_key
        index = self.counters.get(key, 0)
        if self.torn:  # a rewound event never came twice here: its number may say less
            numbered = (seq_num - 1) * stream.frames_per_point
            if index < numbered < index + MOST_FRAMES_AT_ONCE:
                index = numbered
        self.counters[key] = index + 1
        return index


def choose_image(
    images: list[str], descriptor: Document, detector: str | None
) -> str | None:
    """The image that is wanted: ``detector``, one of that device, or the first."""
    if detector is None:
        return images[0] if images else None
    if detector in images:
        return detector
    owned = descriptor.get("object_keys", {}).get(detector, [])
    return next((key for key in images if key in owned), None)


def image_keys(descriptor: Document) -> list[str]:
    """Data keys of a descriptor that hold images, in their order.

    One whose name is no text is left out, for nobody can ask for it.

    Raises
    ------
    TypeError
        Where there are only such.
    """
    images = [
        key
        for key, data_key in descriptor["data_keys"].items()
        if sum(1 for n in data_key.get("shape") or [] if n is None or n > 1) >= 2
    ]
    named = [key for key in images if isinstance(key, str)]
    if images and not named:
        text_of(images[0])  # its frames are lost, and not in silence
    return named


def locate_pixels(value: Any) -> list[Locator]:
    """Locate the frames of an event that carries its pixels: (..., y, x)."""
    try:
        pixels = np.asarray(value)
    except ValueError as error:
        return [LostLocator(reason=f"the event holds no image: {error}")]
    if pixels.ndim < 2 or not pixels.size or pixels.dtype.kind not in "uifb":
        shape = f"shape {pixels.shape} and type {pixels.dtype}"
        return [LostLocator(reason=f"the event holds no image but an array of {shape}")]
    images = pixels.reshape(-1, *pixels.shape[-2:])
    if len(images) > MOST_FRAMES_AT_ONCE:
        return [LostLocator(reason=f"the event holds {len(images)} images: too many")]
    return [MemoryLocator(frame=image) for image in images]


def readbacks_of(event: Document) -> dict[str, float]:
    """Scalar numbers of an event, by data key; NaN where one is not finite.

    No device reads infinity: it is how overflows, divisions by zero and disconnected
    channels come through. Nothing is known of such a value, which is what NaN says, and
    NaN is what everybody who uses readbacks looks out for.
    """
    return {
        key: _finite(value)
        for key, value in event["data"].items()
        if isinstance(value, bool | int | float | np.number) and isinstance(key, str)
    }


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.nan
    return number if math.isfinite(number) else math.nan

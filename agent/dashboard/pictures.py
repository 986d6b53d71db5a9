"""Pictures of frames: of the newest, and of any whose pixels can still be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.dashboard.message import Parts
from ringwatch.agent.dashboard.preview import (
    cake_picture,
    plain_cake,
    preview,
)
from ringwatch.agent.errors import FrameReadError, RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.frames_seen import FramesSeen, Place
from ringwatch.agent.geometry import MASKED_CELL
from ringwatch.agent.nouns import FrameRef

__all__ = ["Found", "Picture", "Pictures"]

_PATIENCE_S = 0.5  # for a file that is not there: somebody has clicked and waits

Found = FrameRef | NDArray[np.generic]
"""Where the pixels of a frame are, or the pixels (y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A frame for the page.

    Attributes
    ----------
    place : Place
    header : dict
        What the page has to know of it.
    parts : Parts
        ``preview`` (h, w) and ``cake`` (32, m), uint8.
    """

    place: Place
    header: dict[str, Any]
    parts: Parts


class Pictures:
    """Makes pictures, in one thread.

    Parameters
    ----------
    analysis : Analysis
        Whose geometry and mask count.
    seen : FramesSeen
    """

    def __init__(self, analysis: Analysis, seen: FramesSeen) -> None:
        settings = analysis.settings
        self._analysis, self._seen = analysis, seen
        self._reader = FrameReader(
            roots=settings.data_roots,
            max_frame_bytes=settings.max_frame_bytes,
            timeout_s=_PATIENCE_S,
        )
        self._masks: dict[tuple[int, int], NDArray[np.bool_] | None] = {}
        self._last: Place | None = None

    def newest(self) -> Picture | None:
        """The newest frame; None where it is still the same."""
        seen = self._seen.newest
        if seen is None or _place_of(seen.ref) == self._last:
            return None
        self._last = _place_of(seen.ref)
        cake = cake_picture(seen.cake.total, seen.cake.norm)
        return self._picture(self._last, seen.pixels, cake)

    def find(self, place: Place) -> Found | None:
        """Where the pixels of a frame are, as far as memory knows; in any thread."""
        newest = self._seen.newest
        if newest is not None and _place_of(newest.ref) == place:
            return newest.pixels
        locator = self._seen.find(place)
        return None if locator is None else _ref_at(place, locator)

    def of(self, place: Place, found: Found) -> Picture:
        """Any frame, read again from where its pixels are.

        Raises
        ------
        FrameReadError
            Where they are gone, or may not be read.
        """
        pixels = self._read(found) if isinstance(found, FrameRef) else found
        shape = (int(pixels.shape[0]), int(pixels.shape[1]))
        binning = self._analysis.reduction(shape).binning
        cake = cake_picture(*plain_cake(pixels, binning))
        return self._picture(place, pixels, cake)

    def close(self) -> None:
        """Close all files."""
        self._reader.close()

    def _read(self, ref: FrameRef) -> NDArray[np.generic]:
        try:
            pixels = self._reader.read(ref)
        finally:
            self._reader.close()
        if pixels.ndim != 2:
            raise FrameReadError(f"frame {ref.index} is no image: {pixels.shape}")
        return pixels

    def _picture(
        self, place: Place, pixels: NDArray[np.generic], cake: NDArray[np.uint8]
    ) -> Picture:
        small = preview(pixels, self._mask((pixels.shape[0], pixels.shape[1])))
        header = {
            "index": place[3],
            "shape": list(pixels.shape),
            "low": small.low,
            "high": small.high,
            "block": small.block,
        }
        parts = {"preview": small.levels, "cake": cake}
        return Picture(place=place, header=header, parts=parts)

    def _mask(self, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        if shape not in self._masks:
            try:
                cell = self._analysis.reduction(shape).binning.cell
            except RingwatchError:  # of another detector: shown as it is
                self._masks[shape] = None
            else:
                self._masks[shape] = (cell == MASKED_CELL).reshape(shape)
        return self._masks[shape]


def _place_of(ref: FrameRef) -> Place:
    return ref.run_uid, ref.stream, ref.data_key, ref.index


def _ref_at(place: Place, locator: Any) -> FrameRef:
    uid, stream, data_key, index = place
    return FrameRef(
        run_uid=uid,
        stream=stream,
        data_key=data_key,
        index=index,
        seq_num=index + 1,
        time=0.0,
        locator=locator,
    )

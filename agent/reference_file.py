"""Frames that later frames are compared with, kept in a file.

The file holds the cakes of a few sound frames, not what was computed from them: so a
later version computes the same from them as from a frame of today.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringwatch.agent.errors import GeometryError, SettingsError
from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Cake, FrameRef
from ringwatch.agent.quality import FrameFacts

__all__ = ["MOST_FRAMES", "load_reference", "save_reference"]

MOST_FRAMES = 64
_KIND = "ringwatch reference 1"
_MAX_BYTES = 1 << 28
_ARRAYS = ("pixels", "total", "total_sq", "maximum", "zeros", "saturated", "norm")
_NUMBERS = ("negative", "non_finite", "marked", "masked", "masked_total", "checksum")


def save_reference(path: Path, frames: Sequence[FrameFacts], binning: Binning) -> None:
    """Write the cakes of sound frames.

    Parameters
    ----------
    path : Path
        ``.npz``; overwritten.
    frames : sequence of FrameFacts
        One to 64, all with the same geometry.
    binning : Binning
        With a geometry.

    Raises
    ------
    SettingsError
        Without a frame, with too many, without a geometry, or where the file cannot be
        written.
    """
    if not binning.has_geometry:
        raise SettingsError("a reference needs a geometry: give --poni")
    if not 0 < len(frames) <= MOST_FRAMES:
        raise SettingsError(
            f"a reference is made of 1 to {MOST_FRAMES} sound frames, these are "
            f"{len(frames)}"
        )
    about = {"kind": _KIND, "frames": [_described(facts) for facts in frames]}
    columns: dict[str, Any] = {
        name: np.stack([getattr(facts.cake, name) for facts in frames])
        for name in (*_ARRAYS, "dark")
    }
    try:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                about=np.frombuffer(json.dumps(about).encode(), np.uint8),
                q=binning.q,
                **columns,
            )
    except OSError as error:
        raise SettingsError(f"cannot write the reference {path}: {error}") from error


def load_reference(path: Path, binning: Binning) -> list[FrameFacts]:
    """Read the frames of a reference for frames of this geometry.

    Raises
    ------
    SettingsError
        Where the file is missing or no reference.
    GeometryError
        Where it was made with another geometry, mask or number of bins.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"{path} is larger than {_MAX_BYTES} bytes")
        # numpy leaves a file open that it opened itself and finds torn.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = json.loads(bytes(stored["about"]))
            if about.get("kind") != _KIND:
                raise ValueError(f"its kind is {about.get('kind')!r}")
            q = stored["q"]
            columns = {name: stored[name] for name in (*_ARRAYS, "dark")}
            described = about["frames"]
    except OSError as error:
        raise SettingsError(f"no reference at {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SettingsError(
            f"{path} is no reference of Ringwatch ({error}): make one with "
            "`ringwatch classify FRAMES... --poni P --save-reference FILE`"
        ) from error
    shape = (len(described), *binning.pixels.shape)
    same = q.shape == binning.q.shape and np.allclose(q, binning.q, rtol=1e-9)
    if not same or any(column.shape != shape for column in columns.values()):
        raise GeometryError(
            f"the reference {path} was made with another geometry: make it again with "
            "the .poni and mask of today"
        )
    return [
        _facts(described[i], {name: column[i] for name, column in columns.items()})
        for i in range(shape[0])
    ]


def _described(facts: FrameFacts) -> dict[str, Any]:
    return {
        "readbacks": facts.ref.readbacks,
        "dtype": facts.dtype.str,
        "dark_frames": facts.dark_frames,
        "shape": list(facts.cake.shape),
        **{name: getattr(facts.cake, name) for name in _NUMBERS},
    }


def _facts(described: dict[str, Any], columns: dict[str, Any]) -> FrameFacts:
    rows, row_length = described["shape"]
    cake = Cake(
        **columns,
        **{name: described[name] for name in _NUMBERS},
        shape=(rows, row_length),
    )
    ref = FrameRef.without_pixels("reference", 0, described["readbacks"])
    return FrameFacts(
        ref=ref,
        cake=cake,
        pattern=None,
        dtype=np.dtype(described["dtype"]),
        dark_frames=described["dark_frames"],
    )

"""Frames that later frames are compared with, kept in a file.

The file holds the cakes of a few sound frames, not what was computed from them: so a
later version computes the same from them as from a frame of today.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ringwatch.agent.errors import GeometryError, SettingsError
from ringwatch.agent.geometry import MAX_Q_BINS, Binning
from ringwatch.agent.nouns import SECTORS, Cake, FrameRef
from ringwatch.agent.quality import FrameFacts

__all__ = ["MOST_FRAMES", "load_reference", "save_reference"]

MOST_FRAMES = 64
_KIND = "ringwatch reference 2"
_MAX_BYTES = 1 << 28
_MAX_COLUMN = MOST_FRAMES * MAX_Q_BINS * SECTORS * 8 + 4096  # bytes, with a header
_MAX_ABOUT = 1 << 24
_SAME = 1e-5  # relative; weights are float32
_ARRAYS = ("pixels", "total", "total_sq", "maximum", "zeros", "saturated", "norm")
_COUNTS = ("negative", "non_finite", "marked", "masked", "checksum")
_NUMBERS = (*_COUNTS, "masked_total")


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
    about = {
        "kind": _KIND,
        "cells": _cells(binning),
        "frames": [_described(facts) for facts in frames],
    }
    columns: dict[str, Any] = {
        name: np.stack([getattr(facts.cake, name) for facts in frames])
        for name in (*_ARRAYS, "dark")
    }
    columns["weights"] = binning.norm
    try:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                about=np.frombuffer(json.dumps(about).encode(), np.uint8),
                **columns,
            )
    except OSError as error:
        raise SettingsError(f"cannot write the reference {path}: {error}") from error


def load_reference(path: Path, binning: Binning) -> list[FrameFacts]:
    """Read the frames of a reference for frames of this geometry.

    Raises
    ------
    SettingsError
        Where the file is missing, is no reference, or is larger than one can be.
    GeometryError
        Where it was made with another geometry, mask or number of bins.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"{path} is larger than {_MAX_BYTES} bytes")
        # numpy leaves a file open that it opened itself and finds torn.
        with path.open("rb") as file:
            cells, weights, columns, frames = _read(file)
    except OSError as error:
        raise SettingsError(f"no reference at {path}: {error.strerror}") from error
    except _NO_REFERENCE as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SettingsError(
            f"{path} is no reference of Ringwatch ({why}): make one with "
            "`ringwatch classify FRAMES... --poni P --save-reference FILE`"
        ) from error
    shape = (len(frames), *binning.pixels.shape)
    # The cells as a hash; the weights by their sums, as bits vary with the machine.
    same = cells == _cells(binning) and columns["norm"].shape == shape
    if not (same and _same_weights(weights, columns, binning)):
        raise GeometryError(
            f"the reference {path} was made with another geometry or mask: its pixels "
            "belong to other cells or have other weights; give the .poni and mask that "
            "it was made with, or make it again with `ringwatch classify FRAMES... "
            "--poni P --mask M --save-reference FILE`"
        )
    return frames


_NO_REFERENCE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,  # a list where a table is wanted
    OverflowError,
    EOFError,
    RuntimeError,  # encrypted, or compressed as nobody can read
    zipfile.BadZipFile,
    zlib.error,
)


def _same_weights(
    weights: NDArray[Any] | None, columns: dict[str, NDArray[Any]], binning: Binning
) -> bool:
    """Whether pixels weigh the same as where the reference was made.

    An older file has only what the frames' own usable pixels weigh: that says something
    where a detector marked none of them.
    """
    if weights is not None:
        return weights.shape == binning.norm.shape and np.allclose(
            weights, binning.norm, rtol=_SAME
        )
    whole = columns["pixels"] == binning.pixels
    norm = np.broadcast_to(binning.norm, whole.shape)
    return np.allclose(columns["norm"][whole], norm[whole], rtol=_SAME)


def _cells(binning: Binning) -> str:
    """Hash of which pixel belongs to which cell."""
    digest = hashlib.blake2b(repr(tuple(binning.shape)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(binning.cell, "<u2").tobytes())
    return digest.hexdigest()


def _read(
    file: BinaryIO,
) -> tuple[str, NDArray[Any] | None, dict[str, NDArray[Any]], list[FrameFacts]]:
    """Hash of the cells, their weights, columns and frames of a file.

    Errors are those of ``_NO_REFERENCE``.
    """
    names = (*_ARRAYS, "dark")
    with zipfile.ZipFile(file) as archive:
        _check_size(archive, "about", _MAX_ABOUT)
        has_weights = "weights.npy" in archive.namelist()
        for name in (*names, "weights") if has_weights else names:
            _check_size(archive, name, _MAX_COLUMN)
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        about = json.loads(bytes(stored["about"]))
        if not isinstance(about, dict) or about.get("kind") != _KIND:
            kind = about.get("kind") if isinstance(about, dict) else about
            raise ValueError(f"its kind is {kind!r:.60}, not {_KIND!r}")
        columns = {name: stored[name] for name in names}
        weights = stored["weights"] if has_weights else None
    if weights is not None and weights.dtype.kind != "f":
        raise ValueError(f"weights has {weights.shape} {weights.dtype}")
    described = about["frames"]
    if not isinstance(described, list) or not 0 < len(described) <= MOST_FRAMES:
        raise ValueError(f"it does not hold 1 to {MOST_FRAMES} frames")
    shape = (len(described), *columns["pixels"].shape[1:])
    for name, column in columns.items():
        if column.shape != shape or column.ndim != 3 or column.dtype.kind not in "iuf":
            raise ValueError(f"{name} has {column.shape} {column.dtype}")
        if not np.isfinite(column).all():
            raise ValueError(f"{name} holds a value that is no finite number")
    frames = [
        _facts(one, {name: column[i] for name, column in columns.items()})
        for i, one in enumerate(described)
    ]
    return str(about["cells"]), weights, columns, frames


def _check_size(archive: zipfile.ZipFile, name: str, most: int) -> None:
    """Refuse an array before it is unpacked, or claims memory that nothing fills."""
    size = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as member:
        version = npy.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} is an array of format {version}")
        shape, _, dtype = npy.read_array_header_1_0(member)
        claimed = math.prod(shape) * dtype.itemsize
    if max(size, claimed) > most:
        raise ValueError(
            f"{name} unpacks to {max(size, claimed)} bytes, {most} are the most"
        )


def _described(facts: FrameFacts) -> dict[str, Any]:
    return {
        "readbacks": facts.ref.readbacks,
        "dtype": facts.dtype.str,
        "dark_frames": facts.dark_frames,
        "shape": list(facts.cake.shape),
        **{name: getattr(facts.cake, name) for name in _NUMBERS},
    }


def _facts(described: Any, columns: dict[str, Any]) -> FrameFacts:
    rows, row_length = (int(n) for n in described["shape"])
    readbacks = {str(k): float(v) for k, v in described["readbacks"].items()}
    counts: dict[str, Any] = {name: int(described[name]) for name in _COUNTS}
    cake = Cake(
        **columns,
        **counts,
        masked_total=float(described["masked_total"]),
        shape=(rows, row_length),
    )
    return FrameFacts(
        ref=FrameRef.without_pixels("reference", 0, readbacks),
        cake=cake,
        pattern=None,
        dtype=np.dtype(str(described["dtype"])),
        dark_frames=int(described["dark_frames"]),
    )

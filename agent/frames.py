"""From a frame reference to pixels: memory, growing HDF5 files, single images."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.assets import HDF5
from ringwatch.agent.errors import (
    FrameReadError,
    FrameShapeError,
    MissingFrameError,
)
from ringwatch.agent.images import read_image
from ringwatch.agent.nouns import FileLocator, FrameRef, LostLocator, MemoryLocator

__all__ = ["FrameReader"]

_OPEN_FILES = 8
_POLL_S = 0.02
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_FLAG = 0x04

if not hdf5plugin.PLUGIN_PATH:  # its import registers bitshuffle-LZ4 and the others
    raise ImportError("hdf5plugin brings no HDF5 filters: reinstall it")


class FrameReader:
    """Reads the pixels of frames; keeps a few files open. One thread at a time.

    Parameters
    ----------
    roots : tuple of Path
        Files are read only below these folders, links resolved.
    max_frame_bytes : int
        Frames that announce more are not read.
    timeout_s : float
        How long to wait for a file or frame that is announced but not there yet.
    """

    def __init__(
        self,
        *,
        roots: tuple[Path, ...] = (Path("/"),),
        max_frame_bytes: int = 1 << 29,
        timeout_s: float = 3.0,
    ) -> None:
        self._roots = tuple(root.resolve() for root in roots)
        self._max_frame_bytes = max_frame_bytes
        self._timeout_s = timeout_s
        self._open: OrderedDict[Path, h5py.File] = OrderedDict()
        self._given_up: set[Path] = set()

    def read(self, ref: FrameRef) -> NDArray[np.generic]:
        """Pixels of a frame, shape (y, x).

        Raises
        ------
        MissingFrameError
            Where the file or the frame in it did not appear in time.
        FrameShapeError
            Where it is not the image that was announced.
        FrameReadError
            Where it cannot be read, is too large, or lies outside the roots.
        """
        locator = ref.locator
        if isinstance(locator, LostLocator):
            raise FrameReadError(locator.reason)
        if isinstance(locator, MemoryLocator):
            frame = locator.frame
        elif locator.mimetype == HDF5:
            frame = self._read_hdf5(locator)
        else:
            frame = self._read_image(locator)
        if ref.shape not in ((0, 0), frame.shape):
            raise FrameShapeError(
                f"the frame has shape {frame.shape} (y, x) where {ref.shape} was "
                "announced"
            )
        return frame

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()
        self._given_up.clear()

    def _allowed(self, path: Path) -> Path:
        resolved = path.resolve()
        if not any(resolved.is_relative_to(root) for root in self._roots):
            roots = ", ".join(str(root) for root in self._roots)
            raise FrameReadError(
                f"{resolved} lies outside the allowed folders ({roots}): add its "
                "folder to data_roots"
            )
        return resolved

    def _read_hdf5(self, locator: FileLocator) -> NDArray[np.generic]:
        path = self._allowed(locator.path)
        # A file that failed once is not waited for again, frame after frame.
        patience = 0.0 if path in self._given_up else self._timeout_s
        deadline = time.monotonic() + patience
        while True:
            try:
                frame = self._slice(path, locator)
            except (FrameShapeError, _TooLargeError):
                raise
            except (OSError, KeyError, RuntimeError, MissingFrameError) as error:
                # The writer may not have flushed yet: look again with a fresh handle.
                self._forget(path)
                if time.monotonic() >= deadline:
                    self._given_up.add(path)
                    raise _in_words(error, path, locator) from error
            else:
                self._given_up.discard(path)
                return frame
            time.sleep(_POLL_S)

    def _slice(self, path: Path, locator: FileLocator) -> NDArray[np.generic]:
        dataset = self._file(path)[locator.dataset]
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim not in (2, 3, 4):
            raise FrameShapeError(
                f"{path}: {locator.dataset!r} is no dataset of images"
            )
        size = int(np.prod(dataset.shape[-2:])) * dataset.dtype.itemsize
        if (
            size > self._max_frame_bytes
            or _chunk_bytes(dataset) > self._max_frame_bytes
        ):
            raise _TooLargeError(
                f"{path}: a frame of {size} bytes is more than the "
                f"{self._max_frame_bytes} allowed: raise max_frame_bytes"
            )
        if dataset.ndim == 2:
            return np.asarray(dataset[()])
        if locator.stop > dataset.shape[0]:
            dataset.refresh()  # not dataset.id: h5py caches the shape
        if locator.stop > dataset.shape[0]:
            raise MissingFrameError(
                f"{path}: frame {locator.start} was announced but the file holds "
                f"{dataset.shape[0]}"
            )
        images = np.asarray(dataset[locator.start : locator.stop])
        return images.reshape(-1, *images.shape[-2:])[locator.offset]

    def _file(self, path: Path) -> h5py.File:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if _is_written_for_swmr(path):
            file = h5py.File(path, "r", libver="latest", swmr=True)
        else:
            file = h5py.File(path, "r", locking=False)
        self._open[path] = file
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file

    def _forget(self, path: Path) -> None:
        file = self._open.pop(path, None)
        if file is not None:
            file.close()

    def _read_image(self, locator: FileLocator) -> NDArray[np.generic]:
        path = self._allowed(locator.path)
        _wait_until(path.is_file, self._timeout_s)
        if path.is_file() and path.stat().st_size > self._max_frame_bytes:
            raise _TooLargeError(f"{path} is larger than max_frame_bytes allows")
        return read_image(path)


class _TooLargeError(FrameReadError):
    """Waiting does not help."""


def _is_written_for_swmr(path: Path) -> bool:
    """Whether a writer has the file open for single-writer-multiple-readers.

    Read from the superblock (HDF5 File Format Specification 3.0, section II.A), because
    HDF5 itself never returns from opening a truncated file in SWMR mode, and holds the
    interpreter meanwhile.

    Raises
    ------
    OSError
        Where the file is shorter than its superblock says.
    """
    with path.open("rb") as file:
        head = file.read(48)
        size = file.seek(0, 2)
    if head[:8] != _HDF5_SIGNATURE or len(head) < 48 or head[8] not in (2, 3):
        return False  # older formats know no SWMR; HDF5 checks their length itself
    width = head[9]
    end = int.from_bytes(head[12 + 2 * width : 12 + 3 * width], "little")
    if size < end:
        raise OSError(f"truncated: {size} bytes of {end}")
    return bool(head[11] & _SWMR_FLAG)


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    return int(np.prod(dataset.chunks or (0,))) * int(dataset.dtype.itemsize)


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _in_words(error: Exception, path: Path, locator: FileLocator) -> FrameReadError:
    if isinstance(error, MissingFrameError):
        return error
    if isinstance(error, KeyError):
        return FrameReadError(f"{path} has no dataset {locator.dataset!r}")
    if not path.is_file():
        return MissingFrameError(f"{path} is not there")
    return FrameReadError(
        f"{path}: frame {locator.start} cannot be read ({error}): the file is "
        "truncated, damaged, or held open by a writer without SWMR"
    )

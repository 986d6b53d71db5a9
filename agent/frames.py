"""From a frame reference to pixels: memory, growing HDF5 files, single images."""

from __future__ import annotations

import math
import time
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.assets import HDF5
from ringwatch.agent.errors import (
    ForbiddenFrameError,
    FrameReadError,
    FrameShapeError,
    MissingFrameError,
)
from ringwatch.agent.files.block_headers import count_blocks
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.files.hdf5_files import HDF5Files
from ringwatch.agent.files.images import read_image
from ringwatch.agent.nouns import FileLocator, FrameRef, LostLocator, MemoryLocator

__all__ = ["FrameReader"]

_POLL_S = 0.02


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
        self._roots = DataRoots(roots)
        self._max_frame_bytes = max_frame_bytes
        self._timeout_s = timeout_s
        self._files = HDF5Files(self._roots)
        count_blocks(b"", 0, 1, 0)  # compiled now, not for the first frame
        self._given_up: set[Path] = set()
        self._ahead: tuple[FileLocator, NDArray[np.generic]] | None = None
        self._awaited: tuple[FileLocator, float] | None = None

    def ready(self, ref: FrameRef) -> bool:
        """Whether ``read`` would not wait; in time it would not, whatever happens.

        A frame that is there is read now, and given by the next ``read``.
        """
        locator = ref.locator
        if not isinstance(locator, FileLocator):
            return True
        try:
            self._ahead = locator, self._read_file(locator, patient=False)
        except (FrameShapeError, ForbiddenFrameError):
            return True
        except FrameReadError:
            now, place = time.monotonic(), self._place_of(locator)
            if self._awaited is None or self._awaited[0] is not locator:
                self._awaited = locator, now + self._timeout_s
            over = now >= self._awaited[1] or place in self._given_up
            if over:
                self._given_up.add(place)
            return over
        return True

    def read(self, ref: FrameRef) -> NDArray[np.generic]:
        """Pixels of a frame, shape (y, x).

        Raises
        ------
        MissingFrameError
            Where the file or the frame in it did not appear in time.
        FrameShapeError
            Where it is not the image that was announced.
        ForbiddenFrameError
            Where it is too large, or lies outside the roots.
        FrameReadError
            Where it cannot be read.
        """
        locator = ref.locator
        if isinstance(locator, LostLocator):
            raise FrameReadError(locator.reason)
        if isinstance(locator, MemoryLocator):
            frame = locator.frame
        else:
            ahead, self._ahead = self._ahead, None
            known = ahead is not None and ahead[0] is locator
            frame = ahead[1] if ahead and known else self._read_file(locator)
        if ref.shape not in ((0, 0), frame.shape):
            raise FrameShapeError(
                f"the frame has shape {frame.shape} (y, x) where {ref.shape} was "
                "announced"
            )
        return frame

    def close(self) -> None:
        """Close all files."""
        self._files.close()
        self._given_up.clear()
        self._ahead = self._awaited = None

    def _place_of(self, locator: FileLocator) -> Path:
        """What is not waited for again once it failed, frame after frame.

        A lost image tells of its folder: a thousand of them are not waited for.
        """
        path = self._roots.checked(locator.path)
        return path if locator.mimetype == HDF5 else path.parent

    def _read_file(
        self, locator: FileLocator, *, patient: bool = True
    ) -> NDArray[np.generic]:
        """Read, if ``patient`` again until it succeeds or the time is over."""
        if self._given_up and self._place_of(locator) in self._given_up:
            patient = False
        deadline = time.monotonic() + self._timeout_s * patient
        while True:
            try:
                if locator.mimetype == HDF5:
                    frame = self._read_hdf5(locator)
                else:
                    frame = self._read_image(locator)
            except (FrameShapeError, ForbiddenFrameError):
                raise  # waiting does not help
            except FrameReadError:
                # The writer may not have flushed yet: look again with a fresh handle.
                self._files.close()
                if not patient:
                    raise
                if time.monotonic() >= deadline:
                    self._given_up.add(self._place_of(locator))
                    raise
            else:
                if self._given_up:
                    self._given_up.discard(self._place_of(locator))
                return frame
            time.sleep(_POLL_S)

    def _read_image(self, locator: FileLocator) -> NDArray[np.generic]:
        path = self._roots.checked(locator.path)
        return read_image(path, most_bytes=self._max_frame_bytes, announced=True)

    def _read_hdf5(self, locator: FileLocator) -> NDArray[np.generic]:
        path = locator.path
        try:
            dataset = self._files.dataset(path, locator.dataset)
            return self._image_of(dataset, path, locator)
        except KeyError as error:
            raise FrameReadError(
                f"{path} has no dataset {locator.dataset!r}"
            ) from error
        except FileNotFoundError as error:
            raise MissingFrameError(str(error)) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise FrameReadError(
                f"{path}: frame {locator.start} cannot be read ({error}): the file is "
                "truncated, damaged, or held open by a writer without SWMR"
            ) from error

    def _image_of(
        self, dataset: h5py.Dataset, path: Path, locator: FileLocator
    ) -> NDArray[np.generic]:
        """Read one image of a dataset (..., y, x), its leading axes counted as one."""
        if dataset.ndim < 2 or dataset.dtype.kind not in "uifb":
            raise FrameShapeError(
                f"{path}: {locator.dataset!r} is no dataset of images"
            )
        size = math.prod(dataset.shape[-2:]) * dataset.dtype.itemsize
        chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        self._check_size(max(size, chunk), path)
        if locator.start >= math.prod(dataset.shape[:-2]):
            dataset.refresh()  # not dataset.id: h5py caches the shape
        leading = dataset.shape[:-2]
        if locator.start >= math.prod(leading):
            raise MissingFrameError(
                f"{path}: frame {locator.start} was announced but the file holds "
                f"{math.prod(leading)}"
            )
        place = tuple(int(n) for n in np.unravel_index(locator.start, leading))
        return self._files.frame(dataset, place, self._max_frame_bytes)

    def _check_size(self, size: int, path: Path) -> None:
        if size > self._max_frame_bytes:
            raise ForbiddenFrameError(
                f"{path}: a frame of {size} bytes is more than the "
                f"{self._max_frame_bytes} allowed: raise max_frame_bytes"
            )

"""HDF5 files open for reading: also while they grow, never outside the data roots.

HDF5 itself would follow a link into any file that it names, and it never returns from
opening a truncated file that claims to be open for writing. So links are followed here,
step by step, and each file is looked at before HDF5 gets it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.files.chunk_bounds import (
    ChunkBounds,
    Place,
    chunks_of_frame,
    stored_chunks,
)
from ringwatch.agent.files.chunk_cache import with_room_for_chunks
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.files.swmr_access import open_file
from ringwatch.agent.files.unpack import Unpack, unpacker_of
from ringwatch.agent.files.virtual_layout import check_layout
from ringwatch.agent.files.virtual_sources import frame_in_source

__all__ = ["HDF5Files"]

_FILES_KEPT = 8
_DATASETS_KEPT = 64
_LINKS = 16  # followed on the way to one dataset; more is a circle
_LAYERS = 4  # virtual datasets over virtual datasets

if not hdf5plugin.PLUGIN_PATH:  # its import registers bitshuffle-LZ4 and the others
    raise ImportError("hdf5plugin brings no HDF5 filters: reinstall it")


class HDF5Files:
    """Opens datasets by file and name; keeps a few files open. One thread at a time.

    Soft and external links are followed, and virtual datasets and external storage are
    read, as long as each file on the way lies below the roots.

    Parameters
    ----------
    roots : DataRoots
    layers : int
        Virtual datasets over virtual datasets are read down to this depth.
    """

    def __init__(self, roots: DataRoots, *, layers: int = _LAYERS) -> None:
        self._roots = roots
        self._layers = layers
        self._files: OrderedDict[Path, h5py.File] = OrderedDict()
        self._datasets: dict[tuple[Path, str], h5py.Dataset] = {}
        self._sources: dict[h5py.Dataset, list[h5py.VDSmap]] = {}
        self._below: HDF5Files | None = None  # of sources of virtual datasets
        # By identity: to tell whether two datasets are the same h5py asks HDF5.
        self._chunks: dict[int, tuple[ChunkBounds, Unpack | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; they can be opened again."""
        self._datasets.clear()
        self._sources.clear()
        self._chunks.clear()
        if self._below is not None:
            self._below.close()
        while self._files:
            self._files.popitem()[1].close()

    def dataset(self, path: Path, name: str) -> h5py.Dataset:
        """Open the dataset ``name`` of a file.

        Raises
        ------
        KeyError
            Where the file has none of that name.
        OSError, RuntimeError
            Where a file is not there, truncated, damaged or held by its writer.
        ForbiddenFrameError
            Where it, or a file that it draws on, lies outside the roots.
        FrameReadError
            Where links go in a circle or are of an unknown kind.
        """
        path = self._roots.checked(path)
        known = self._datasets.get((path, name))
        if known:  # false once its file is closed
            return known
        if len(self._datasets) >= _DATASETS_KEPT:
            self._datasets.clear()
        found = self._follow(path, name)
        self._check_sources(found)
        found = with_room_for_chunks(found)
        self._datasets[path, name] = found
        return found

    def frame(
        self, dataset: h5py.Dataset, leading: Place, most_bytes: int
    ) -> NDArray[np.generic]:
        """Read one frame, (y, x), its chunks looked at before.

        Parameters
        ----------
        dataset : h5py.Dataset
            Of this object; frames, (..., y, x).
        leading : tuple of int
            Indices of the frame.
        most_bytes : int
            See ``ChunkBounds.take``, also for the errors.
        """
        bounds, unpack = self._chunks_of(dataset)
        if unpack is not None:
            chunk = bounds.take((*leading, 0, 0), most_bytes)
            if chunk is not None:
                return unpack(chunk)
        self.check_frame(dataset, leading, most_bytes)
        return np.asarray(dataset[leading])

    def check_frame(
        self, dataset: h5py.Dataset, leading: Place, most_bytes: int
    ) -> None:
        """Look at the packed chunks of one frame before HDF5 unpacks them.

        Parameters
        ----------
        dataset : h5py.Dataset
            Of this object; frames, (..., y, x).
        leading : tuple of int
            Indices of the frame.
        most_bytes : int
            See ``ChunkBounds.take``, also for the errors.
        """
        if not dataset.is_virtual:
            self._check_chunks(dataset, chunks_of_frame(dataset, leading), most_bytes)
            return
        if dataset not in self._sources:
            self._sources[dataset] = _sources(dataset)
        for source in self._sources[dataset]:
            shown, place = frame_in_source(source, leading)
            if not shown:
                continue
            below, found = self._source(dataset, source.file_name, source.dset_name)
            if place is not None and len(place) == found.ndim - 2:
                below.check_frame(found, place, most_bytes)
            else:
                below.check_all(found, most_bytes)

    def check_all(self, dataset: h5py.Dataset, most_bytes: int) -> None:
        """Look at all chunks of a dataset of any shape; as ``check_frame``."""
        if not dataset.is_virtual:
            self._check_chunks(dataset, stored_chunks(dataset), most_bytes)
            return
        for source in _sources(dataset):
            below, found = self._source(dataset, source.file_name, source.dset_name)
            below.check_all(found, most_bytes)

    def _check_chunks(
        self, dataset: h5py.Dataset, places: Iterable[Place], most_bytes: int
    ) -> None:
        bounds, _ = self._chunks_of(dataset)
        for place in places:
            bounds.check(place, most_bytes)

    def _chunks_of(self, dataset: h5py.Dataset) -> tuple[ChunkBounds, Unpack | None]:
        if id(dataset) not in self._chunks:  # which keeps it, and with it its identity
            if len(self._chunks) >= _DATASETS_KEPT:
                self._chunks.clear()
            self._chunks[id(dataset)] = ChunkBounds(dataset), unpacker_of(dataset)
        return self._chunks[id(dataset)]

    def _source(
        self, dataset: h5py.Dataset, file: str, name: str
    ) -> tuple[HDF5Files, h5py.Dataset]:
        """Open a source of a virtual dataset; kept open, frame after frame."""
        path = Path(dataset.file.filename)
        if not self._layers:
            raise FrameReadError(f"{path}: too many virtual datasets over each other")
        if self._below is None:
            self._below = HDF5Files(self._roots, layers=self._layers - 1)
        origin = path if file == "." else self._linked(path, file)
        return self._below, self._below.dataset(origin, name)

    def _follow(self, path: Path, name: str) -> h5py.Dataset:
        """Walk to a dataset, and from file to file where links lead there."""
        place, ahead, links = self._file(path)["/"], deque(_parts(name)), 0
        while ahead:
            step = ahead.popleft()
            link = _link(place, step)
            if isinstance(link, h5py.HardLink):
                place = _opened(place, step)
                continue
            links += 1
            if links > _LINKS:
                raise FrameReadError(f"{path}: the links of {name!r} go in a circle")
            ahead.extendleft(reversed(_parts(link.path)))
            if isinstance(link, h5py.ExternalLink):
                path = self._linked(path, link.filename)
                place = self._file(path)["/"]
            elif link.path.startswith("/"):
                place = place.file["/"]
        if not isinstance(place, h5py.Dataset):
            raise KeyError(name)
        return place

    def _check_sources(self, dataset: h5py.Dataset) -> None:
        """Look at all files from which HDF5 would take the pixels itself."""
        path = Path(dataset.file.filename)
        for name, *_ in dataset.external or ():
            # Relative to the working folder. A pipe would block for ever.
            if not self._roots.checked(Path(name)).is_file():
                raise FileNotFoundError(f"{path} refers to {name}, which is no file")
        if not dataset.is_virtual:
            return
        for file, source in {(s.file_name, s.dset_name) for s in _sources(dataset)}:
            if "%b" in file or "%b" in source:
                raise FrameReadError(
                    f"{path}: its sources are named by a pattern ({file!r}): list them"
                )
            self._source(dataset, file, source)

    def _linked(self, path: Path, name: str) -> Path:
        """Find a file that another one names, in all the places where HDF5 looks.

        They are: as named, beside the file that names it, and in the working folder
        (HDF5 reference, H5Pset_elink_prefix and H5Pset_virtual_prefix).
        """
        places = (path.parent / name, path.parent / Path(name).name, Path(name))
        present = [self._roots.checked(place) for place in places if place.is_file()]
        if not present:
            raise FileNotFoundError(f"{path} refers to {name}, which is not there")
        return present[0]

    def _file(self, path: Path) -> h5py.File:
        if path not in self._files:
            self._files[path] = open_file(path)
            if len(self._files) > _FILES_KEPT:
                self._files.popitem(last=False)[1].close()
        return self._files[path]


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _link(place: object, name: str) -> h5py.HardLink:
    """Look at a link without following it."""
    if not isinstance(place, h5py.Group):
        raise KeyError(name)
    try:
        link = place.get(name, getlink=True)
    except TypeError as error:  # h5py has no word for links that users define
        raise FrameReadError(f"{name!r} is a link of an unknown kind") from error
    if link is None:
        raise KeyError(name)
    return link


def _opened(place: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    # Even to ask what kind of object it is would have HDF5 go over its list.
    check_layout(Path(place.file.filename), place.id.links.get_info(name.encode()).u)
    return place[name]


def _sources(dataset: h5py.Dataset) -> list[h5py.VDSmap]:
    return list(dataset.virtual_sources())

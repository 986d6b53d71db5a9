"""From a frame of a virtual HDF5 dataset to the frame of the source that it shows."""

from __future__ import annotations

import h5py

from ringwatch.agent.files.chunk_bounds import Place

__all__ = ["frame_in_source"]

_NO_END = 1 << 63


def frame_in_source(source: h5py.VDSmap, leading: Place) -> tuple[bool, Place | None]:
    """Where a frame lies in one of the sources.

    Parameters
    ----------
    source : h5py.VDSmap
    leading : tuple of int
        Indices of the frame in the virtual dataset, (..., y, x) without the last two.

    Returns
    -------
    shown : bool
        Whether the source may show anything of the frame.
    place : tuple of int or None
        Its indices there; None where the two do not go along with each other.
    """
    shown = _runs(source.vspace)
    if shown is None:
        return True, None
    pairs = list(zip(leading, shown, strict=False))
    if any(not run.start <= n < run.stop for n, run in pairs):
        return False, None
    if source.src_space.get_select_type() == h5py.h5s.SEL_ALL:
        return True, tuple(n - run.start for n, run in pairs)
    taken = _runs(source.src_space)
    if taken is None or len(taken) != len(shown):
        return True, None
    return True, tuple(
        n - run.start + other.start
        for (n, run), other in zip(pairs, taken, strict=False)
    )


def _runs(space: h5py.h5s.SpaceID) -> list[slice] | None:
    """First and last of what is selected along each axis; None where it has gaps."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [slice(0, _NO_END)] * space.get_simple_extent_ndims()
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        return None
    if not space.is_regular_hyperslab():
        return None
    runs = []
    for start, stride, count, block in zip(*space.get_regular_hyperslab(), strict=True):
        if count > 1 and stride != block:
            return None
        runs.append(slice(start, min(start + count * block, _NO_END)))
    return runs

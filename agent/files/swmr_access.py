"""Opening HDF5 files that are being written, with an end to HDF5's patience.

A reader beside a writer may meet metadata that is half written; its checksum does not
fit, and HDF5 reads it again, 100 times by default, and sleeps twice as long each time:
for a file that is damaged or was made to do damage that is for ever, with the
interpreter held. HDF5 has a setting for it (``H5Pset_metadata_read_attempts``) for
which h5py has no word, so it is asked directly.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import sys
from pathlib import Path

import h5py

__all__ = ["open_beside_writer", "open_file"]

logger = logging.getLogger(__name__)

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_FLAG = 0x04
_ATTEMPTS = 24
"""The sleeps add up to 2**24 nanoseconds, 17 ms."""


def open_beside_writer(path: Path) -> h5py.File:
    """Open a file that a writer has open for single-writer-multiple-readers.

    Raises
    ------
    OSError
        Where it cannot be opened, or stays inconsistent for long.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    library = _hdf5()
    if library is not None:
        library.H5Pset_metadata_read_attempts(
            ctypes.c_int64(access.id), ctypes.c_uint(_ATTEMPTS)
        )
    mode = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(str(path).encode(), mode, fapl=access))


@functools.cache
def _hdf5() -> ctypes.CDLL | None:
    """The HDF5 that h5py has loaded; None where it cannot be found."""
    places: list[str] = []
    if sys.platform == "linux":
        maps = Path("/proc/self/maps").read_text().splitlines()
        places = [line.split(maxsplit=5)[-1] for line in maps if "/libhdf5" in line]
    for place in places:
        if not Path(place).name.startswith("libhdf5_hl"):
            return ctypes.CDLL(place)
    logger.warning(
        "the HDF5 library is not where it is expected: a damaged file that claims to "
        "be open for writing can hold the agent up for ever"
    )
    return None


def open_file(path: Path) -> h5py.File:
    """Open a file for reading, also one that is still written.

    Raises
    ------
    FileNotFoundError
        Where it is not there, or no regular file.
    OSError
        Where it is truncated, damaged or held by its writer.
    """
    if not path.is_file():  # a pipe would block
        raise FileNotFoundError(f"{path} is not there, or no regular file")
    if _is_written_for_swmr(path):
        return open_beside_writer(path)
    try:
        return h5py.File(path, "r", locking=False)
    except OSError:
        # Open elsewhere in this process since it was written: HDF5 then wants locks
        # from all or from none.
        return h5py.File(path, "r")


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
    if head[:8] != _SIGNATURE or len(head) < 48 or head[8] not in (2, 3):
        return False  # older formats know no SWMR; HDF5 checks their length itself
    width = head[9]
    end = int.from_bytes(head[12 + 2 * width : 12 + 3 * width], "little")
    if size < end:
        raise OSError(f"{path} is truncated: {size} bytes of {end}")
    return bool(head[11] & _SWMR_FLAG)

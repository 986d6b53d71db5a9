"""Archives of arrays that others may have made: read whole, bounded, nothing executed.

A small ``.npz`` may unpack to a terabyte, so what it says it unpacks to is bounded
before it is.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArchiveError", "read_archive"]


class ArchiveError(ValueError):
    """An archive is missing, too large, damaged, or holds more than plain arrays."""


def read_archive(path: Path, *, most: int) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file.

    Parameters
    ----------
    path : Path
        The file, whatever its suffix.
    most : int
        Bytes that it may have, packed and unpacked.

    Returns
    -------
    dict of str to ndarray
        By name.

    Raises
    ------
    ArchiveError
        If the file is missing, larger than that, damaged, no ``.npz``, or holds
        pickled objects.
    """
    if not path.is_file():
        raise ArchiveError(f"{path} is missing: name an .npz file that is there")
    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
        if max(path.stat().st_size, unpacked) > most:
            raise ArchiveError(
                f"{path} unpacks to {unpacked} bytes, more than {most}: "
                "name the file that was meant"
            )
        # A member whose header asks for more than it holds ends in MemoryError.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ArchiveError:
        raise
    except (
        *(OSError, EOFError, KeyError, ValueError, TypeError, MemoryError),
        *(NotImplementedError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ArchiveError(f"{path} is no readable .npz file: {error}") from error

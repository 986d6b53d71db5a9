"""The folders below which files may be read."""

from __future__ import annotations

from pathlib import Path

from ringwatch.agent.errors import ForbiddenFrameError, FrameReadError

__all__ = ["DataRoots"]


class DataRoots:
    """Says of each path whether it may be read.

    Parameters
    ----------
    folders : tuple of Path
        Files are read only below these, links resolved.
    """

    def __init__(self, folders: tuple[Path, ...] = (Path("/"),)) -> None:
        self._folders = tuple(folder.resolve() for folder in folders)

    def checked(self, path: Path) -> Path:
        """The path with its links resolved.

        Raises
        ------
        ForbiddenFrameError
            Where it lies outside.
        FrameReadError
            Where it is no path: links in a circle, a name too long or with a NUL.
        """
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise FrameReadError(
                f"{str(path)[:200]!r} is no path that can be followed ({error}): check "
                "what the detector announces"
            ) from error
        if not any(resolved.is_relative_to(folder) for folder in self._folders):
            folders = ", ".join(str(folder) for folder in self._folders)
            raise ForbiddenFrameError(
                f"{resolved} lies outside the allowed folders ({folders}): add its "
                "folder to data_roots"
            )
        return resolved

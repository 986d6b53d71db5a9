"""The folders below which files may be read."""

from __future__ import annotations

from pathlib import Path

from ringwatch.agent.errors import ForbiddenFrameError, FrameReadError

__all__ = ["DataRoots"]

_KNOWN = 64  # paths that are remembered


class DataRoots:
    """Says of each path whether it may be read.

    Parameters
    ----------
    folders : tuple of Path
        Files are read only below these, links resolved.
    """

    def __init__(self, folders: tuple[Path, ...] = (Path("/"),)) -> None:
        self._folders = tuple(folder.resolve() for folder in folders)
        self._known: dict[Path, tuple[Path, tuple[int, int]]] = {}

    def checked(self, path: Path) -> Path:
        """The path with its links resolved.

        Raises
        ------
        ForbiddenFrameError
            Where it lies outside.
        FrameReadError
            Where it is no path: links in a circle, a name too long or with a NUL.
        """
        # A file of many frames is asked for with each: that it is still the same one
        # costs one look at it, where following the path looks at each of its folders.
        try:
            about = path.stat()
            now = about.st_dev, about.st_ino
        except (OSError, ValueError):
            now = None
        known = self._known.get(path)
        if known is not None and known[1] == now:
            return known[0]
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
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if now is not None:
            self._known[path] = resolved, now
        return resolved

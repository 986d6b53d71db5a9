"""The folder that ``--out`` names: refused before any work that would be lost."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from ringwatch.agent.errors import SettingsError

__all__ = ["check_out"]


def check_out(out: Path) -> None:
    """Refuse a folder that cannot be made or written to; leave nothing behind.

    Raises
    ------
    SettingsError
        If it is a file, cannot be made, or takes no files.
    """
    made: list[Path] = []
    try:
        made = [p for p in (out, *out.parents) if not p.exists()]
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SettingsError(
            f"--out {out}: cannot be made a folder to write to ({error.strerror}): "
            "name another one"
        ) from error
    finally:
        for folder in made:  # from the innermost on
            with suppress(OSError):
                folder.rmdir()

"""A stored pass over a run, found by what people type."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringwatch.agent.errors import ReplayError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sources.derived import find_pass, newest_raw_uid, whole_documents
from ringwatch.agent.sources.tiled import find_run
from ringwatch.agent.sources.tiled_server import server
from ringwatch.agent.tiled_client import disconnect, keys_in, public

__all__ = ["LOCAL", "StoredPass", "stored_pass"]

LOCAL = "http://127.0.0.1:8000"
"""Where a Tiled server is looked for unless somebody says otherwise."""


class StoredPass:
    """A derived run in Tiled.

    Attributes
    ----------
    start : dict
        Its start document.
    stop : dict
        Its stop document; {} while it goes on, or where it was broken off.
    """

    def __init__(self, root: Any, container: str, run: Any) -> None:
        self._place = root, container, run
        self.start: dict[str, Any] = run.metadata["start"]
        self.stop: dict[str, Any] = run.metadata.get("stop") or {}

    def documents(self) -> Iterator[NamedDocument]:
        """Its documents, and what earlier attempts had finished of the same pass.

        Raises
        ------
        ReplayError
            If the server fails on the way.
        """
        return whole_documents(*self._place)


@contextmanager
def stored_pass(
    run: str | None, attempt: int | None, tiled: str | None, config: Path | None
) -> Iterator[StoredPass]:
    """The newest pass over a run, or one by its number.

    Parameters
    ----------
    run : str or None
        Uid of the raw run, or its first letters (five at least); None for the run that
        was analysed last.
    attempt : int or None
    tiled : str or None
        Address; by default that of the settings, or ``LOCAL``.
    config : Path or None
        Settings (TOML), for the address and the names of the containers.

    Raises
    ------
    SettingsError
        Where the settings cannot be read.
    ReplayError
        If the server cannot be reached, or has no such run, or no verdicts of it.
    """
    settings = load_settings(config)
    address = tiled or settings.tiled or LOCAL
    key = next(iter(keys_in(address)), None) or os.environ.get("TILED_API_KEY")
    root = server(public(address), key)
    try:
        into = settings.tiled_container
        uid = newest_raw_uid(root, into) if run is None else run
        if run is not None and settings.raw_container in root:
            uid = _whole(root[settings.raw_container], run)
        yield StoredPass(root, into, find_pass(root, into, uid, attempt))
    finally:
        disconnect(root)


def _whole(raw: Any, asked: str) -> str:
    """The uid of which these are the first letters; as it is where there is none."""
    try:
        return str(find_run(raw, asked).metadata["start"]["uid"])
    except ReplayError:
        if len(asked) < len("00000000-0000-0000-0000-000000000000"):
            raise
        return asked  # raw runs may be kept elsewhere

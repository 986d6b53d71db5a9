"""The container of derived runs on a Tiled server, connected to when it is needed."""

from __future__ import annotations

from typing import Any

from ringwatch.agent.errors import SinkError
from ringwatch.agent.sinks.stored_run import StoredRun
from ringwatch.agent.tiled_client import (
    CATALOG_SPEC,
    connect,
    disconnect,
    find_or_create,
    is_address,
    keys_in,
    public,
)

# isort: split
import httpx
import pyarrow as pa
from tiled.client.auth import CannotRefreshAuthentication

__all__ = ["FAILURES", "Archive"]

# What a call to Tiled can end in: transport and status, files, bad data, a lost node.
FAILURES: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.InvalidURL,
    CannotRefreshAuthentication,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    pa.ArrowException,
)


class Archive:
    """Where derived runs go. One thread at a time.

    Parameters
    ----------
    uri : str
        ``http://host:port``. Not contacted here but when a run is opened.
    api_key : str, optional
        Secret. Without it the environment variable ``TILED_API_KEY`` counts. Never
        logged.
    container : str
        Made if it is not there.

    Raises
    ------
    SinkError
        If ``uri`` is not an address of a Tiled server.
    """

    def __init__(
        self, uri: str, *, api_key: str | None = None, container: str = "analysis"
    ) -> None:
        if not is_address(uri):
            raise SinkError(
                f"{public(uri)!r} is no address of a Tiled server; expected "
                "http://host:port"
            )
        self._uri, self._api_key, self._container = uri, api_key, container
        self._root: Any = None
        self._catalogue: Any = None

    @property
    def ready(self) -> bool:
        """Whether the container was found since the last connection."""
        return self._catalogue is not None

    def open(self, start: dict[str, Any]) -> StoredRun:
        """The run of a start document, made if it is not there.

        Raises
        ------
        one of ``FAILURES``
            If the server is away or refuses.
        """
        if self._catalogue is None:
            if self._root is None:
                self._root = connect(self._uri, self._api_key)
            self._catalogue = find_or_create(
                self._root, self._container, specs=[CATALOG_SPEC]
            )
        return StoredRun(self._catalogue, start)

    def forget(self) -> None:
        """Look the container up again at the next ``open``: it may be gone."""
        self._catalogue = None

    def close(self) -> None:
        """Disconnect; the next ``open`` connects again."""
        root, self._root, self._catalogue = self._root, None, None
        if root is not None:
            disconnect(root)

    def told(self, error: Exception) -> str:
        """What happened, without an address that may hold a key."""
        if isinstance(error, httpx.HTTPStatusError):
            return f"{type(error).__name__} {error.response.status_code}"
        text = f"{type(error).__name__}: {error}"
        for secret in {self._api_key, *keys_in(self._uri)} - {None}:
            text = text.replace(str(secret), "***")
        return text

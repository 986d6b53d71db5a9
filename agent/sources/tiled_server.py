"""A Tiled server that is asked for runs, and what it says where it fails."""

from __future__ import annotations

from typing import Any

from ringwatch.agent.errors import ReplayError, TiledAwayError
from ringwatch.agent.tiled_client import connect, disconnect, public

# isort: split
import httpx

__all__ = ["container_of", "kind_of", "server"]


def server(uri: str, api_key: str | None = None) -> Any:
    """The root of the Tiled server at ``uri``, as ``tiled_client.connect`` gives it.

    Raises
    ------
    ReplayError
        If the server cannot be reached or refuses.
    """
    try:
        return connect(uri, api_key)
    except (httpx.HTTPError, OSError, RuntimeError, ValueError, LookupError) as error:
        raise kind_of(error)(
            f"Tiled at {public(uri)} does not answer or refuses "
            f"({type(error).__name__}); check the address, that the server runs, and "
            "TILED_API_KEY"
        ) from error


def container_of(root: Any, name: str, where: str) -> Any:
    """A container of a server; ``root`` is disconnected where it cannot be had.

    Parameters
    ----------
    root : tiled client
    name : str
    where : str
        What a message calls the server.

    Raises
    ------
    ReplayError
        If there is no such container, or the server fails.
    """
    try:
        found = root.get(name)
        seen = sorted(root) if found is None else []
    except (httpx.HTTPError, ValueError) as error:
        disconnect(root)
        raise kind_of(error)(
            f"{where} fails when asked for container {name!r} "
            f"({type(error).__name__}): check that the server is well"
        ) from error
    if found is None:
        disconnect(root)
        raise ReplayError(
            f"{where} has no container {name!r}; it has {seen}: choose one of them"
        )
    return found


def kind_of(error: Exception) -> type[ReplayError]:
    """``TiledAwayError`` where asking again later may help: not if it was refused."""
    answer = getattr(error, "response", None)
    failed = answer is not None and answer.status_code >= 500
    broken = httpx.TransportError | ConnectionError | TimeoutError
    away = failed or isinstance(error, broken)
    return TiledAwayError if away else ReplayError

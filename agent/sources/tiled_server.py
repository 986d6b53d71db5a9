"""A Tiled server that is asked for runs, and what it says where it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringwatch.agent.errors import NoContainerError, ReplayError, TiledAwayError
from ringwatch.agent.tiled_client import connect, disconnect, public

# isort: split
import httpx

__all__ = ["await_container", "container_of", "kind_of", "server"]

_FAILURES = (httpx.HTTPError, OSError, RuntimeError, ValueError, LookupError)
"""All that Tiled's client raises of a server that is away, refuses or is ill."""


def server(uri: str, api_key: str | None = None) -> Any:
    """The root of the Tiled server at ``uri``, as ``tiled_client.connect`` gives it.

    Raises
    ------
    ReplayError
        If the server cannot be reached or refuses.
    """
    try:
        return connect(uri, api_key)
    except _FAILURES as error:
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
        return _found(root, name, where)
    except ReplayError:
        disconnect(root)
        raise


def await_container(
    uri: str, api_key: str | None, name: str, patient: Callable[[ReplayError], bool]
) -> Any:
    """A container of the server at ``uri``, as soon as it can be had.

    A connection costs as much as hundreds of questions, and a megabyte of certificates
    that are let go late: a server that only lacks the container keeps its own.

    Parameters
    ----------
    uri : str
    api_key : str or None
    name : str
    patient : callable
        Told each time why it cannot be had; waits, and says whether to try again. If
        not, None is given back.
    """
    root = found = None
    try:
        while found is None:
            try:
                root = root if root is not None else server(uri, api_key)
                found = _found(root, name, f"Tiled at {public(uri)}")
            except ReplayError as error:
                if root is not None and not isinstance(error, NoContainerError):
                    disconnect(root)
                    root = None
                if not patient(error):
                    break
        return found
    finally:
        if root is not None and found is None:
            disconnect(root)


def _found(root: Any, name: str, where: str) -> Any:
    try:
        found = root.get(name)
        seen = sorted(root) if found is None else []
    except _FAILURES as error:
        raise kind_of(error)(
            f"{where} fails when asked for container {name!r} "
            f"({type(error).__name__}): check that the server is well"
        ) from error
    if found is None:
        raise NoContainerError(
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

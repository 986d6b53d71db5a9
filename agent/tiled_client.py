"""Connections to a Tiled server that give up in seconds, and never tell a key.

Tiled reads its retry settings when it is imported; left alone, one call to a server
that is down takes a minute. This module sets them first, so import it before Tiled. Who
set ``TILED_RETRY_ATTEMPTS`` or imported Tiled before keeps those settings: a sink then
notices an outage later, which costs it nothing but the log's promptness.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
os.environ.setdefault("TILED_RETRY_TIMEOUT", "2")

# After the environment is set: see above.
import httpx
from tiled.client.constructors import from_context
from tiled.client.context import Context
from tiled.client.utils import ClientError
from tiled.structures.core import Spec

__all__ = [
    "CATALOG_SPEC",
    "RUN_SPEC",
    "STREAM_SPECS",
    "ClientError",
    "connect",
    "disconnect",
    "find_or_create",
    "is_address",
    "is_transient",
    "keys_in",
    "public",
]

CATALOG_SPEC = Spec("CatalogOfBlueskyRuns", version="3.0")
RUN_SPEC = Spec("BlueskyRun", version="3.0")
STREAM_SPECS = [Spec("BlueskyEventStream", version="3.0"), Spec("composite")]

TIMEOUT = httpx.Timeout(connect=5.0, read=20.0, write=20.0, pool=5.0)


def connect(uri: str, api_key: str | None = None) -> Any:
    """The root container of the Tiled server at ``uri``; ``disconnect`` it at the end.

    Parameters
    ----------
    uri : str
        ``http://host:port``, with ``?api_key=`` or without.
    api_key : str, optional
        Secret. Without it the environment variable ``TILED_API_KEY`` counts.

    Raises
    ------
    httpx.HTTPError
        If the server cannot be reached or refuses.
    PermissionError
        If the server asks for a login and no key was given. Never asks at a terminal.
    """
    # Taken out here: Tiled forgets the query of an address without /api.
    api_key = api_key or next(iter(keys_in(uri)), None)
    context, path = Context.from_any_uri(
        public(uri), api_key=api_key, timeout=TIMEOUT, show_progress=False
    )
    try:
        if context.server_info.authentication.required and not context.authenticated:
            raise PermissionError(
                f"Tiled at {public(uri)} wants an API key; set TILED_API_KEY in the "
                "environment or pass api_key"
            )
        return from_context(context, node_path_parts=path)
    except (httpx.HTTPError, OSError, RuntimeError, ValueError, LookupError):
        context.close()
        raise


def disconnect(node: Any) -> None:
    """Close the connections of a client that ``connect`` made, or of its children."""
    node.context.close()


def find_or_create(
    parent: Any, key: str, *, specs: list[Spec], metadata: dict[str, Any] | None = None
) -> Any:
    """The container ``key`` of ``parent``, made if it is not there.

    Safe to repeat after an answer got lost: a container that exists is opened.
    """
    try:
        return parent.create_container(key=key, metadata=metadata or {}, specs=specs)
    except ClientError as error:
        if error.response.status_code != httpx.codes.CONFLICT:
            raise
        return parent[key]


def is_transient(error: BaseException) -> bool:
    """Whether the call may succeed later: no connection, overload, server error."""
    if isinstance(error, httpx.HTTPStatusError):
        code = error.response.status_code
        return code >= 500 or code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.HTTPError | OSError)


def keys_in(uri: str) -> list[str]:
    """Secrets in the query of ``uri``."""
    return parse_qs(urlsplit(uri).query).get("api_key", [])


def is_address(uri: str) -> bool:
    """Whether it can be the address of a Tiled server."""
    parts = urlsplit(uri)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def public(uri: str) -> str:
    """``uri`` without its query, in which a key may stand: fit for a log."""
    return urlunsplit((*urlsplit(uri)[:3], "", ""))

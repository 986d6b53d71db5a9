"""What a failed call to Tiled says of the next one."""

from __future__ import annotations

import json

from ringwatch.agent.errors import SinkError
from ringwatch.agent.tiled_client import is_transient

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx
import pyarrow as pa
from tiled.client.auth import CannotRefreshAuthentication
from tiled.utils import Conflicts

__all__ = ["is_of_server", "is_refusal", "kind_of"]

REFUSALS = {400, 405, 411, 413, 414, 415, 422}


def kind_of(error: Exception) -> str:
    """Status, or name of the error: failures of a kind are logged once."""
    if isinstance(error, httpx.HTTPStatusError):
        return str(error.response.status_code)
    return type(error).__name__


def is_refusal(error: Exception) -> bool:
    """Whether the same document will be refused again, by Tiled or on the way there."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in REFUSALS
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | Conflicts):
        return False  # something else than Tiled answers there, or somebody writes
    local = TypeError | ValueError | OverflowError | pa.ArrowInvalid | SinkError
    return isinstance(error, local)


def is_of_server(error: Exception) -> bool:
    """Whether other runs would fare the same."""
    if isinstance(error, httpx.HTTPStatusError):
        return is_transient(error) or error.response.status_code in {401, 403, 408}
    of_all = json.JSONDecodeError | CannotRefreshAuthentication | httpx.InvalidURL
    return is_transient(error) or isinstance(error, of_all)

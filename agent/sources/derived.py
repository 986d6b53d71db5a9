"""Derived runs as they are stored: which passes over a raw run there are, and verdicts.

What comes back from a catalogue has lost its numpy types on the way through a table;
the descriptor still has them, so that verdicts can be compared to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ringwatch.agent.errors import ReplayError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sources.tiled import replay
from ringwatch.agent.tiled_client import ClientError

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx
from tiled.queries import Key

__all__ = [
    "find_pass",
    "newest_raw_uid",
    "next_attempt",
    "passes",
    "verdict_documents",
    "whole_documents",
]


def passes(root: Any, container: str, raw_uid: str) -> list[Any]:
    """Derived runs of a raw run, by attempt and time; [] where nothing is stored.

    Parameters
    ----------
    root : tiled client
        Of the server.
    container : str
        That of the derived runs.
    raw_uid : str

    Raises
    ------
    ReplayError
        If the server fails.
    """
    try:
        place = root.get(container)
        if place is None:
            return []
        found = list(place.search(Key("raw_uid") == raw_uid).values())
    except (httpx.HTTPError, ClientError, OSError) as error:
        raise ReplayError(
            f"stored passes over run {raw_uid} cannot be looked up in {container!r} "
            f"({type(error).__name__}): check that the server answers"
        ) from error
    return sorted(found, key=lambda run: (_attempt(run), run.metadata["start"]["time"]))


def next_attempt(root: Any, container: str, raw_uid: str) -> int:
    """One more than the newest attempt that is stored for a raw run."""
    return max(map(_attempt, passes(root, container, raw_uid)), default=0) + 1


def find_pass(
    root: Any, container: str, raw_uid: str, attempt: int | None = None
) -> Any:
    """The newest pass over a raw run that came to its end, or one by its number.

    Raises
    ------
    ReplayError
        If there is none.
    """
    stored = passes(root, container, raw_uid)
    if attempt is not None:
        stored = [run for run in stored if _attempt(run) == attempt]
    elif ended := [run for run in stored if _came_to_its_end(run)]:
        stored = ended
    if not stored:
        wanted = "verdicts" if attempt is None else f"attempt {attempt}"
        raise ReplayError(
            f"no {wanted} stored for run {raw_uid} in {container!r}: check "
            "tiled_container in the settings, or store a pass first with "
            "`ringwatch replay --store`"
        )
    return stored[-1]


def newest_raw_uid(root: Any, container: str) -> str:
    """Uid of the raw run whose analysis began last.

    Raises
    ------
    ReplayError
        If nothing is stored, or the server fails.
    """
    try:
        found = root.get(container)
        newest = (
            () if found is None else found.sort(("start.time", -1)).values().head(1)
        )
        for run in newest:
            return str(run.metadata["start"]["raw_uid"])
    except (httpx.HTTPError, ClientError, OSError, LookupError) as error:
        raise ReplayError(
            f"the newest run cannot be looked up in {container!r} "
            f"({type(error).__name__}): name it by its uid"
        ) from error
    raise ReplayError(
        f"no verdicts are stored in {container!r}: check tiled_container in the "
        "settings, or that an agent with `tiled` set was attached"
    )


def is_analysed(root: Any, container: str, raw_uid: str) -> bool:
    """Whether a pass over a raw run came to its end."""
    return any(_came_to_its_end(run) for run in passes(root, container, raw_uid))


def verdict_documents(derived: Any) -> Iterator[NamedDocument]:
    """Documents of a stored derived run, values in the types of their descriptor.

    Raises
    ------
    ReplayError
        If the server fails on the way.
    """
    kinds: dict[str, dict[str, dict[str, Any]]] = {}
    for name, doc in replay(derived):
        if name == "descriptor":
            kinds[doc["uid"]] = doc["data_keys"]
        elif name == "event":
            data_keys = kinds[doc["descriptor"]]
            doc["data"] = {
                key: _typed(value, data_keys[key]) for key, value in doc["data"].items()
            }
        yield name, doc


def whole_documents(root: Any, container: str, derived: Any) -> Iterator[NamedDocument]:
    """Documents of a stored pass, with what earlier attempts had finished of it.

    An agent that was restarted with another analysis goes on in a run of its own, which
    names the frames that are final already: their descriptors and final events go
    before it.

    Raises
    ------
    ReplayError
        If the server fails on the way.
    """
    start = derived.metadata["start"]
    if start.get("final_before"):
        for before in passes(root, container, str(start["raw_uid"])):
            if _attempt(before) >= _attempt(derived):
                continue
            for name, doc in verdict_documents(before):
                final = name == "event" and doc["data"]["final"]
                if final or name == "descriptor":
                    yield name, doc
    yield from verdict_documents(derived)


def _typed(value: Any, data_key: dict[str, Any]) -> Any:
    if data_key.get("shape"):
        return np.asarray(value, dtype=data_key.get("dtype_numpy"))
    if data_key["dtype"] == "number":
        return np.nan if value is None else float(value)  # SQL has no NaN
    if data_key["dtype"] == "integer":
        return int(value)
    if data_key["dtype"] == "boolean":
        return bool(value)
    return value


def _attempt(run: Any) -> int:
    return int(run.metadata["start"].get("attempt", 0))


def _came_to_its_end(run: Any) -> bool:
    """Whether it has a stop document that does not say that it was broken off."""
    stop = run.metadata.get("stop") or {}
    return bool(stop) and stop.get("raw_exit_status") != "abandoned"

"""Which stored runs a replay is about: by uid, by what their start says, or all."""

from __future__ import annotations

import json
from typing import Any

from ringwatch.agent.errors import ReplayError, RingwatchError, SettingsError
from ringwatch.agent.sources.tiled import find_run
from ringwatch.agent.tiled_client import ClientError

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx
from tiled.queries import Key

__all__ = ["choose_runs", "parse_where"]


def parse_where(conditions: list[str]) -> dict[str, Any]:
    """``key=value`` as a dict; a value that is JSON (a number, true) counts as such.

    Raises
    ------
    SettingsError
        Where one has no ``=`` or no key.
    """
    parsed: dict[str, Any] = {}
    for condition in conditions:
        key, equals, text = condition.partition("=")
        if not key or not equals:
            raise SettingsError(
                f"--where {condition!r}: expected key=value of a start document, such "
                "as sample=CeO2 or scan_id=12"
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        parsed[key] = value if isinstance(value, str | int | float) else text
    return parsed


def choose_runs(
    runs: Any, asked: list[str], where: dict[str, Any], *, every: bool
) -> list[tuple[str, str]]:
    """Find the runs that are asked for.

    Parameters
    ----------
    runs : catalogue
    asked : list of str
        Uids, or their first letters, in this order.
    where : dict
        What the start documents hold.
    every : bool
        All runs that match, the oldest first.

    Returns
    -------
    list of (str, str)
        What was asked for, and the full uid; '' where there is no such run.

    Raises
    ------
    ReplayError
        If the catalogue fails, or cannot search.
    """
    chosen = [(each, _uid_of(runs, each)) for each in asked]
    if not every and not where:
        return chosen
    if not hasattr(runs, "search"):
        raise ReplayError("this catalogue cannot be searched: name the runs by uid")
    try:
        found = runs
        for key, value in where.items():
            found = found.search(Key(key) == value)
        starts = [run.metadata["start"] for run in found.values()]
    except (httpx.HTTPError, ClientError, OSError) as error:
        raise ReplayError(
            f"the catalogue cannot be searched ({type(error).__name__}: {error}): "
            "check that the server answers"
        ) from error
    starts.sort(key=lambda start: float(start["time"]))
    known = {uid for _, uid in chosen}
    return chosen + [
        (start["uid"], start["uid"]) for start in starts if start["uid"] not in known
    ]


def _uid_of(runs: Any, asked: str) -> str:
    try:
        return str(find_run(runs, asked).metadata["start"]["uid"])
    except RingwatchError:
        return ""  # the replay itself says what is wrong

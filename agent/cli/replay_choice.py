"""Which stored runs a replay is about: by uid, by what their start says, or all."""

from __future__ import annotations

import json
import logging
from operator import itemgetter
from typing import Any

from ringwatch.agent.errors import (
    MALFORMED,
    ReplayError,
    RingwatchError,
    SettingsError,
)
from ringwatch.agent.sources.tiled import find_run

# isort: split
# After sources.tiled, which sets Tiled's retries before Tiled is imported.
import httpx
from tiled.queries import Key

__all__ = ["choose_runs", "parse_where"]

logger = logging.getLogger(__name__)


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
        What was asked for, and the full uid; '' where there is no such run, or its
        start document is malformed. What has no start document is no run.

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
        starts = [
            _start_of(key, run.metadata["start"])
            for key, run in found.items()
            if "start" in run.metadata
        ]
    except (httpx.HTTPError, OSError, *MALFORMED) as error:
        raise ReplayError(
            f"the catalogue cannot be searched ({type(error).__name__}: {error}): "
            "check that the server answers"
        ) from error
    known = {uid for _, uid in chosen}
    starts.sort(key=itemgetter(0))
    return chosen + [
        (uid or key, uid) for _, key, uid in starts if not uid or uid not in known
    ]


def _start_of(key: str, start: Any) -> tuple[float, str, str]:
    """Time, seconds since the epoch; key in the catalogue; uid, '' if malformed."""
    try:
        return float(start["time"]), key, str(start["uid"])
    except MALFORMED:
        logger.warning("the start document of run %s is malformed", key)
        return 0.0, key, ""


def _uid_of(runs: Any, asked: str) -> str:
    try:
        return str(find_run(runs, asked).metadata["start"]["uid"])
    except (RingwatchError, *MALFORMED):
        return ""  # the replay itself says what is wrong

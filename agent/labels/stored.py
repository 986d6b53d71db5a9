"""Labels as Tiled holds them, from whatever machine."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import Any

from ringwatch.agent.errors import LabelError, ReplayError
from ringwatch.agent.labels.documents import STREAM, label_of
from ringwatch.agent.labels.journal import Entry
from ringwatch.agent.sources.tiled_server import kind_of

# isort: split
import httpx

__all__ = ["MOST_RUNS", "stored_labels"]

MOST_RUNS = 300
"""Runs of labels that are read, the newest; each holds up to some ten thousand. A page
of Tiled has no more."""

logger = logging.getLogger(__name__)


def stored_labels(
    root: Any, container: str, known: Collection[str]
) -> Iterator[tuple[str, bool, list[Entry]]]:
    """Runs of labels on a Tiled server: uid, whether it has ended, its labels.

    Parameters
    ----------
    root : tiled client
        Of the server.
    container : str
    known : collection of str
        Uids of runs that are not wanted.

    Raises
    ------
    ReplayError
        If the server fails.
    """
    try:
        if container not in root:
            return
        for uid, run in root[container].items()[-1 : -1 - MOST_RUNS : -1]:
            if uid not in known:
                yield uid, bool(run.metadata.get("stop")), list(_entries(uid, run))
    except (httpx.HTTPError, OSError) as error:
        raise kind_of(error)(
            f"labels in {container!r} cannot be read ({type(error).__name__}): check "
            "that the Tiled server answers"
        ) from error
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        raise ReplayError(
            f"{container!r} holds something else than labels ({type(error).__name__}: "
            f"{error}): name another container"
        ) from error


def _entries(uid: str, run: Any) -> Iterator[Entry]:
    """Labels of a run, by their number; a row that arrived twice counts once."""
    try:
        table = run[STREAM].base["internal"].read()
    except KeyError:  # begun, and nothing in it yet
        return
    told = table.drop_duplicates("seq_num").sort_values("seq_num")
    for row in told.to_dict("records"):
        try:
            label = label_of(row, row["time"])
        except LabelError as error:
            logger.warning("run %s in Tiled: a row is no label: %s", uid, error)
            continue
        yield Entry(labels_uid=uid, seq_num=int(row["seq_num"]), label=label)

"""The review queue over stored runs."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringwatch.agent.errors import LabelError, ReplayError
from ringwatch.agent.labels.label import FrameKey, Label
from ringwatch.agent.labels.opinions import opinions
from ringwatch.agent.labels.review import Pick, review
from ringwatch.agent.sources.tiled_catalogue import start_of
from ringwatch.agent.sources.tiled_server import container_of
from ringwatch.agent.sources.verdict_rows import VerdictRow, verdict_rows

__all__ = ["MOST", "NEWEST", "Queued", "evenly", "newest_runs", "review_queue"]

NEWEST = 20
"""Runs that are gone through where none is named."""
_SEEN = 10 * NEWEST  # derived runs that are looked at to find them
MOST = 5_000
"""Frames that are compared with each other; of more an even choice."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A frame of the queue.

    Attributes
    ----------
    frame : FrameKey
    pick : Pick
    label : str
        What the machine says.
    label_prob : float
    """

    frame: FrameKey
    pick: Pick
    label: str
    label_prob: float

    def to_object(self) -> dict[str, Any]:
        """Plain values, None where there is no number."""
        run_uid, stream, data_key, index = self.frame
        far = self.pick.distance
        return {
            "run": run_uid,
            "stream": stream,
            "data_key": data_key,
            "index": index,
            "label": self.label,
            "label_prob": self.label_prob,
            "margin": self.pick.margin,
            "novelty": self.pick.novelty,
            "distance": far if np.isfinite(far) else None,
            "reason": self.pick.reason,
        }


def review_queue(
    root: Any,
    container: str,
    labels: Iterable[Label],
    *,
    runs: Sequence[str] = (),
    most: int = 20,
) -> list[Queued]:
    """Frames of stored runs whose labels would teach most, the best first.

    Frames that somebody judged are not asked for again; they are what the others are
    compared with. A frame that was flagged bad shows no sample and is left out. Of more
    than ``MOST`` candidates, or labelled ones, an even choice is looked at, and the log
    says so.

    Parameters
    ----------
    root : tiled client
        Of the server.
    container : str
        Of the derived runs.
    labels : iterable of Label
        All that are known.
    runs : sequence of str
        Uids of raw runs; none: those analysed last.
    most : int
        Frames in the queue.

    Raises
    ------
    LabelError
        If no frame has what the queue needs.
    ReplayError
        If a run that was named has no verdicts, or the server fails.
    """
    known = {frame for frame, each in opinions(labels).items() if _is_judged(each)}
    seen = dict(_frames(root, container, runs))
    of_network = _newest_network(seen.values())
    frames = {
        frame: row
        for frame, row in seen.items()
        if row.start.get("model_hash") == of_network and _shows_sample(row)
    }
    todo = {frame: row for frame, row in frames.items() if frame not in known}
    if not todo:
        raise LabelError(
            "no frame to review: the verdicts carry no embedding, or all frames are "
            "labelled; analyse runs with a classifier"
        )
    names = evenly(list(todo), MOST)
    if len(names) < len(todo):
        told = "of %d frames an even choice of %d is compared: name fewer runs for all"
        logger.warning(told, len(todo), len(names))
    rows = [todo[each] for each in names]
    judged = evenly([each for each in frames if each in known], MOST)
    picks = review(
        np.stack([row.arrays["embedding"] for row in rows]),
        np.array([row.data["class_probs"] for row in rows], float),
        np.array([row.data["novelty"] for row in rows], float),
        labelled=_stacked([frames[each] for each in judged]),
        most=most,
    )
    return [
        Queued(
            frame=names[pick.place],
            pick=pick,
            label=str(rows[pick.place].data["label"]),
            label_prob=float(rows[pick.place].data["label_prob"]),
        )
        for pick in picks
    ]


def evenly(frames: list[FrameKey], most: int) -> list[FrameKey]:
    """At most so many, evenly over all of them, in their order."""
    if len(frames) <= most:
        return frames
    return [frames[i * len(frames) // most] for i in range(most)]


def _frames(
    root: Any, container: str, runs: Sequence[str]
) -> Iterator[tuple[FrameKey, VerdictRow]]:
    for uid in dict.fromkeys(runs or newest_runs(root, container)):
        try:
            rows = verdict_rows(root, container, uid, arrays={"embedding"})
        except ReplayError as error:
            if runs:
                raise
            logger.warning("left out of the queue: %s", error)
            continue
        for key, row in rows.items():
            yield (uid, *key), row


def newest_runs(root: Any, container: str) -> list[str]:
    """Uids of the raw runs that were analysed last, the newest first.

    Raises
    ------
    ReplayError
        If the server fails, or has no such container.
    """
    derived = container_of(root, container, "the Tiled server")
    newest = derived.values()[-1 : -1 - _SEEN : -1]
    uids = dict.fromkeys(str(start_of(run).get("raw_uid", "")) for run in newest)
    return list(itertools.islice(filter(None, uids), NEWEST))


def _newest_network(rows: Iterable[VerdictRow]) -> Any:
    """Embeddings of different networks do not compare: the one of the newest run."""
    starts = [row.start for row in rows if _shows_sample(row)]
    newest = max(starts, key=lambda start: float(start["time"]), default={})
    return newest.get("model_hash")


def _shows_sample(row: VerdictRow) -> bool:
    embedding = row.arrays.get("embedding")
    has = embedding is not None and bool(np.isfinite(embedding).all())
    return has and row.data["verdict"] != "bad"


def _is_judged(said: Any) -> bool:
    return bool(said.judgements or said.adjudicated)


def _stacked(rows: list[VerdictRow]) -> Any:
    return np.stack([row.arrays["embedding"] for row in rows]) if rows else None

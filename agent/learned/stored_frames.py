"""Stored frames as heads see them: patterns and embeddings, no pixels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import LearnedError, ReplayError
from ringwatch.agent.flags import SIGNAL_GONE
from ringwatch.agent.sources.tiled_catalogue import start_of
from ringwatch.agent.sources.tiled_server import container_of, kind_of
from ringwatch.agent.sources.verdict_rows import Key, VerdictRow, verdict_rows

# isort: split
import httpx

__all__ = ["StoredFrames", "analysed_runs", "frames_of", "stored_frames"]

Floats = NDArray[np.float64]

_PAGE = 300  # newest derived runs that are looked at
_GONE = sum(flag.mask for flag in SIGNAL_GONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFrames:
    """Frames of one raw run that taught heads judge live, in the order of their index.

    Attributes
    ----------
    raw_uid : str
    start : dict
        Of the derived run.
    q : (n,) float64
        1/Angstrom.
    keys : list of Key
        Stream, data key and index.
    said : list of dict
        Scalars of each verdict.
    intensity : (B, n) float64
        Counts per pixel, without spots where they were left out; NaN where nothing was
        measured.
    embedding : (B, 64) float64
        NaN where there is none.
    """

    raw_uid: str
    start: dict[str, Any]
    q: Floats
    keys: list[Key]
    said: list[dict[str, Any]]
    intensity: Floats
    embedding: Floats

    def on(self, q: Floats) -> Floats:
        """Patterns (B, m) on another q (m,); NaN beyond what was measured."""
        if q.shape == self.q.shape and np.array_equal(q, self.q):
            return self.intensity
        return np.array(
            [np.interp(q, self.q, row, np.nan, np.nan) for row in self.intensity]
        )

    def rows(self, keys: Iterable[Key]) -> NDArray[np.int64]:
        """Rows of frames, those that are here."""
        wanted = set(keys)
        return np.array([i for i, k in enumerate(self.keys) if k in wanted], np.int64)

    def keys_of(
        self, indices: Collection[int], stream: str = "", data_key: str = ""
    ) -> set[Key]:
        """Keys of frames by their index; '' for the only stream, or data key.

        Raises
        ------
        LearnedError
            Where there are several.
        """
        found = {
            key
            for key in self.keys
            if key[2] in indices and stream in {"", key[0]} and data_key in {"", key[1]}
        }
        if len(series := sorted({key[:2] for key in found})) > 1:
            raise LearnedError(
                f"frames of run {self.raw_uid} are in {len(series)} series, "
                f"{', '.join(' '.join(each) for each in series)}: choose one with "
                "--stream and --data-key"
            )
        return found


def stored_frames(root: Any, container: str, raw_uid: str) -> StoredFrames:
    """Frames of one raw run, from its newest pass, with what heads are given live.

    Raises
    ------
    ReplayError
        If nothing is stored of it, or the server fails.
    """
    wanted = {"intensity", "intensity_robust", "embedding", "q"}
    found = verdict_rows(root, container, raw_uid, arrays=wanted)
    of = {int(r.start["attempt"]): r for r in found.values() if "q" in r.arrays}
    if not of:
        raise ReplayError(
            f"no patterns are stored of run {raw_uid}: it was analysed without a "
            "geometry"
        )
    q = np.asarray(of[max(of)].arrays["q"], np.float64)
    return frames_of(raw_uid, q, found)


def frames_of(raw_uid: str, q: Floats, found: Mapping[Key, VerdictRow]) -> StoredFrames:
    """Those of a run's verdicts that heads are given live, with patterns on q (n,)."""
    rows = [row for _, row in sorted(found.items()) if _has_light(row)]
    # Of an earlier pass with another geometry or other bins nothing compares.
    rows = [row for row in rows if np.array_equal(row.arrays.get("q", q), q)]
    rows = [row for row in rows if row.arrays["intensity"].shape == q.shape]
    absent = np.full(64, np.nan)
    return StoredFrames(
        raw_uid=raw_uid,
        start=next((row.start for row in rows), {}),
        q=q,
        keys=[row.key for row in rows],
        said=[row.data for row in rows],
        intensity=np.array([_judged(row) for row in rows], np.float64).reshape(
            len(rows), q.size
        ),
        embedding=np.array(
            [row.arrays.get("embedding", absent) for row in rows], np.float64
        ).reshape(len(rows), 64),
    )


def analysed_runs(root: Any, container: str) -> Iterator[str]:
    """Uids of the raw runs that were analysed last, the newest first.

    Raises
    ------
    ReplayError
        If there is no such container, or the server fails.
    """
    derived = container_of(root, container, "the Tiled server")
    try:
        newest = derived.values()[-1 : -1 - _PAGE : -1]
    except (httpx.HTTPError, OSError) as error:
        raise kind_of(error)(f"{container!r} cannot be listed: {error}") from error
    uids = (str(start_of(run).get("raw_uid", "")) for run in newest)
    yield from dict.fromkeys(uid for uid in uids if uid)


def _has_light(row: VerdictRow) -> bool:
    pattern = row.arrays.get("intensity")
    if pattern is None or int(row.data["dq"]) & _GONE:
        return False
    return bool((np.nan_to_num(pattern) > 0.0).any())


def _judged(row: VerdictRow) -> NDArray[np.generic]:
    """The pattern that heads were given: the robust one where there is one."""
    robust = row.arrays.get("intensity_robust")
    if robust is None or not np.isfinite(robust.astype(float)).any():
        return row.arrays["intensity"]
    return robust

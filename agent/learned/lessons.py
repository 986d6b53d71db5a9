"""A flag taught from stored frames, with the card that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.stored_frames import StoredFrames
from ringwatch.agent.sources.verdict_rows import Key
from ringwatch.models.teaching import PARTS, TaughtFlag, teach_flag

__all__ = ["Lesson", "learn"]

Floats = NDArray[np.float64]

_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a person says of stored frames.

    Attributes
    ----------
    name : str
        Of the flag.
    by : str
        Who teaches.
    frames : mapping of str to collection of Key
        Stream, data key and index of frames that have it, by raw run.
    without : mapping of str to collection of Key
        Of frames of the same runs that have it not; runs that are missing here: those
        of the same streams and data keys before the first one that has it.
    per_hour, rate_hz : float
        False alarms an hour that are accepted, at so many frames a second.
    """

    name: str
    by: str
    frames: Mapping[str, Collection[Key]]
    without: Mapping[str, Collection[Key]]
    per_hour: float = 1.0
    rate_hz: float = 10.0


def learn(
    lesson: Lesson,
    runs: Sequence[StoredFrames],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[TaughtFlag, dict[str, Any]]:
    """Teach a flag.

    Parameters
    ----------
    lesson : Lesson
    runs : sequence of StoredFrames
        Those that the lesson names, and all others, which are taken not to have it.
    progress : callable
        Told (done, of).

    Returns
    -------
    flag : TaughtFlag
    card : dict

    Raises
    ------
    LearnedError
        Where frames are not stored, or too few.
    """
    named = [run for run in runs if run.raw_uid in lesson.frames]
    if missing := set(lesson.frames) - {run.raw_uid for run in named}:
        raise LearnedError(f"nothing is stored of the taught runs {sorted(missing)}")
    # All on the q of the first taught run: what lies beyond it nobody taught.
    q = named[0].q
    taught = [run.on(q)[_with_it(run, lesson)] for run in named]
    without = [run.on(q)[_without_it(run, lesson)] for run in named]
    others = [run.on(q) for run in runs if run.raw_uid not in lesson.frames]
    others = [run for run in others if len(run)]
    # The trace is a difference within a sample: of several runs one has to do for each.
    fewer = [min(len(a), len(b)) for a, b in zip(taught, without, strict=True)]
    place = int(np.argmax(fewer))
    if min(len(taught[place]), len(without[place])) < _FEWEST or len(others) < PARTS:
        raise LearnedError(
            f"too little to teach {lesson.name!r} from: {len(taught[place])} frames "
            f"with it and {len(without[place])} without in one run, {len(others)} "
            f"other stored runs; {_FEWEST}, {_FEWEST} and {PARTS} are needed, better "
            "20, 20 and 20. Name frames without it by --without RUN:0-9"
        )
    more = [b for i, b in enumerate(without) if i != place and len(b)]
    try:
        flag = teach_flag(
            q,
            taught[place],
            without[place],
            [*others, *more],
            per_hour=lesson.per_hour,
            rate_hz=lesson.rate_hz,
            progress=progress,
        )
    except ValueError as error:
        raise LearnedError(f"{lesson.name!r} cannot be taught: {error}") from error
    every = np.concatenate(taught)
    card = flag.card() | {
        "by": lesson.by,
        "taught": {
            uid: [list(key) for key in sorted(set(keys))]
            for uid, keys in lesson.frames.items()
        },
        "stored_runs": sorted(
            r.raw_uid for r in runs if r.raw_uid not in lesson.frames
        ),
        "accepted_per_hour": lesson.per_hour,
        "rate_hz": lesson.rate_hz,
        "recall_taught": float((flag.head.score(q, every) >= 0.0).mean()),
    }
    return flag, card


def _with_it(run: StoredFrames, lesson: Lesson) -> NDArray[np.int64]:
    return run.rows(lesson.frames[run.raw_uid])


def _without_it(run: StoredFrames, lesson: Lesson) -> NDArray[np.int64]:
    if run.raw_uid in lesson.without:
        return run.rows(lesson.without[run.raw_uid])
    first: dict[tuple[str, str], int] = {}
    for stream, data_key, index in lesson.frames[run.raw_uid]:
        of = stream, data_key
        first[of] = min(index, first.get(of, index))
    return run.rows(key for key in run.keys if key[2] < first.get(key[:2], 0))

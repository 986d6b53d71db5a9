"""What is new in stored runs, by clusters; and labels of stored frames by named ones.

It takes stored embeddings only, no pixels.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.head_file import Head
from ringwatch.agent.learned.stored_frames import StoredFrames
from ringwatch.models.class_heads import UNNAMED, ClassHead
from ringwatch.models.clusters import Cluster, find_clusters, seen_phases
from ringwatch.models.teaching import FalseAlarms

__all__ = [
    "Found",
    "Relabelled",
    "changes",
    "find_new",
    "label_again",
    "name_cluster",
]

Floats = NDArray[np.float64]
Frame = tuple[str, str, str, int]

_RATE_HZ = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A cluster of frames that are like no phase seen or named so far.

    Attributes
    ----------
    number : int
        From 1, the largest first.
    frames : list of Frame
        Raw run, stream, data key and index.
    example : Frame
        The one nearest to the middle.
    novelty : float
        Median distance to the nearest known phase, in scatters within one.
    """

    number: int
    frames: list[Frame]
    example: Frame
    novelty: float

    @property
    def runs(self) -> list[str]:
        """Raw runs that they are of."""
        return list(dict.fromkeys(frame[0] for frame in self.frames))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabelled:
    """A frame with its label before and after."""

    raw_uid: str
    raw_stream: str
    raw_data_key: str
    raw_index: int
    before: str
    label: str
    changed: bool
    distance: float


def find_new(
    runs: Sequence[StoredFrames], seen: Sequence[str], named: ClassHead | None
) -> list[Found]:
    """Clusters of frames that are neither like those of seen runs nor of a named phase.

    Parameters
    ----------
    runs : sequence of StoredFrames
        All to be gone through, in the order of time.
    seen : sequence of str
        Raw uids of those whose phases count as known.
    named : ClassHead or None
    """
    known = _known(runs, seen, named)
    rows = [(run.raw_uid, *key) for run in runs for key in run.keys]
    clusters, novelty = find_clusters([run.embedding for run in runs], known)
    return [_found(i + 1, each, rows, novelty) for i, each in enumerate(clusters)]


def _known(
    runs: Sequence[StoredFrames], seen: Sequence[str], named: ClassHead | None
) -> ClassHead | None:
    """Named phases, and those of seen runs that are none of these."""
    rows = [run.embedding for run in runs if run.raw_uid in set(seen)]
    phases = seen_phases(rows) if rows else None
    if phases is None or named is None:
        return phases or named
    strange = [not name for name in named.classify(phases.means)]
    every = (f"{UNNAMED}{i}" for i in itertools.count(1))  # one name, one phase
    free = (name for name in every if name not in named.names)
    names = (*named.names, *itertools.islice(free, sum(strange)))
    means = np.concatenate([named.means, phases.means[strange]])
    return ClassHead(names, means, named.scatter, named.limit)


def _found(
    number: int, cluster: Cluster, rows: Sequence[Frame], novelty: Floats
) -> Found:
    return Found(
        number=number,
        frames=[rows[i] for i in cluster.members],
        example=rows[cluster.example],
        novelty=float(np.median(novelty[cluster.members])),
    )


def name_cluster(
    runs: Sequence[StoredFrames],
    found: Sequence[Found],
    names: Mapping[int, str],
    seen: Sequence[str],
    named: ClassHead | None,
) -> tuple[ClassHead, dict[str, Any]]:
    """A head that knows the named clusters beside what was named before, and its card.

    Phases of seen runs stay in it as what they are, so that a new class does not reach
    over them; what was named before and is in none of these runs stays as it was. Its
    false alarms are frames of other clusters and of seen phases that it would give one
    of the new names.

    Raises
    ------
    LearnedError
        Where there is no such cluster, or its name is taken by a class of which these
        runs hold no frame: of one name only one mean is kept.
    """
    if strange := sorted(set(names) - {each.number for each in found}):
        raise LearnedError(
            f"there is no cluster {strange[0]}: found are 1 to {len(found)}"
        )
    x = np.concatenate([run.embedding for run in runs])
    rows = {(run.raw_uid, *key): i for i, (run, key) in enumerate(_keys(runs))}
    known = _known(runs, seen, named)
    own = {
        frame: names[c.number] for c in found if c.number in names for frame in c.frames
    }
    there = np.flatnonzero(np.isfinite(x).all(axis=1))
    of = np.full(len(x), "", dtype=object)
    if known is not None:
        of[there] = known.classify(x[there])
    _check_free(set(names.values()), named, set(of))
    for frame, name in own.items():
        of[rows[frame]] = name
    head = _beside(ClassHead.fit(x[of != ""], list(of[of != ""])), named)
    said = np.full(len(x), "", dtype=object)
    said[there] = head.classify(x[there])
    new = set(names.values())
    wrong = np.array([said[i] in new and of[i] != said[i] for i in range(len(x))])
    ends = np.cumsum([len(run.keys) for run in runs])[:-1]
    scores = [np.where(each, 1.0, -1.0) for each in np.split(wrong, ends)]
    return head, {
        "false_alarms": asdict(FalseAlarms.of(scores, _RATE_HZ)),
        "counted_on": "the frames that it learned from",
        "named": {name: sum(n == name for n in own.values()) for name in new},
    }


def _check_free(new: set[str], named: ClassHead | None, here: set[str]) -> None:
    taken = sorted(new & set(() if named is None else named.names) - here)
    if taken:
        raise LearnedError(
            f"a class {taken[0]!r} was named before, and none of these runs shows it: "
            "choose another name, or go through the runs that show it as well"
        )


def _beside(head: ClassHead, named: ClassHead | None) -> ClassHead:
    """With what was named before and has no frame in the runs at hand."""
    names = () if named is None else named.names
    absent = [i for i, name in enumerate(names) if name not in head.names]
    if named is None or not absent:
        return head
    means = np.concatenate([head.means, named.means[absent]])
    every = (*head.names, *(names[i] for i in absent))
    return ClassHead(every, means, head.scatter, head.limit)


def _keys(runs: Sequence[StoredFrames]) -> Iterator[tuple[StoredFrames, Any]]:
    return ((run, key) for run in runs for key in run.keys)


def label_again(
    runs: Sequence[StoredFrames], head: Head, before: Mapping[Frame, str]
) -> list[Relabelled]:
    """Labels of all frames by a head of named classes.

    Frames of the version before that are not in these runs come last, as they were: a
    version is whole. A frame that is none of the classes has the symmetry's symbol
    again, whatever an earlier head had called it.

    Parameters
    ----------
    runs : sequence of StoredFrames
    head : Head
        Of classes.
    before : mapping of Frame to str
        Labels of the version before; frames that are missing have what was published:
        a taught class, or the symmetry's symbol.
    """
    model = head.model
    if not isinstance(model, ClassHead):
        raise LearnedError(f"{head.name!r} is a flag: relabel by named classes")
    done: list[Relabelled] = []
    for run in runs:
        fits = head.card.get("model_hash") == run.start.get("model_hash")
        away = model.novelty(run.embedding) if fits else np.full(len(run.keys), np.nan)
        names = model.classify(run.embedding) if fits else [""] * len(run.keys)
        for key, data, name, far in zip(run.keys, run.said, names, away, strict=True):
            frame = (run.raw_uid, *key)
            published = str(data["label"])
            old = before.get(frame) or str(data.get("taught_class") or published)
            new = name if name and not name.startswith(UNNAMED) else published
            if not fits:  # of another network: this head says nothing of it
                new = old
            done.append(
                Relabelled(
                    raw_uid=run.raw_uid,
                    raw_stream=key[0],
                    raw_data_key=key[1],
                    raw_index=key[2],
                    before=old,
                    label=new,
                    changed=new != old,
                    distance=float(far),
                )
            )
    seen = {(d.raw_uid, d.raw_stream, d.raw_data_key, d.raw_index) for d in done}
    return done + [_as_before(*each) for each in before.items() if each[0] not in seen]


def _as_before(frame: Frame, label: str) -> Relabelled:
    uid, stream, data_key, index = frame
    return Relabelled(
        raw_uid=uid,
        raw_stream=stream,
        raw_data_key=data_key,
        raw_index=index,
        before=label,
        label=label,
        changed=False,
        distance=float("nan"),
    )


def changes(done: Sequence[Relabelled]) -> dict[str, int]:
    """Frames that changed, by raw run; runs without any are left out."""
    return dict(Counter(each.raw_uid for each in done if each.changed))

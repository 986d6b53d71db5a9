"""What is new in stored runs, by clusters; and labels of stored frames by named ones.

A version of labels is a Bluesky run of its own in Tiled, beside the earlier ones and
never over them: one event a frame, with the label before and after. It takes stored
embeddings only, no pixels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from event_model import compose_run
from numpy.typing import NDArray

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.fields import DTYPES, OBJECT
from ringwatch.agent.learned.head_file import Head
from ringwatch.agent.learned.stored_frames import StoredFrames
from ringwatch.agent.results import NamedDocument
from ringwatch.models.class_heads import UNNAMED, ClassHead
from ringwatch.models.clusters import Cluster, find_clusters, seen_phases
from ringwatch.models.teaching import FalseAlarms

__all__ = [
    "VERSIONS",
    "Found",
    "Relabelled",
    "changes",
    "find_new",
    "label_again",
    "name_cluster",
    "version_documents",
]

Floats = NDArray[np.float64]
Frame = tuple[str, str, str, int]

VERSIONS = "relabelled"
"""Container of the versions in Tiled."""
STREAM = "primary"
_RATE_HZ = 10.0
_COLUMNS: Mapping[str, type] = {
    "raw_uid": str,
    "raw_stream": str,
    "raw_data_key": str,
    "raw_index": int,
    "before": str,
    "label": str,
    "changed": bool,
    "distance": float,
}


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
    names = (*named.names, *np.array(phases.names, object)[strange])
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
    over them. Its false alarms are frames of other clusters and of seen phases that it
    would give one of the new names.

    Raises
    ------
    LearnedError
        Where there is no such cluster.
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
    for frame, name in own.items():
        of[rows[frame]] = name
    head = ClassHead.fit(x[of != ""], list(of[of != ""]))
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


def _keys(runs: Sequence[StoredFrames]) -> Iterator[tuple[StoredFrames, Any]]:
    return ((run, key) for run in runs for key in run.keys)


def label_again(
    runs: Sequence[StoredFrames], head: Head, before: Mapping[Frame, str]
) -> list[Relabelled]:
    """Labels of all frames by a head of named classes.

    A frame that is none of them has the symmetry's symbol again, whatever an earlier
    head had called it.

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
    return done


def changes(done: Sequence[Relabelled]) -> dict[str, int]:
    """Frames that changed, by raw run; runs without any are left out."""
    return dict(Counter(each.raw_uid for each in done if each.changed))


def version_documents(
    done: Sequence[Relabelled], head: Head, by: str, number: int
) -> Iterator[NamedDocument]:
    """Documents of one version of labels: start, descriptor, events, stop."""
    changed = changes(done)
    bundle = compose_run(
        metadata={
            "purpose": "labels of stored frames",
            "agent": OBJECT,
            "agent_version": version("ringwatch"),
            "label_version": number,
            "by": by,
            "head": head.name,
            "head_hash": head.digest,
            "model_hash": str(head.card.get("model_hash", "")),
            "frames": len(done),
            "frames_changed": sum(changed.values()),
            "runs_changed": len(changed),
        }
    )
    yield "start", dict(bundle.start_doc)
    keys = {name: _data_key(kind) for name, kind in _COLUMNS.items()}
    stream = bundle.compose_descriptor(
        name=STREAM, data_keys=keys, object_keys={OBJECT: list(keys)}
    )
    yield "descriptor", dict(stream.descriptor_doc)
    now = time.time()
    for each in done:
        data = asdict(each)
        stamps = dict.fromkeys(data, now)
        event = stream.compose_event(data=data, timestamps=stamps, validate=False)
        yield "event", dict(event)
    yield "stop", dict(bundle.compose_stop())


def _data_key(kind: type) -> dict[str, Any]:
    dtype, dtype_numpy = DTYPES[kind]
    return {
        "source": OBJECT,
        "dtype": dtype,
        "dtype_numpy": dtype_numpy,
        "shape": [],
    }

"""Named phases and versions of labels: nothing is forgotten, and all can be undone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.head_file import Head
from ringwatch.agent.learned.relabelling import (
    Relabelled,
    changes,
    find_new,
    label_again,
    name_cluster,
)
from ringwatch.agent.learned.stored_frames import StoredFrames
from ringwatch.models.class_heads import ClassHead

NETWORK = "network"
FRAMES = 8


def run_of(uid: str, phase: int, network: str = NETWORK) -> StoredFrames:
    """Frames of one phase, which is 6 from every other in the embedding."""
    rng = np.random.default_rng(phase)
    middle = np.zeros(64)
    middle[phase] = 6.0
    return StoredFrames(
        raw_uid=uid,
        start={"model_hash": network},
        q=np.linspace(1.0, 2.0, 4),
        keys=[("primary", "det_image", i) for i in range(FRAMES)],
        said=[{"label": "F---", "taught_class": ""} for _ in range(FRAMES)],
        intensity=np.ones((FRAMES, 4)),
        embedding=middle + rng.normal(size=(FRAMES, 64)) / 8.0,
    )


def kept(model: ClassHead) -> Head:
    return Head(
        name="phases", digest="0" * 64, model=model, card={"model_hash": NETWORK}
    )


def named(runs: list[StoredFrames], name: str, before: ClassHead | None) -> ClassHead:
    """The head after the newest run's cluster was given a name."""
    seen = [run.raw_uid for run in runs[:-1]]
    found = find_new(runs, seen, before)
    assert [each.runs for each in found] == [[runs[-1].raw_uid]]
    return name_cluster(runs, found, {1: name}, seen, before)[0]


def as_stored(done: list[Relabelled]) -> Mapping[tuple[str, str, str, int], str]:
    return {
        (d.raw_uid, d.raw_stream, d.raw_data_key, d.raw_index): d.label for d in done
    }


def test_a_name_that_is_taken_back_gives_the_symmetry_again() -> None:
    a, b = run_of("a", 0), run_of("b", 1)
    first = label_again([a, b], kept(named([a, b], "hydrate", None)), {})
    assert changes(first) == {"b": FRAMES}
    without = ClassHead.fit(a.embedding, ["melt"] * FRAMES)
    second = label_again([b], kept(without), as_stored(first))
    of_b = [each for each in second if each.raw_uid == "b"]
    assert {(each.before, each.label) for each in of_b} == {("hydrate", "F---")}
    assert changes(second) == {"b": FRAMES}


def test_frames_of_another_network_keep_their_label() -> None:
    a, b = run_of("a", 0), run_of("b", 1)
    head = kept(named([a, b], "hydrate", None))
    first = label_again([a, b], head, {})
    other = label_again([run_of("b", 1, "another")], head, as_stored(first))
    assert changes(other) == {}
    assert {each.label for each in other if each.raw_uid == "b"} == {"hydrate"}


def test_a_class_that_is_in_none_of_the_runs_at_hand_is_not_forgotten() -> None:
    a, b, c = run_of("a", 0), run_of("b", 1), run_of("c", 2)
    first = named([a, b], "hydrate", None)
    second = named([a, c], "melt", first)
    assert set(second.classify(b.embedding)) == {"hydrate"}
    assert set(second.classify(c.embedding)) == {"melt"}
    assert set(second.classify(a.embedding)) == {"seen 1"}


def test_a_name_is_not_given_to_another_phase_without_a_look_at_its_own() -> None:
    a, b, c = run_of("a", 0), run_of("b", 1), run_of("c", 2)
    first = named([a, b], "hydrate", None)
    with pytest.raises(LearnedError, match="'hydrate' was named before"):
        named([a, c], "hydrate", first)
    both = named([a, b, c], "hydrate", first)  # one that looks different now
    assert set(both.names) == {"hydrate", "seen 1"}


def test_phases_seen_at_different_times_stay_apart() -> None:
    a, b, c, d = (run_of(uid, i) for i, uid in enumerate("abcd"))
    second = named([d, c], "melt", named([a, b], "hydrate", None))
    said = [set(second.classify(run.embedding)) for run in (a, b, c, d)]
    assert said == [{"seen 1"}, {"hydrate"}, {"melt"}, {"seen 2"}]


def test_each_version_is_whole() -> None:
    a, b, c = run_of("a", 0), run_of("b", 1), run_of("c", 1)
    head = kept(named([a, b], "hydrate", None))
    first = label_again([a, b, c], head, {})
    second = label_again([b], head, as_stored(first))  # --run b
    assert as_stored(second) == as_stored(first)
    third = label_again([a, b, c], head, as_stored(second))
    assert changes(first) == {"b": FRAMES, "c": FRAMES}
    assert changes(second) == changes(third) == {}

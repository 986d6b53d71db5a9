"""``until_confident`` and ``next_sample``: time where it is needed, and no longer."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine

from ringwatch.agent.nouns import Word
from ringwatch.benchmarks.counting_time import Sampled, compare
from ringwatch.benchmarks.sample_choice import share_out, worst
from ringwatch.plans.goals import Counted, Labelled, Precise
from ringwatch.plans.heard import Heard
from ringwatch.plans.next_sample import Progress, neediest, next_sample
from ringwatch.plans.until_confident import until_confident
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .attached import Documents, attached
from .test_conditions import heard


def labelled(seconds: float, label: str, number: int, prob: float) -> Counted:
    said = heard(0, label=label, class_number=number, label_prob=prob)
    return Counted(seconds=seconds, heard=said)


def test_a_label_is_known_when_sure_or_settled() -> None:
    goal = Labelled(prob=0.8, same=3, settled=0.1, least=0.2, longer=2.0)
    assert goal.reason([labelled(1, "F---", 196, 0.9)]).startswith("F--- (class 196)")
    unsure = [labelled(2**k, "F---", 196, 0.3 + 0.02 * k) for k in range(3)]
    assert goal.reason(unsure[:2]) == ""
    assert "3 exposures" in goal.reason(unsure)
    rising = [labelled(2**k, "F---", 196, 0.2 + 0.2 * k) for k in range(3)]
    assert goal.reason(rising) == ""
    changing = [*unsure[:2], labelled(4, "P---", 195, 0.34)]
    assert goal.reason(changing) == ""
    silent = [*unsure, Counted(seconds=8.0, heard=None)]
    assert goal.reason(silent) == ""
    assert goal.next_s(unsure) == 8.0


def precise(seconds: float, precision: float) -> Counted:
    said = heard(0, values={"precision": precision})
    return Counted(seconds=seconds, heard=said)


def test_what_is_left_to_a_precision_is_counted_at_once() -> None:
    goal = Precise(precision=0.01)
    first = [precise(1.0, 0.04)]
    assert goal.reason(first) == ""
    assert goal.next_s(first) == pytest.approx(15.0)
    both = [*first, precise(15.0, 0.04 / math.sqrt(15.0))]
    assert "1.00%" in goal.reason(both)
    assert goal.next_s([Counted(seconds=2.0, heard=None)]) == 4.0


@pytest.mark.parametrize("act", [False, True])
def test_exposures_end_when_the_rings_are_known(tmp_path: Path, act: bool) -> None:
    beamline = powder_beamline(
        tmp_path, detector=256, pace=0.0, exposure_time=1.0, counts=2e5
    )
    with attached(beamline) as (engine, verdicts, _, documents):
        counted: list[Counted] = []

        def plan() -> Any:
            counted.extend(
                (
                    yield from until_confident(
                        [beamline.detector],
                        beamline.detector.exposure_time,
                        verdicts,
                        Precise(precision=0.01),
                        first_s=0.1,
                        longest_s=50.0,
                        act=act,
                        readables=beamline.readables,
                    )
                )
            )

        engine(plan())
    (said,) = documents.events("ringwatch")
    assert said["action_acted"] == act
    spent = sum(one.seconds for one in counted)
    reached = Precise().reached(counted)
    assert reached <= 0.01
    if act:
        assert said["action_value"] == pytest.approx(spent)
        # No more than what counting statistics ask, but for the step at the end.
        assert spent < 1.6 * spent * (reached / 0.01) ** 2
        assert spent < 25.0
    else:
        assert counted[-1].seconds == 50.0
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_without_an_agent_the_longest_exposure_is_taken(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256, pace=0.0)
    engine, documents = RunEngine({}), Documents()
    engine.subscribe(documents)
    began = time.monotonic()
    exposure = beamline.detector.exposure_time
    engine(
        until_confident(
            [beamline.detector], exposure, Verdicts(), first_s=0.1, longest_s=3.0
        )
    )
    assert time.monotonic() - began < 5.0
    taken = [event["detector_exposure_time"] for event in documents.events("primary")]
    assert taken == [0.1, 3.0]


def test_the_comparison_counts_what_it_says() -> None:
    def sample(number: int, probs: list[float]) -> Sampled:
        counted = [
            labelled(2.0**k, "F---", 196 if prob > 0.1 else 1, prob)
            for k, prob in enumerate(probs)
        ]
        return Sampled(class_number=number, counted=counted)

    easy = sample(196, [0.9, 0.9, 0.9])
    hard = sample(196, [0.05, 0.05, 0.5])
    row = compare([easy, hard], Labelled())
    assert row["fixed_s"] == 4.0
    assert row["fixed_right"] == 1.0
    assert row["until_confident_s"] == pytest.approx((1.0 + 5.0) / 2)
    assert row["until_confident_right"] == 1.0


@pytest.mark.parametrize(
    ("first_s", "longest_s"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)]
)
def test_exposures_that_cannot_be(first_s: float, longest_s: float) -> None:
    plan = until_confident([], None, Verdicts(), first_s=first_s, longest_s=longest_s)
    with pytest.raises(ValueError, match="first_s"):
        next(plan)


def test_the_weakest_sample_gets_the_time(tmp_path: Path) -> None:
    ways = share_out(tmp_path, 40, seed=3)
    ours = worst(ways, "next_sample")
    assert ours < 0.95 * worst(ways, "round robin")
    # One frame more or less of the weakest is what the noise of one seed leaves.
    assert ours < 1.1 * worst(ways, "closed form")
    frames = {name: state.frames for name, state in ways["next_sample"].items()}
    assert sum(frames.values()) == 40
    assert min(frames.values()) >= 1


def test_samples_are_left_when_they_are_known(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256, pace=0.0, counts=1e5)
    samples = {
        "full": {beamline.sample_y: 0.0},
        "little": {beamline.sample_y: 0.45},
    }
    with attached(beamline) as (engine, verdicts, _, documents):
        found: dict[str, Progress] = {}

        def plan() -> Any:
            found.update(
                (
                    yield from next_sample(
                        samples,
                        [beamline.detector],
                        verdicts,
                        frames=100,
                        precision=0.01,
                        act=True,
                        readables=beamline.readables,
                    )
                )
            )

        engine(plan())
    assert all(state.precision <= 0.01 for state in found.values())
    assert found["little"].frames > found["full"].frames
    assert sum(state.frames for state in found.values()) < 100
    said = documents.events("ringwatch")
    assert all(event["action_acted"] for event in said)
    names = [event["sample"] for event in documents.events("primary")]
    assert names[:2] == ["full", "little"]


def test_a_sample_that_tells_nothing_is_given_up() -> None:
    empty, fine = Progress(), Progress()
    for _ in range(3):
        empty.add(heard(0, "bad"))
        empty.add(None)  # nobody looked: no reason to give it up
    fine.add(heard(0, values={"precision": 0.05}))
    assert neediest({"a": empty, "b": fine}, 0.01, "a", 3, 0.0) == "b"
    assert neediest({"a": empty, "b": fine}, 0.1, "a", 3, 0.0) == ""
    assert neediest({"a": empty, "b": fine}, 0.01, "a", 4, 0.0) == "a"
    better = Progress()
    better.add(heard(0, values={"precision": 0.048}))
    assert neediest({"a": better, "b": fine}, 0.01, "a", 3, 0.0) == "b"
    assert neediest({"a": better, "b": fine}, 0.01, "a", 3, 0.1) == "a"


def test_a_choice_that_cannot_be_made() -> None:
    for samples, frames in (({}, 10), ({"a": {}, "b": {}}, 1)):
        with pytest.raises(ValueError, match="expected one sample or more"):
            next(next_sample(samples, [], Verdicts(), frames=frames))
    state = Progress()
    state.add(None)
    bad = heard(0, "bad", values={"precision": 0.1})
    assert isinstance(bad, Heard)
    assert bad.word is Word.BAD
    state.add(bad)
    assert (state.frames, state.useless, state.precision) == (2, 1, math.inf)

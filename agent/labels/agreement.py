"""How far people agree, over the frames that several of them judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ringwatch.agent.labels.label import FrameKey, Label
from ringwatch.agent.labels.opinions import Opinions, class_said, opinions

__all__ = ["Agreement", "Measure", "agreement", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Agreement about one question.

    Attributes
    ----------
    frames : int
        With at least two answers.
    share : float
        Of pairs of answers to the same frame that are the same, 0 to 1, every frame
        counting alike; NaN without frames.
    kappa : float
        How much of what chance would leave open is agreed upon, 1 for all; NaN where
        chance alone explains it: no frames, or everybody gives one and the same answer.
    kind : str
        ``Cohen`` for two people, ``Fleiss`` for more.
    """

    frames: int
    share: float
    kappa: float
    kind: str

    def to_object(self) -> dict[str, Any]:
        """Plain values, None where there is no number."""
        return {
            "frames": self.frames,
            "share": None if math.isnan(self.share) else self.share,
            "kappa": None if math.isnan(self.kappa) else self.kappa,
            "kind": self.kind,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far people agree; an adjudicated label is nobody's and not counted.

    Attributes
    ----------
    people : tuple of str
    machine : Measure
        Whether what the machine said is right.
    classes : Measure
        Which class a frame shows, where it was named.
    disputed : tuple of FrameKey
        Frames of which people say different things.
    open : tuple of FrameKey
        Those of them that nobody has adjudicated.
    """

    people: tuple[str, ...]
    machine: Measure
    classes: Measure
    disputed: tuple[FrameKey, ...]
    open: tuple[FrameKey, ...]


def agreement(labels: Iterable[Label]) -> Agreement:
    """How far the people who judged these frames agree."""
    every = opinions(labels)
    machine = {frame: _on_machine(each) for frame, each in every.items()}
    classes = {frame: _on_class(each) for frame, each in every.items()}
    disputed = [
        frame
        for frame in every
        if len(set(machine[frame].values())) > 1
        or len(set(classes[frame].values())) > 1
    ]
    return Agreement(
        people=tuple(sorted({by for each in every.values() for by in each.judgements})),
        machine=measure(list(machine.values())),
        classes=measure(list(classes.values())),
        disputed=tuple(disputed),
        open=tuple(frame for frame in disputed if not every[frame].adjudicated),
    )


def measure(answers: Sequence[Mapping[str, str]]) -> Measure:
    """Agreement over the answers to each frame.

    For two people Cohen's kappa (J. Cohen, Educ. Psychol. Meas. 20, 37 (1960), eq. 1);
    for more that of Fleiss (J. L. Fleiss, Psychol. Bull. 76, 378 (1971), eqs. 2-7),
    frames with different numbers of answers weighing alike in the observed agreement.

    Parameters
    ----------
    answers : sequence of mapping of str to str
        Of each frame, by person.
    """
    several = [each for each in answers if len(each) > 1]
    people = sorted({by for each in several for by in each})
    kind = "Cohen" if len(people) <= 2 else "Fleiss"
    if not several:
        return Measure(frames=0, share=math.nan, kappa=math.nan, kind=kind)
    share = sum(_same(list(each.values())) for each in several) / len(several)
    if kind == "Cohen":
        first, second = (Counter(each[by] for each in several) for by in people)
        chance = sum(first[k] * second[k] for k in first) / len(several) ** 2
    else:
        counts = Counter(answer for each in several for answer in each.values())
        total = sum(counts.values())
        chance = sum((n / total) ** 2 for n in counts.values())
    kappa = (share - chance) / (1 - chance) if chance < 1 else math.nan
    return Measure(frames=len(several), share=share, kappa=kappa, kind=kind)


def _same(answers: list[str]) -> float:
    """Share of pairs that are the same."""
    pairs = list(combinations(answers, 2))
    return sum(a == b for a, b in pairs) / len(pairs)


def _on_machine(said: Opinions) -> dict[str, str]:
    """Whether the machine is right, by person; whoever names its very class says so."""
    return {
        by: "right" if label.says == "correct" or _is_its_class(label) else "wrong"
        for by, label in said.judgements.items()
    }


def _is_its_class(label: Label) -> bool:
    return label.says == "class" and bool(label.label) and label.value == label.label


def _on_class(said: Opinions) -> dict[str, str]:
    return {by: class_said(x) for by, x in said.judgements.items() if class_said(x)}

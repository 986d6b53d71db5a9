"""What counts of all that was said: of each person the newest, and what is settled.

A frame is judged by *correct*, *wrong* and *class*: of each person the newest of these
stands. A *flag* stands beside them, one for each name. *withdraw* takes back all that
the same person had said of the frame. An adjudicated judgement stands beside those of
people and settles what they say differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from ringwatch.agent.labels.label import FrameKey, Label

__all__ = ["Opinions", "class_said", "opinions", "said_flags", "settled_classes"]

JUDGEMENTS = frozenset({"correct", "wrong", "class"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What stands of one frame.

    Attributes
    ----------
    frame : FrameKey
    judgements : dict of str to Label
        By person: the newest *correct*, *wrong* or *class*.
    flags : dict of (str, str) to Label
        By person and name of the condition.
    adjudicated : Label or None
        The newest adjudicated judgement.
    comments : list of Label
        In the order they were said.
    """

    frame: FrameKey
    judgements: Mapping[str, Label] = field(default_factory=dict)
    flags: Mapping[tuple[str, str], Label] = field(default_factory=dict)
    adjudicated: Label | None = None
    comments: tuple[Label, ...] = ()

    @property
    def standing(self) -> list[Label]:
        """All of these in the order they were said."""
        one = [self.adjudicated] if self.adjudicated else []
        every = [*self.judgements.values(), *self.flags.values(), *one, *self.comments]
        return sorted(every, key=attrgetter("time", "uid"))

    @property
    def settled_class(self) -> str:
        """The class that counts: the adjudicated one, or the one all agree on; ''.

        Who calls what the machine said wrong contradicts whoever says that very class.
        """
        if self.adjudicated:
            return class_said(self.adjudicated)
        said = {class_said(each) for each in self.judgements.values()} - {""}
        denied = {
            each.label for each in self.judgements.values() if each.says == "wrong"
        }
        return said.pop() if len(said) == 1 and not said & denied else ""


def class_said(label: Label) -> str:
    """The class that a label says: its own, or the machine's if that is correct; ''."""
    if label.says == "class":
        return label.value
    return label.label if label.says == "correct" else ""


def opinions(labels: Iterable[Label]) -> dict[FrameKey, Opinions]:
    """What stands of each frame of which anything was said, in the order of time.

    Parameters
    ----------
    labels : iterable of Label
        In any order.
    """
    of_frame: dict[FrameKey, list[Label]] = {}
    for label in sorted(labels, key=attrgetter("time", "uid")):
        of_frame.setdefault(label.frame, []).append(label)
    return {frame: _stand(frame, said) for frame, said in of_frame.items()}


def settled_classes(labels: Iterable[Label]) -> dict[FrameKey, str]:
    """The class of each frame on which nobody disagrees, or that was adjudicated."""
    return {
        frame: each.settled_class
        for frame, each in opinions(labels).items()
        if each.settled_class
    }


def said_flags(labels: Iterable[Label], name: str) -> list[FrameKey]:
    """Frames of which somebody says that they show the condition ``name``."""
    return [
        frame
        for frame, each in opinions(labels).items()
        if any(flag == name for _, flag in each.flags)
    ]


def _stand(frame: FrameKey, said: list[Label]) -> Opinions:
    """What stands of one frame, of labels in the order of time."""
    judgements: dict[str, Label] = {}
    flags: dict[tuple[str, str], Label] = {}
    comments: list[Label] = []
    adjudicated: Label | None = None
    for label in said:
        if label.says == "comment":
            comments.append(label)
        elif label.says == "flag":
            flags[label.by, label.value] = label
        elif label.adjudicated and label.says == "withdraw":
            adjudicated = None
            flags = {key: each for key, each in flags.items() if not each.adjudicated}
        elif label.adjudicated:
            adjudicated = label
        elif label.says in JUDGEMENTS:
            judgements[label.by] = label
        else:
            judgements.pop(label.by, None)
            flags = {key: each for key, each in flags.items() if key[0] != label.by}
            comments = [each for each in comments if each.by != label.by]
    return Opinions(
        frame=frame,
        judgements=judgements,
        flags=flags,
        adjudicated=adjudicated,
        comments=tuple(comments),
    )

"""What is to be known of a sample before counting may end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ringwatch.plans.conditions import USABLE
from ringwatch.plans.heard import Heard

__all__ = ["Counted", "Goal", "Labelled", "Precise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One exposure and what the agent says of it.

    Attributes
    ----------
    seconds : float
    heard : Heard or None
        None where no verdict came.
    """

    seconds: float
    heard: Heard | None


class Goal(Protocol):
    """What is to be known of a sample."""

    def reason(self, counted: Sequence[Counted]) -> str:
        """Why that is enough; empty where it is not."""

    def next_s(self, counted: Sequence[Counted]) -> float:
        """How long to expose next, seconds."""

    def state(self, counted: Sequence[Counted]) -> str:
        """How far it is, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The label is known, or longer exposures do not change it any more.

    Probabilities are those of 97 classes before anything else is known of the sample;
    the defaults were found on two sets of 200 simulated samples, beginning with a
    quarter of the exposure that would do for all. Exposures that hardly show a ring
    may be sure of a wrong class.

    Attributes
    ----------
    prob : float
        Enough, from one exposure.
    same : int
        Or: so many exposures, each ``longer`` times as long as the one before, name the
        same class, ...
    settled : float
        ... and the probability of the last is above that of the one before by no more
        than this.
    least : float
        ... and it is at least this.
    longer : float
        Factor from each exposure to the next.
    """

    prob: float = 0.4
    same: int = 3
    settled: float = 0.1
    least: float = 0.2
    longer: float = 4.0

    def __post_init__(self) -> None:
        if not (self.longer > 1.0 and self.same >= 2):
            raise ValueError(
                f"longer is {self.longer} and same {self.same}: expected more than 1, "
                "and 2 or more"
            )

    def reason(self, counted: Sequence[Counted]) -> str:
        """Why that is enough; empty where it is not."""
        heard = [one.heard for one in counted if one.heard and one.heard.label]
        if not heard or heard[-1] is not counted[-1].heard:
            return ""
        last = heard[-1]
        named = f"{last.label} (class {last.class_number}) with {last.label_prob:.0%}"
        if len(last.label_set) > 1:
            named += f", {len(last.label_set)} classes are not excluded"
        if last.label_prob >= self.prob:
            return named
        latest = heard[-self.same :]
        if len(latest) < self.same or last.label_prob < self.least:
            return ""
        if {one.class_number for one in latest} != {last.class_number}:
            return ""
        if last.label_prob - latest[-2].label_prob > self.settled:
            return ""
        return f"{named}, as {self.same} exposures say, and no surer for the longest"

    def next_s(self, counted: Sequence[Counted]) -> float:
        """How long to expose next, seconds."""
        return self.longer * counted[-1].seconds

    def state(self, counted: Sequence[Counted]) -> str:
        """What the last exposure says, in words."""
        last = counted[-1].heard
        if last is None or not last.label:
            return "no label"
        known = f"{last.label} (class {last.class_number}) with {last.label_prob:.0%}"
        return f"{known}, asked {self.prob:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precise:
    """The strongest rings are known to a relative precision, all exposures together.

    Attributes
    ----------
    precision : float
        Relative standard deviation, such as 0.01.
    """

    precision: float = 0.01

    def __post_init__(self) -> None:
        if not self.precision > 0.0:
            raise ValueError(f"precision is {self.precision}: expected above 0")

    def reason(self, counted: Sequence[Counted]) -> str:
        """Why that is enough; empty where it is not."""
        reached = self.reached(counted)
        if reached > self.precision:
            return ""
        return f"the strongest rings are known to {reached:.2%}"

    def reached(self, counted: Sequence[Counted]) -> float:
        """Precision of all sound exposures together; infinite without one."""
        weight = sum(
            one.heard.values["precision"] ** -2
            for one in counted
            if one.heard is not None
            and one.heard.word in USABLE
            and one.heard.values.get("precision", 0.0) > 0.0
        )
        return weight**-0.5 if weight else math.inf

    def state(self, counted: Sequence[Counted]) -> str:
        """How precise all exposures are together, in words."""
        reached = self.reached(counted)
        known = f"{reached:.2%}" if math.isfinite(reached) else "not at all"
        return f"the strongest rings are known to {known}, asked {self.precision:.2%}"

    def next_s(self, counted: Sequence[Counted]) -> float:
        """What is left, by how precise the time so far has made it, seconds."""
        reached = self.reached(counted)
        if not math.isfinite(reached):
            return 2.0 * counted[-1].seconds
        total = sum(one.seconds for one in counted)
        return total * ((reached / self.precision) ** 2 - 1.0)

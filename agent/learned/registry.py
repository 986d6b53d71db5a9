"""Which heads are in force, which in shadow, and who said so when.

Nothing is overwritten: heads are files named by their hash, and each step - ``shadow``,
``promote``, ``roll_back`` - is one more line of ``steps.jsonl``.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.head_file import Head, read_head, write_head
from ringwatch.agent.learned.heads import Heads
from ringwatch.models.class_heads import ClassHead
from ringwatch.models.heads import FlagHead

__all__ = ["STEPS", "Registry", "Standing", "Step"]

STEPS = ("shadow", "promote", "roll_back")
_MOST_BYTES = 4 << 20  # of the steps: some ten thousand
_MOST_NAME = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one head.

    Attributes
    ----------
    time : float
        Seconds since the epoch.
    by : str
        Who took it: a name, as given.
    step : str
        One of ``STEPS``.
    name, digest : str
        Of the head; with ``roll_back`` the digest is of what is given up.
    """

    time: float
    by: str
    step: str
    name: str
    digest: str


@dataclass(slots=True)
class Standing:
    """How heads of one name stand: digests in force so far, the last counts; shadow."""

    force: list[str]
    shadow: str = ""


class Registry:
    """A folder of heads and of the steps taken with them.

    Several processes may share it: an agent reads at the start of each run what is
    in force then.

    Parameters
    ----------
    folder : Path
        Need not be there until something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _path(self) -> Path:
        return self.folder / "steps.jsonl"

    def stamp(self) -> tuple[int, int]:
        """What changes with every step: cheap to ask."""
        try:
            state = self._path.stat()
        except OSError:
            return 0, 0
        return state.st_size, state.st_mtime_ns

    def steps(self) -> list[Step]:
        """All steps, oldest first.

        Raises
        ------
        LearnedError
            If the file is damaged.
        """
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                raise LearnedError(f"{self._path} is too long to be ours")
            lines = self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise LearnedError(f"{self._path} cannot be read: {error}") from error
        try:
            found = [Step(**json.loads(line)) for line in lines if line.strip()]
        except (ValueError, TypeError) as error:
            raise LearnedError(
                f"{self._path} holds a line that is no step ({error}): mend or move it"
            ) from error
        if strange := [each.step for each in found if each.step not in STEPS]:
            raise LearnedError(f"{self._path}: unknown step {strange[0]!r}")
        return found

    def standings(self) -> dict[str, Standing]:
        """How each name stands now."""
        standings: dict[str, Standing] = {}
        for each in self.steps():
            here = standings.setdefault(each.name, Standing([]))
            if each.step == "shadow":
                here.shadow = each.digest
            elif each.step == "promote":
                here.force.append(each.digest)
                here.shadow = "" if here.shadow == each.digest else here.shadow
            elif here.force:
                here.force.pop()
        return standings

    def heads(self) -> Heads:
        """Those in force and those in shadow.

        Raises
        ------
        LearnedError
            If one cannot be read.
        """
        standings = sorted(self.standings().items())
        return Heads(
            force=tuple(
                read_head(self.folder, at.force[-1]) for _, at in standings if at.force
            ),
            shadow=tuple(
                read_head(self.folder, at.shadow) for _, at in standings if at.shadow
            ),
        )

    def shadow(
        self, name: str, model: FlagHead | ClassHead, card: Mapping[str, Any], by: str
    ) -> Head:
        """Keep a new head; from the next run on it is tried out, for nobody to act on.

        Raises
        ------
        LearnedError
            If it cannot be written.
        """
        head = write_head(self.folder, name, model, card)
        self._take(by, "shadow", head.name, head.digest)
        return head

    def promote(self, name: str, by: str) -> Head:
        """Put the head in shadow in force, from the next run on.

        Raises
        ------
        LearnedError
            If there is none in shadow, or its false-alarm rate was not measured or is
            more than was accepted when it was taught.
        """
        at = self.standings().get(name)
        if at is None or not at.shadow:
            raise LearnedError(
                f"no head {name!r} is in shadow: teach it first; known are "
                f"{', '.join(sorted(self.standings())) or 'none'}"
            )
        head = read_head(self.folder, at.shadow)
        _may_be_switched_on(head)
        self._take(by, "promote", name, head.digest)
        return head

    def roll_back(self, name: str, by: str) -> str:
        """Give up the head in force for the one before it; its digest, '' for none.

        Raises
        ------
        LearnedError
            If none is in force.
        """
        at = self.standings().get(name)
        if at is None or not at.force:
            raise LearnedError(f"no head {name!r} is in force: nothing to roll back")
        self._take(by, "roll_back", name, at.force[-1])
        return at.force[-2] if len(at.force) > 1 else ""

    def _take(self, by: str, step: str, name: str, digest: str) -> None:
        if not by.strip() or not by.isprintable() or len(by) > _MOST_NAME:
            raise LearnedError(f"who takes the step? {by[:40]!r} is no name")
        taken = Step(time=time.time(), by=by, step=step, name=name, digest=digest)
        line = json.dumps(asdict(taken), sort_keys=True) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LearnedError(
                f"the step cannot be written to {self._path}: {error.strerror}"
            ) from error


def _may_be_switched_on(head: Head) -> None:
    """Refuse a head of which nobody knows how often it cries for nothing."""
    measured = head.false_alarms
    if measured is None or not measured.get("frames"):
        raise LearnedError(
            f"the false-alarm rate of {head.name!r} was never measured: teach it again "
            "with stored runs"
        )
    accepted = float(head.card.get("accepted_per_hour", 1.0))
    if float(measured["per_hour"]) > accepted:
        raise LearnedError(
            f"{head.name!r} raised {measured['alarms']} false alarms in "
            f"{measured['hours']:.2g} h of stored runs, {measured['per_hour']:.2g} an "
            f"hour, where {accepted:g} are accepted: teach it from more frames, or say "
            "which of these runs do have it (--except)"
        )

"""Which heads are in force, which in shadow, and who said so when.

Nothing is overwritten: heads are files named by their hash, and each step - ``shadow``,
``promote``, ``roll_back`` - is one more line of ``steps.jsonl``.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.head_file import Head, read_head, write_head
from ringwatch.agent.learned.heads import Heads
from ringwatch.models.class_heads import ClassHead
from ringwatch.models.heads import FlagHead

__all__ = ["STEPS", "Registry", "Standing", "Step"]

STEPS = ("shadow", "promote", "roll_back")
_MOST_BYTES = 4 << 20  # of the steps: some ten thousand
_MOST_NAME = 100
_LEAST_H = 1.0  # of stored frames, to switch a head on

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
    although_unsure : bool
        Whether it was switched on with fewer stored frames than that takes.
    """

    time: float
    by: str
    step: str
    name: str
    digest: str
    although_unsure: bool = False


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

        A line that a killed process left half-written is told in the log and counts as
        nothing: nobody was told that the step was taken.

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
            found = [Step(**json.loads(line)) for line in self._whole(lines)]
        except (ValueError, TypeError) as error:
            raise LearnedError(
                f"{self._path} holds a line that is no step ({error}): mend or move it"
            ) from error
        if strange := [each.step for each in found if each.step not in STEPS]:
            raise LearnedError(f"{self._path}: unknown step {strange[0]!r}")
        return found

    def _whole(self, lines: list[str]) -> Iterator[str]:
        for number, line in enumerate(map(str.strip, lines), 1):
            if line.startswith("{") and not line.endswith("}"):
                logger.warning("%s: line %d is torn, left out", self._path, number)
            elif line:
                yield line

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
        with self._alone() as file:
            _append(file, _step(by, "shadow", head.name, head.digest))
        return head

    def promote(self, name: str, by: str, *, although_unsure: bool = False) -> Head:
        """Put the head in shadow in force, from the next run on.

        Parameters
        ----------
        name, by : str
        although_unsure : bool
            Also where too few frames were stored to be sure of its false-alarm rate;
            the step says so.

        Raises
        ------
        LearnedError
            If there is none in shadow, or its false-alarm rate was not measured, is
            more than was accepted when it was taught, or may be so for all that less
            than an hour of stored frames can tell.
        """
        with self._alone() as file:
            at = self.standings().get(name)
            if at is None or not at.shadow:
                raise LearnedError(
                    f"no head {name!r} is in shadow: teach it first; known are "
                    f"{', '.join(sorted(self.standings())) or 'none'}"
                )
            head = read_head(self.folder, at.shadow)
            unsure = _may_be_switched_on(head, although_unsure=although_unsure)
            _append(file, _step(by, "promote", name, head.digest, unsure=unsure))
        return head

    def roll_back(self, name: str, by: str) -> str:
        """Give up the head in force for the one before it; its digest, '' for none.

        Raises
        ------
        LearnedError
            If none is in force.
        """
        with self._alone() as file:
            at = self.standings().get(name)
            if at is None or not at.force:
                raise LearnedError(
                    f"no head {name!r} is in force: nothing to roll back"
                )
            _append(file, _step(by, "roll_back", name, at.force[-1]))
        return at.force[-2] if len(at.force) > 1 else ""

    @contextmanager
    def _alone(self) -> Iterator[BinaryIO]:
        """The file of steps, while no other process takes one."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError as error:
            raise LearnedError(
                f"the step cannot be written to {self._path}: {error.strerror}"
            ) from error


def _step(by: str, step: str, name: str, digest: str, *, unsure: bool = False) -> Step:
    if not by.strip() or not by.isprintable() or len(by) > _MOST_NAME:
        raise LearnedError(f"who takes the step? {by[:40]!r} is no name")
    return Step(
        time=time.time(),
        by=by,
        step=step,
        name=name,
        digest=digest,
        although_unsure=unsure,
    )


def _append(file: BinaryIO, step: Step) -> None:
    """One line more, on the disk; a torn one before it becomes a line of its own."""
    line = json.dumps(asdict(step), sort_keys=True).encode() + b"\n"
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        line = line if file.read(1) == b"\n" else b"\n" + line
    file.write(line)
    file.flush()
    os.fsync(file.fileno())


def _may_be_switched_on(head: Head, *, although_unsure: bool) -> bool:
    """Refuse a head of which nobody knows how often it cries for nothing.

    Whether it is switched on although too little is known.
    """
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
    hours, most = float(measured["hours"]), float(measured["upper_95"])
    unsure = hours < _LEAST_H and most > accepted
    if unsure and not although_unsure:
        raise LearnedError(
            f"{head.name!r} was counted on {hours:.2g} h of stored runs, which cannot "
            f"tell it from {most:.2g} false alarms an hour, where {accepted:g} are "
            f"accepted: count it on {_LEAST_H:g} h (teach it again with more stored "
            "runs), or switch it on --although-unsure, which is kept with the step"
        )
    return unsure

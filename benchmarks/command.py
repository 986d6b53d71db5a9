"""What all commands in `benchmarks/` share: options, progress, and how they end."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from ringwatch.agent import Agent

__all__ = [
    "COUNT",
    "EDGE",
    "MPX",
    "REPEATS",
    "SILENT",
    "Number",
    "Parser",
    "Steps",
    "await_ready",
    "end_in_one_line",
    "steps",
    "whole",
]

INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended, as shells have it."""
_SOON_S = 20.0


def end_in_one_line() -> None:
    """Have Ctrl-C and SIGTERM end this process in one line, with status 130.

    Both raise KeyboardInterrupt where the command is, so that its contexts close:
    temporary folders go, and servers and other processes end. Called before all that
    takes seconds to import, as many who interrupt a command do so at once.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.excepthook = _in_one_line


def _in_one_line(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    # Python 3.11 makes another error of one that comes while a class is made.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("interrupted: no figures\n")
    raise SystemExit(INTERRUPTED)


class Parser(argparse.ArgumentParser):
    """Options of a benchmark, whose module says what it does; a bad one costs a line.

    Parameters
    ----------
    description : str or None
        The module's docstring.
    """

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def option(self, name: str, read: Number, default: Any, what: str) -> None:
        """Add an option of a number, or of several where the default is a list."""
        told = " ".join(map(str, default)) if isinstance(default, list) else default
        self.add_argument(
            name,
            type=read,
            default=default,
            nargs="+" if isinstance(default, list) else None,
            help=what + f"; {read.bounds}" + (f" ({told})" if default else ""),
        )

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, in one line, and end with status 2."""
        self.exit(2, f"{self.prog}: {message} (--help says more)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """Makes a number within bounds of what was typed.

    Attributes
    ----------
    least, most : float
        Both are allowed.
    whole : bool
        Whether it has to be a whole number.
    """

    least: float
    most: float
    whole: bool = False

    def __call__(self, text: str) -> float:
        """Read it.

        Raises
        ------
        ArgumentTypeError
            If it is no number, or beyond the bounds.
        """
        with contextlib.suppress(ValueError):
            value = int(text) if self.whole else float(text)
            if self.least <= value <= self.most:
                return value
        kind = "a whole number, " if self.whole else ""
        raise argparse.ArgumentTypeError(f"{text}: {kind}{self.bounds}")

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        return f"{self.least:g} to {self.most:,.0f}"


def whole(least: int, most: int) -> Number:
    """Whole numbers within these bounds."""
    return Number(least=least, most=most, whole=True)


MPX = Number(least=0.01, most=64)
"""Size of a frame, 2^20 pixels."""
EDGE = whole(128, 4096)
"""Pixels along the edge of a simulated detector."""
REPEATS = whole(5, 1000)
"""Rounds; fewer make no median that another program on the machine does not move."""
COUNT = whole(1, 100_000)
"""Of frames of a scan, or of what else is counted."""


class Steps:
    """Says each step of a command as it begins.

    Parameters
    ----------
    what : str
        The command.
    total : int
        How many steps it has.
    console : Console
        Where it is said: a bar with a count on a terminal, else a line a step.
    """

    def __init__(self, what: str, total: int, console: Console) -> None:
        self._what, self._total, self._console = what, total, console
        self._begun = 0
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(what, total=total)

    def begin(self, step: str) -> None:
        """Say what begins; the step before has ended."""
        if self._bar is not None:
            told = f"{self._what}: {step}"
            self._bar.update(self._task, completed=self._begun, description=told)
        self._begun += 1
        if self._bar is None:
            self.note(f"{self._begun} of {self._total}: {step}")

    def note(self, text: str) -> None:
        """Say something that stays."""
        told = f"{self._what}: {text}"
        self._console.print(told, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Steps:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()


SILENT = Steps("", 0, Console(quiet=True, force_terminal=False))
"""For who measures without a command."""


@contextlib.contextmanager
def steps(what: str, total: int) -> Iterator[Steps]:
    """Steps of a command, told on stderr while the context lasts."""
    with Steps(what, total, Console(stderr=True)) as told:
        yield told


def await_ready(agent: Agent) -> None:
    """Wait until an agent is ready, also where its code is compiled first.

    That takes minutes, once on a machine; the agent itself says so after a while.

    Raises
    ------
    SystemExit
        If it ended, or took longer than it ever should.
    """
    from ringwatch.agent.agent import COMPILES_S  # noqa: PLC0415  takes seconds

    if agent.wait_idle(_SOON_S) or agent.wait_idle(COMPILES_S):
        return
    if not agent.alive:
        raise SystemExit("the agent ended before its first frame: its log says why")
    raise SystemExit(
        f"the agent was not ready after {COMPILES_S:.0f} s: its code is compiled on "
        "the first use; try again when the machine is less busy"
    )

"""Watches over one input after the other: time, memory, and which one it was.

An input that makes the process crash, hang or run out of memory is known by its number
all the same: that is in a file that outlives the process.
"""

from __future__ import annotations

import faulthandler
import mmap
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CPU_S = 2.0
"""Most time of the processor for one input."""

WALL_S = 20.0
"""After so long the process is ended, with a traceback: it hangs."""

MEMORY = 400 << 20
"""Bytes that inputs may add to the process, address space and resident memory."""

EVERY = 50
"""Inputs from one look at resident memory to the next, for a look takes as long as an
input. It is at the peak: what grew between is seen."""

FIELDS = struct.Struct("<4Q")
"""Inputs begun, done, accepted whole, refused."""


class Slow(AssertionError):
    """An input took longer than ``CPU_S``."""


class Large(AssertionError):
    """An input made the process grow by more than ``MEMORY``."""


class Guard:
    """Runs checks one by one, and counts them in a file.

    Parameters
    ----------
    state : Path
        Made anew; read it with ``read_state``.
    """

    def __init__(self, state: Path) -> None:
        state.write_bytes(bytes(FIELDS.size))
        with state.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), FIELDS.size)
        self._counts = [0, 0, 0, 0]
        self._armed = 0.0
        self._most_kb = 0

    def bound_memory(self) -> None:
        """From here on; once everything is imported, compiled and warm."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        self._most_kb = peak_kb() + MEMORY // 1024

    def __call__(self, check: Callable[[Any], bool], given: Any) -> None:
        """Let ``check`` have one input; it says whether it was accepted whole.

        Raises
        ------
        Slow, Large
            Where it took too much.
        """
        self._count(0)
        began = time.process_time()
        self._rearm()
        self._count(2 if check(given) else 3)
        self._count(1)
        took = time.process_time() - began
        if took > CPU_S:
            raise Slow(f"input {self._counts[0]} took {took:.1f} s")
        if self._most_kb and self._counts[0] % EVERY == 0 and peak_kb() > self._most_kb:
            raise Large(f"by input {self._counts[0]}, {peak_kb()} kB were resident")

    def _count(self, which: int) -> None:
        self._counts[which] += 1
        struct.pack_into("<Q", self._map, 8 * which, self._counts[which])

    def _rearm(self) -> None:
        """Once a second: it starts a thread, one that does without the interpreter."""
        now = time.monotonic()
        if now - self._armed > 1.0:
            faulthandler.dump_traceback_later(WALL_S, exit=True)
            self._armed = now


def read_state(state: Path) -> dict[str, int]:
    """Counts of a process, also of one that is no more."""
    counts = FIELDS.unpack(state.read_bytes())
    return dict(zip(("begun", "done", "accepted", "refused"), counts, strict=True))


def check_refusal(error: BaseException, longest: int) -> None:
    """Fail where a refusal is not told, told at length, or one for want of memory."""
    said = len(str(error))
    assert 0 < said <= longest, f"a message of {said} letters"
    not_of_memory(error)


def not_of_memory(error: BaseException | None) -> None:
    """Fail where a refusal only says that there was no memory left for it."""
    while error is not None:
        assert not isinstance(error, MemoryError), "it asked for too much memory"
        error = error.__cause__ or error.__context__


def peak_kb() -> int:
    """Most resident memory that this program ever had, kB.

    ``ru_maxrss`` would begin with what the process was that started it: tests of some
    gigabytes hide there what a program of theirs adds.
    """
    status = Path("/proc/self/status")
    if not status.exists():  # only Linux has it
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.read_text().split("VmHWM:")[1].split()[0])

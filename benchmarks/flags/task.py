"""A piece of the flags' benchmark, and processes that do many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from ringwatch.agent.replay_many import end_with_parent

__all__ = ["Task", "do_all"]


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work with its place in a ledger."""

    ledger: str
    name: str
    do: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]


def do_all(
    tasks: Iterable[Task], processes: int
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Do tasks; gives each with what came out, as it is done.

    Parameters
    ----------
    tasks : iterable of Task
    processes : int
        1: in this one, in order.
    """
    if processes <= 1:
        for task in tasks:
            yield task, task.do(*task.arguments)
        return
    # Started afresh: a forked process would share numba's and OpenMP's locks.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        running: dict[Future[dict[str, Any]], Task] = {}
        waiting = iter(tasks)
        while True:
            for task in waiting:
                running[pool.submit(task.do, *task.arguments)] = task
                if len(running) >= 2 * processes:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()

"""Many orders at once: in this process, in several, or on Dask workers.

An order and its answer are JSON texts, so that nothing but text crosses between
processes, and an order can be written down. What is ordered is named by a function that
the other process imports.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from multiprocessing import get_context, parent_process
from typing import Any

from ringwatch.agent.errors import ReplayError, SettingsError

__all__ = ["Job", "end_with_parent", "in_processes", "on_dask", "one_by_one"]

Job = Callable[[str], str]
"""Carries out an order; a function of a module, known by its name everywhere."""

_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")

ENDING_S = 120.0
"""How long running orders of a Dask cluster may take to end, seconds."""

_DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
_ASK_S = 0.5

# Where a job runs: something with is_set(), true when the work is to end. A thread of a
# Dask worker has its own.
_stop: ContextVar[Any] = ContextVar("_stop", default=None)


def is_stopped() -> bool:
    """Whether whoever gave this order wants no more; for a job to ask now and then."""
    stop = _stop.get()
    return stop is not None and bool(stop.is_set())


def one_by_one(job: Job, orders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Carry out orders in turn; yields each with its answer."""
    for order in orders:
        yield order, job(order)


def in_processes(
    job: Job, orders: Sequence[str], processes: int
) -> Generator[tuple[str, str]]:
    """Carry out orders in processes of this machine, one thread each.

    Yields each order with its answer as it comes. Where the iterator is closed before
    its end, running orders are asked to stop and are waited for.

    Raises
    ------
    ReplayError
        If a process died. What was yielded before stands.
    """
    # Started afresh: a forked process would share numba's and OpenMP's locks.
    context = get_context("spawn")
    stop = context.Event()
    with (
        _single_threaded(),
        ProcessPoolExecutor(
            min(processes, max(1, len(orders))),
            mp_context=context,
            initializer=_begin,
            initargs=(stop,),
        ) as pool,
    ):
        waiting = iter(orders)
        running: dict[Future[str], str] = {}
        try:
            while True:
                for order in waiting:
                    running[pool.submit(job, order)] = order
                    if len(running) >= 2 * processes:
                        break
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise ReplayError(
                "a process died (out of memory, or killed): give fewer --processes, "
                "then go on with the same command"
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def on_dask(
    job: Job,
    orders: Sequence[str],
    *,
    address: str | None = None,
    workers: int = 0,
    patience_s: float = 10.0,
) -> Generator[tuple[str, str]]:
    """Carry out orders on Dask workers; yields each with its answer as it comes.

    Where the iterator is closed before its end, running orders are asked to stop and
    are waited for, ``ENDING_S`` at most.

    Parameters
    ----------
    job, orders
    address : str, optional
        Of the scheduler of a cluster. Its workers need this package, the same files and
        ``TILED_API_KEY`` in their environment; start them with ``--nthreads 1``.
    workers : int
        Without an address: a cluster of so many processes on this machine, one thread
        each.
    patience_s : float
        How long a scheduler may take to answer, seconds.

    Raises
    ------
    SettingsError
        If the package ``distributed`` is not installed.
    ReplayError
        If the cluster cannot be reached, is lost, or lost a worker again and again.
    """
    distributed = _distributed()
    cluster = None
    with _single_threaded():
        if address is None:
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                preload=_DEAF,  # Ctrl-C goes to this process, which asks them to end
            )
        try:
            client = distributed.Client(cluster or address, timeout=patience_s)
        except (OSError, TimeoutError, ValueError) as error:
            if cluster is not None:
                cluster.close()
            raise ReplayError(
                f"no Dask scheduler answers at {address}: check the address, such as "
                "tcp://127.0.0.1:8786, and that `dask scheduler` runs"
            ) from error
    try:
        yield from _gathered(distributed, client, job, orders)
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _gathered(
    distributed: Any, client: Any, job: Job, orders: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Submit all orders; those that nobody waits for any more are made to end."""
    lost = (OSError, CancelledError)
    stop = distributed.Event(client=client)
    # Not pure: the same order may be given again, and is to be carried out again.
    futures = {
        client.submit(_on_worker, job, order, stop, pure=False): order
        for order in orders
    }
    try:
        for future in distributed.as_completed(list(futures)):
            answer = future.result()
            yield futures.pop(future), answer
    except distributed.KilledWorker as error:
        raise ReplayError(
            f"a Dask worker died again and again ({error}): give its workers more "
            "memory, then go on with the same command"
        ) from error
    except lost as error:
        raise ReplayError(
            f"the Dask scheduler is lost ({type(error).__name__}): start it again, "
            "then go on with the same command"
        ) from error
    finally:
        if futures:
            with suppress(*lost):
                stop.set()
                distributed.wait(list(futures), timeout=ENDING_S)
                stop.clear()  # the scheduler need not remember it
            with suppress(*lost):
                client.cancel(list(futures))


def _on_worker(job: Job, order: str, stop: Any) -> str:
    """Carry out an order on a Dask worker, unless it is to end before that."""
    dask = importlib.import_module("dask")
    before = _stop.set(_Asked(stop))
    try:
        # First: asking makes a client of this process, and a client claims all graphs.
        if is_stopped():
            return ""
        # What the job reads from Tiled is a graph. On the cluster it would hand this
        # worker's place to the next order, and be lost with the client of this one.
        with dask.config.set(scheduler="synchronous"):
            return job(order)
    finally:
        _stop.reset(before)


class _Asked:
    """An event of a Dask cluster, of which the scheduler is asked twice a second."""

    def __init__(self, event: Any) -> None:
        self._event = event
        self._is_set = False
        self._next = 0.0  # time.monotonic(), seconds

    def is_set(self) -> bool:
        """Whether it is set, or there is nobody to ask: the answer would be lost."""
        if not self._is_set and time.monotonic() >= self._next:
            try:
                self._is_set = bool(self._event.is_set())
            except (CancelledError, OSError, RuntimeError, ValueError):
                self._is_set = True
            self._next = time.monotonic() + _ASK_S
        return self._is_set


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise SettingsError(
            "replay on Dask needs the package distributed: pip install "
            "'ringwatch[dask]', or use --processes on this machine"
        ) from error


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Have child processes compute in one thread each: they are many already."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def end_with_parent() -> None:
    """Have this process end when the one that started it is gone, however that ended.

    For the initializer of a pool: its processes would wait for work for ever.
    """
    parent = parent_process()
    if parent is not None:
        watch = threading.Thread(
            target=_outlive, args=(parent,), name="parent watch", daemon=True
        )
        watch.start()


def _outlive(parent: Any) -> None:
    parent.join()
    os._exit(1)  # nobody is left to hear of an exception


def _begin(stop: Any) -> None:
    """Set up a process of the pool: Ctrl-C goes to the parent, which asks it to end."""
    end_with_parent()
    _stop.set(stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

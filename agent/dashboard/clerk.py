"""A thread that does one thing after another for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from ringwatch.agent.errors import AgentClosedError

__all__ = ["Clerk"]

_T = TypeVar("_T")


class Clerk:
    """Does what takes long, in a thread of its own.

    Unlike an executor's, the thread is a daemon: what hangs there does not hold up the
    end of the process.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._closed = False
        threading.Thread(target=self._run, name=name, daemon=True).start()
        self._ready.wait()

    async def do(self, work: Callable[[], _T]) -> _T:
        """What comes of the work, after what was given before.

        Raises
        ------
        AgentClosedError
            If nothing is done any more.
        """
        if self._closed:
            raise AgentClosedError("the page is closed: start another agent")
        future = asyncio.run_coroutine_threadsafe(_done(work), self._loop)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take no more work, and wait for none; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._loop.call_soon_threadsafe(self._closing.set)

    def _run(self) -> None:
        asyncio.run(self._until_closed())

    async def _until_closed(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._closing.wait()


async def _done(work: Callable[[], _T]) -> _T:
    return work()

"""The page's threads: one thing after another, and none holds up the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from ringwatch.agent.dashboard.clerk import Clerk
from ringwatch.agent.errors import AgentClosedError

HANGS = """
import asyncio, threading
from ringwatch.agent.dashboard.clerk import Clerk

async def ask(clerk):
    asked = threading.Event()
    def hang():
        asked.set()
        threading.Event().wait(60)
    task = asyncio.create_task(clerk.do(hang))
    while not asked.is_set():
        await asyncio.sleep(0.01)
    task.cancel()

clerk = Clerk("hangs")
asyncio.run(ask(clerk))
clerk.close()
print("asked", flush=True)
"""


def test_answers_and_errors_come_back_in_their_order() -> None:
    clerk, done = Clerk("ordered"), list[int]()

    def work(number: int) -> str:
        time.sleep(0.02 / (1 + number))
        done.append(number)
        return threading.current_thread().name

    def fail() -> None:
        raise KeyError("missing")

    async def ask() -> None:
        wanted = (clerk.do(lambda n=n: work(n)) for n in range(5))  # type: ignore[misc]
        assert set(await asyncio.gather(*wanted)) == {"ordered"}
        with pytest.raises(KeyError, match="missing"):
            await clerk.do(fail)
        clerk.close()
        with pytest.raises(AgentClosedError):
            await clerk.do(fail)

    asyncio.run(ask())
    assert done == list(range(5))


def test_what_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.wait(10)
    assert process.returncode == 0

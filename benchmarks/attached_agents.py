"""An agent beside a RunEngine, in this process or in another."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.plans.publisher import DocumentPublisher
from ringwatch.plans.remote_verdicts import RemoteVerdicts
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline

__all__ = ["PATIENCE_S", "Attached", "agent_here", "agent_there", "await_until"]

PATIENCE_S = 120.0


class Attached(Protocol):
    """An agent that listens to a RunEngine, and what it says."""

    def __call__(
        self, beamline: Beamline, engine: RunEngine
    ) -> contextlib.AbstractContextManager[Verdicts]:
        """Attach it while the context lasts."""


@contextlib.contextmanager
def agent_here(
    beamline: Beamline, engine: RunEngine, classifier: str = "none"
) -> Iterator[Verdicts]:
    """An agent in this process."""
    verdicts = Verdicts()
    with Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        classifier=classifier,
        paragraph=False,
        sinks=(verdicts,),
    ) as agent:
        verdicts.watch(agent)
        agent.wait_idle(PATIENCE_S)
        token = engine.subscribe(agent)
        yield verdicts
        engine.unsubscribe(token)


@contextlib.contextmanager
def agent_there(beamline: Beamline, engine: RunEngine) -> Iterator[Verdicts]:
    """`ringwatch serve` in another process, heard over 0MQ."""
    documents, verdicts = (f"tcp://127.0.0.1:{port}" for port in _free_ports(2))
    config = beamline.folder / "agent.toml"
    config.write_text(
        f'poni = "{beamline.poni_path}"\nmask = "{beamline.mask_path}"\n'
        'detector = "detector_image"\nclassifier = "none"\n'
        f'documents = ["{documents}"]\ndocuments_bind = true\npublish = "{verdicts}"\n'
    )
    command = Path(sys.executable).with_name("ringwatch")
    service = subprocess.Popen(
        [command, "serve", "--config", str(config)], stderr=subprocess.PIPE
    )
    publisher = DocumentPublisher(documents)
    try:
        with RemoteVerdicts(verdicts) as remote:
            await_until(
                lambda: not remote.verdicts.trouble, "the service does not answer"
            )
            if not publisher.wait_ready(PATIENCE_S):
                raise TimeoutError("the service does not listen")
            token = engine.subscribe(publisher)
            yield remote.verdicts
            engine.unsubscribe(token)
    finally:
        publisher.close()
        service.terminate()
        service.communicate(timeout=PATIENCE_S)


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def await_until(ready: Callable[[], bool], otherwise: str) -> None:
    """Wait until something is so; ``TimeoutError`` where it does not come."""
    until = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(otherwise)
        time.sleep(0.01)

"""/healthz and /readyz beside the metrics: 200, or 503 and why."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ringwatch.agent import Agent
from ringwatch.agent import status_report as reports
from ringwatch.agent.agent import Agent as RealAgent

from .derived_documents import wait_until
from .hanging import Hangs
from .service import inline_run

Answer = tuple[int, dict[str, Any]]


def ask(agent: RealAgent, path: str, method: str = "GET") -> Answer:
    """Status and object of an answer; the object is empty where there is no body."""
    where = urlsplit(str(agent.metrics_url))
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(body) if body else {}
    finally:
        connection.close()


def test_alive_at_once_ready_once_its_code_is_loaded(
    poni: Path, ring_frames: list[Any]
) -> None:
    hangs = Hangs()
    hangs.warm = True  # in the first call, by which the agent warms up
    agent = Agent(poni=poni, classifier=hangs, metrics="127.0.0.1:0")
    assert hangs.asked.wait(120)
    status, told = ask(agent, "/readyz")
    assert (status, told["ok"], told["state"]) == (503, False, "starting")
    assert "compiled code is being loaded" in told["why"]
    assert ask(agent, "/healthz")[0] == 200
    hangs.released.set()
    assert wait_until(lambda: ask(agent, "/readyz")[0] == 200, 120)
    assert ask(agent, "/readyz")[1] == {"ok": True, "state": "idle", "why": ""}
    assert ask(agent, "/readyz", "HEAD") == (200, {})
    for name, doc in inline_run(ring_frames[:2]):
        agent(name, doc)
    assert agent.wait_idle(60)
    assert agent.counters.announced == 2
    assert agent.close()


def test_a_stuck_one_lives_and_is_not_ready(
    poni: Path, ring_frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = Hangs()
    agent = Agent(
        poni=poni, classifier=hangs, metrics="127.0.0.1:0", shed_labels_after_s=0.2
    )
    assert agent.wait_idle(120)
    hangs.warm = True
    for name, doc in inline_run(ring_frames[:3]):
        agent(name, doc)
    assert hangs.asked.wait(30)
    behind = lambda: agent.report.state == "behind"  # noqa: E731
    assert wait_until(behind)
    assert ask(agent, "/readyz")[0] == 200  # late, but every frame gets its verdict
    monkeypatch.setattr(reports, "STUCK_S", 0.25)
    assert wait_until(lambda: ask(agent, "/readyz")[0] == 503)
    assert "nothing comes of them" in ask(agent, "/readyz")[1]["why"]
    assert ask(agent, "/healthz")[0] == 200
    hangs.released.set()
    assert agent.close()


def test_one_that_ends_takes_no_more_and_one_that_ended_is_dead(poni: Path) -> None:
    hangs = Hangs()
    agent = Agent(poni=poni, classifier=hangs, metrics="127.0.0.1:0")
    assert agent.wait_idle(120)
    hangs.warm = True
    agent._inbox.close()
    assert wait_until(lambda: not agent._worker.alive)
    for path in ("/healthz", "/readyz"):
        status, told = ask(agent, path)
        assert (status, told["state"]) == (503, "ended")
        assert told["why"] == "its worker has ended"
    assert agent.close()


def test_one_that_drains_is_not_ready(poni: Path, ring_frames: list[Any]) -> None:
    hangs = Hangs()
    agent = Agent(poni=poni, classifier=hangs, metrics="127.0.0.1:0")
    assert agent.wait_idle(120)
    hangs.warm = True
    for name, doc in inline_run(ring_frames[:1]):
        agent(name, doc)
    assert hangs.asked.wait(30)
    agent._inbox.close()  # as `close` does first
    status, told = ask(agent, "/readyz")
    assert (status, told["state"]) == (503, "ending")
    assert "takes no more documents" in told["why"]
    assert ask(agent, "/healthz")[0] == 200
    hangs.released.set()
    assert agent.close()


def test_a_client_that_asks_for_nothing_holds_up_no_probe(poni: Path) -> None:
    with Agent(poni=poni, classifier="none", metrics="127.0.0.1:0") as agent:
        where = urlsplit(str(agent.metrics_url))
        with socket.create_connection((str(where.hostname), int(where.port or 0))):
            assert ask(agent, "/healthz")[0] == 200

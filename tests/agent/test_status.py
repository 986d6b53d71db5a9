"""``ringwatch status`` asks a running agent, and says what to do if it is unwell."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringwatch.agent import Agent
from ringwatch.agent import status_report as reports
from ringwatch.agent.agent import Agent as RealAgent
from ringwatch.agent.cli import app
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.status_report import NoAgentError, read_report
from ringwatch.plans.publisher import DocumentPublisher

from .derived_documents import wait_until
from .hanging import Hangs
from .service import COMMAND, Service, inline_run

NUMBERS = {
    "version", "analysis_id", "runs_open", "frames_announced", "frames_final",
    "frames_analysed", "frames_backfilled", "frames_lost", "words", "shed", "alarms",
    "documents_refused", "latency_ms", "stages_ms", "queue", "last_verdict_age_s",
    "sinks", "spool", "troubles", "knob",
}  # fmt: skip
TOLD = {"url", "state", "healthy", "problems"}


@pytest.fixture
def stuck(poni: Path, ring_frames: list[Any]) -> Iterator[RealAgent]:
    """An agent whose classifier hangs on the first of three frames."""
    classifier = Hangs()
    agent = Agent(
        poni=poni,
        classifier=classifier,
        metrics="127.0.0.1:0",
        shed_labels_after_s=0.2,
    )
    assert agent.wait_idle(120)
    classifier.warm = True
    for name, doc in inline_run(ring_frames[:3]):
        agent(name, doc)
    assert classifier.asked.wait(30)
    time.sleep(0.3)
    yield agent
    classifier.released.set()
    assert agent.close()


def status(*arguments: object) -> tuple[int, str]:
    """Exit status and what it prints, spaces condensed."""
    result = CliRunner().invoke(app, ["status", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def as_object(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["status", *map(str, arguments), "--json"])
    found: dict[str, Any] = json.loads(result.stdout)
    assert set(found) in (TOLD, TOLD | NUMBERS)
    return result.exit_code, found


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_of_a_service_in_another_process(
    poni: Path, tmp_path: Path, ring_frames: list[Any]
) -> None:
    port = free_port()
    config = tmp_path / "agent.toml"
    config.write_text(
        f'poni = "{poni}"\n'
        'classifier = "none"\n'
        'documents = ["tcp://127.0.0.1:0"]\n'
        "documents_bind = true\n"
        'publish = "tcp://127.0.0.1:0"\n'
        f'metrics = "127.0.0.1:{port}"\n'
        "shed_labels_after_s = 600\nshed_frames_after_s = 600\n"
    )
    url = f"http://127.0.0.1:{port}/metrics"
    watch = [COMMAND, "status", url, "--watch", "--json"]
    with Service(config) as service:
        publish = DocumentPublisher(service.address("documents"))
        assert f"metrics at {url}" in service.log
        with closing(publish):
            ready = lambda: as_object("--config", config)[1]["state"] == "idle"  # noqa: E731
            assert wait_until(ready, 120)  # code may have to be compiled
            for name, doc in inline_run(ring_frames[:4]):
                publish(name, doc)
            done = lambda: as_object("--config", config)[1].get("frames_final") == 4  # noqa: E731
            assert wait_until(done)
            with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watching:
                assert watching.stdout is not None
                lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
                watching.send_signal(signal.SIGINT)
                assert watching.wait(30) == 0
            code, words = status("--config", config)
        assert service.end() == 0
    assert code == 0, words
    for told in ("state idle", "analysed 4 of 4 frames", "verdicts 4 good", "p99"):
        assert told in words
    assert "knob 0.1 false alarms an hour at 10 frames a second: from 5.3 sig" in words
    assert re.search(r"latency p50 [\d.]+ ms, p99 [\d.]+ ms wait p50", words)
    assert re.search(r"queue 0 documents, 0.0 s old newest verdict [\d.]+ s ago", words)
    for found in lines:
        assert set(found) == TOLD | NUMBERS
        assert found["words"]["good"] == found["frames_analysed"] == 4
        assert set(found["stages_ms"]) == {"wait", "read", "reduce", "flags"}
        assert found["stages_ms"]["read"]["p50"] <= found["latency_ms"]["p99"]
        assert found["sinks"]["zmq"]["failed"] == 0
    assert lines[1]["last_verdict_age_s"] >= lines[0]["last_verdict_age_s"] + 1.5
    code, words = status("--config", config)
    assert code == 1
    assert f"no agent answers at {url}: Connection refused" in words
    assert "Remedy: start one with" in words


def test_one_that_is_behind_is_told_with_the_remedy(stuck: RealAgent) -> None:
    code, found = as_object(stuck.metrics_url)
    assert (code, found["state"], found["healthy"]) == (1, "behind", False)
    assert found["queue"]["documents"] == 1  # of four; three are on their way
    assert found["queue"]["age_s"] > 0.2
    assert found["last_verdict_age_s"] is None
    code, words = status(stuck.metrics_url)
    assert code == 1
    assert "state behind" in words
    assert "after 0.2 s it leaves out labels" in words
    assert "Remedy: " in words


def test_one_of_which_nothing_comes_is_stale(
    stuck: RealAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "STUCK_S", 0.25)
    code, words = status(stuck.metrics_url)
    assert code == 1
    assert "state stale" in words
    assert "nothing comes of them" in words
    assert "restart it" in words


def test_a_trouble_on_the_way_to_tiled_is_told(
    poni: Path, tmp_path: Path, ring_frames: list[Any]
) -> None:
    agent = Agent(
        poni=poni,
        classifier="none",
        tiled="http://127.0.0.1:9",
        state=tmp_path / "state",
        metrics="127.0.0.1:0",
    )
    for name, doc in inline_run(ring_frames[:2]):
        agent(name, doc)
    found: dict[str, Any] = {}

    def troubled() -> bool:
        found.update(as_object(agent.metrics_url)[1])
        return bool(found["state"] == "troubled")

    assert wait_until(troubled, 120)
    code, words = status(agent.metrics_url)
    agent.close(5)
    assert code == 1
    assert found["troubles"] == ["tiled"]
    assert found["sinks"]["spooled"]["pending"] == 5
    assert "trouble with 'tiled'. Remedy: see whether the Tiled server runs" in words
    assert "spool 0.0 MB" in words


def test_one_whose_worker_ended_is_told(poni: Path) -> None:
    agent = Agent(poni=poni, classifier="none", metrics="127.0.0.1:0")
    assert agent.wait_idle(120)
    agent._inbox.close()  # the worker ends, and nobody closes the agent
    assert wait_until(lambda: not agent._worker.alive)
    code, found = as_object(agent.metrics_url)
    assert (code, found["state"]) == (1, "ended")
    assert "restart" in found["problems"][0]["remedy"]
    assert agent.close()


class Page(BaseHTTPRequestHandler):
    """Something else that answers there."""

    body, code = b"<html>hello</html>", 200

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


class Missing(Page):
    code = 404


@pytest.mark.parametrize(
    ("page", "why"), [(Page, "no metrics of an agent"), (Missing, "404 Not Found")]
)
def test_something_else_that_answers_is_no_agent(page: Any, why: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        code, words = status(f"http://127.0.0.1:{other.server_port}/")
        other.shutdown()
    assert code == 1
    assert why in words
    assert "Remedy: " in words


def test_watching_goes_on_until_ctrl_c_and_exits_as_the_last_look_did() -> None:
    asked: list[str] = []

    class Counted(Page):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Counted) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}/metrics"
        with subprocess.Popen(
            [COMMAND, "status", url, "--watch"], stdout=subprocess.PIPE, text=True
        ) as watching:
            assert wait_until(lambda: len(asked) == 3, 60)
            watching.send_signal(signal.SIGINT)
            told, _ = watching.communicate(timeout=30)
        other.shutdown()
    assert watching.returncode == 1
    assert "state unreachable" in " ".join(told.split())
    assert asked == ["/metrics"] * 3


@pytest.mark.parametrize(
    "text",
    ["", "hello", 'a{b="c', "ringwatch_verdicts_total 3\n", "process_cpu_seconds 1\n"],
)
def test_other_metrics_are_none_of_an_agent(text: str) -> None:
    with pytest.raises(NoAgentError):
        read_report("http://x", text)


def test_addresses_that_are_none(poni: Path, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"

    def complaint(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["status", *map(str, arguments)])
        assert isinstance(result.exception, SettingsError), result.output
        return str(result.exception)

    assert "is no address" in complaint("ftp://127.0.0.1/metrics")
    assert "is no address" in complaint("http://127.0.0.1:99999/metrics")
    config.write_text(f'poni = "{poni}"\n')
    assert "has no metrics: write" in complaint("--config", config)
    assert "not both" in complaint("http://127.0.0.1:1", "--config", config)
    config.write_text('metrics = "127.0.0.1:0"\n')
    assert "leaves the port to the agent" in complaint("--config", config)

"""JSON log lines: of the formatter, of the worker, of a service."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringwatch.agent.log_lines import JsonLines, about, note_plan
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.plans.publisher import DocumentPublisher

from .derived_documents import wait_until
from .service import Service, inline_run


class Kept(logging.Handler):
    """Keeps formatted lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert "\n" not in line
        self.lines.append(json.loads(line))


def kept(name: str) -> tuple[logging.Logger, Kept]:
    logger, handler = logging.getLogger(name), Kept()
    logger.addHandler(handler)
    return logger, handler


def test_a_line_says_when_who_what_and_where() -> None:
    logger, handler = kept("ringwatch.test")
    note_plan({"uid": "run-1", "plan_name": "scan"})
    note_plan({"uid": "run-3"})  # has none
    before = datetime.now(UTC)
    logger.warning("first\nof %d", 2)
    with about("run-1", 7):
        logger.error("in it")
        logger.error("of another", extra={"run_uid": "run-2"})
        with about("run-3"):
            logger.error("inside")
    logger.error("after", extra={"odd": object()})
    first, inside, other, third, after = handler.lines
    assert datetime.fromisoformat(first.pop("time")) >= before.replace(microsecond=0)
    assert first == {
        "level": "WARNING", "logger": "ringwatch.test", "message": "first\nof 2"
    }  # fmt: skip
    assert (inside["run_uid"], inside["plan_name"], inside["frame"]) == (
        "run-1", "scan", 7
    )  # fmt: skip
    assert (other["run_uid"], "plan_name" in other, "frame" in other) == (
        "run-2", False, False
    )  # fmt: skip
    assert third["run_uid"] == "run-3"
    assert "run_uid" not in after


def test_plan_names_are_forgotten_in_the_end() -> None:
    logger, handler = kept("ringwatch.test.many")
    for number in range(300):
        note_plan({"uid": f"many-{number}", "plan_name": "count"})
    for number in (0, 299):
        logger.error("x", extra={"run_uid": f"many-{number}"})
    assert ["plan_name" in line for line in handler.lines] == [False, True]


def test_what_fails_in_the_worker_names_its_frame_and_the_exception() -> None:
    _, handler = kept("ringwatch.agent.runs.attempts")
    frame = FrameRef.without_pixels("run-9", 4)
    note_plan({"uid": "run-9", "plan_name": "ramp"})
    _, failure = Attempts()(lambda: 1 / 0, frame)
    assert "ZeroDivisionError" in failure
    (line,) = handler.lines
    assert (line["run_uid"], line["plan_name"], line["frame"]) == ("run-9", "ramp", 4)
    assert line["level"] == "ERROR"
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_service_writes_nothing_but_objects(
    poni: Path, tmp_path: Path, ring_frames: list[Any]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        f'poni = "{poni}"\nclassifier = "none"\ndocuments_bind = true\nlog = "json"\n'
        'documents = ["tcp://127.0.0.1:0"]\ndetector = "nothing"\n'
        'publish = "tcp://127.0.0.1:0"\n'
    )
    named = inline_run(ring_frames[:1])
    named[0][1]["plan_name"] = "count"
    with Service(config) as service:
        publish = DocumentPublisher(service.address("documents"))
        with closing(publish):
            for name, doc in named:
                publish(name, doc)
            assert wait_until(lambda: "is not in run" in service.log, 120)
        assert service.end() == 0
        lines = [json.loads(line) for line in service.log.splitlines()]
    (line,) = (line for line in lines if "is not in run" in line["message"])
    assert (line["run_uid"], line["plan_name"]) == (named[0][1]["uid"], "count")
    assert line["logger"] == "ringwatch.agent.documents"
    assert lines[0]["level"] == "INFO"
    assert lines[0]["message"].startswith("documents from tcp://127.0.0.1:")
    assert "have their final verdict" in lines[-1]["message"]


def test_importing_configures_no_logging() -> None:
    code = (
        "import logging, ringwatch.agent.agent, ringwatch.agent.cli.service\n"
        "assert not logging.getLogger().handlers\n"
        "assert not logging.getLogger('ringwatch').handlers\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)

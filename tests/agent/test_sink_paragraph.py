"""What became of a run, on the standard error: in time, in whatever form, or not."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from ringwatch.agent.sinks.paragraph import ParagraphSink

START: dict[str, Any] = {"uid": "derived-1", "raw_uid": "0123456789"}
STOP: dict[str, Any] = {"run_start": "derived-1", "summary": "3 frames: 3 good."}


def tell(sink: ParagraphSink) -> None:
    for name, doc in (("start", START), ("event", {}), ("stop", STOP)):
        sink.put(name, doc)
    assert sink.close(5.0)


def test_it_is_one_line_for_people() -> None:
    out = io.StringIO()
    tell(ParagraphSink(out))
    assert out.getvalue() == "Run 01234567: 3 frames: 3 good.\n"


def test_among_json_lines_it_is_one() -> None:
    out = io.StringIO()
    tell(ParagraphSink(out, as_json=True))
    told = json.loads(out.getvalue())
    assert (told["message"], told["level"]) == ("3 frames: 3 good.", "INFO")
    assert told["run_uid"] == "0123456789"


def test_a_closed_terminal_costs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    out.close()
    sink = ParagraphSink(out)
    tell(sink)
    assert (sink.failed, capfd.readouterr().err) == (0, "")

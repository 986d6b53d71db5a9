"""Prints what became of a run where it stops."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

from ringwatch.agent.log_lines import JsonLines
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.queued import QueuedSink

__all__ = ["ParagraphSink"]

logger = logging.getLogger(__name__)

_LIMIT = 100_000
_FOR_EVER_S = 3600.0


class ParagraphSink(QueuedSink):
    """Writes the paragraph of each run that stops, from a thread of its own.

    A terminal that stands still holds up nobody; one that is gone is told nothing more.

    Parameters
    ----------
    out : text file, optional
        By default the standard error, where it does not mix with what a program prints
        for other programs.
    as_json : bool
        One JSON object a line, as ``log_lines.JsonLines`` has them.
    """

    def __init__(self, out: TextIO | None = None, *, as_json: bool = False) -> None:
        super().__init__("ringwatch-paragraph", _LIMIT)
        self._out = out
        self._lines = JsonLines() if as_json else None
        self._raw: dict[str, str] = {}  # raw run by derived one
        self._gone = False
        self._begin()

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Accept a document; of those of a run its first and its last count."""
        if name in ("start", "stop"):
            super().put(name, doc)

    def _work(self, taken: list[NamedDocument]) -> float:
        for name, doc in taken:
            if name == "start":
                self._raw[doc["uid"]] = str(doc.get("raw_uid", ""))
            elif name == "stop":
                self._tell(self._raw.pop(doc["run_start"], ""), doc.get("summary", ""))
        self._settle(sent=len(taken))
        return _FOR_EVER_S

    def _tell(self, run: str, paragraph: str) -> None:
        if self._gone or not paragraph:
            return
        out = self._out or sys.stderr
        line = f"Run {run[:8]}: {paragraph}"
        if self._lines is not None:
            told = {"levelname": "INFO", "name": __name__, "msg": paragraph}
            record = logging.makeLogRecord({**told, "run_uid": run})
            line = self._lines.format(record)
        try:
            out.write(line + "\n")
            out.flush()
        except (OSError, ValueError) as error:  # closed, or nobody reads it
            self._gone = True
            logger.info("runs are not told of any more: %s", error)

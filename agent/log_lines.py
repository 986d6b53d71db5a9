"""Log lines for machines: one JSON object a line, with the run and the frame.

Nothing here configures logging: who runs the process does (``ringwatch serve``).
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

__all__ = ["JsonLines", "about", "note_plan"]

_REMEMBERED = 256  # plan names of runs, newest
_plans: OrderedDict[str, str] = OrderedDict()
_about: ContextVar[tuple[str, int | None]] = ContextVar(
    "ringwatch_about", default=("", None)
)


@contextmanager
def about(run_uid: str, frame: int | None = None) -> Iterator[None]:
    """Say of what is logged in this thread meanwhile which run and frame it is about.

    Parameters
    ----------
    run_uid : str
        Of the raw run.
    frame : int, optional
        Index of the frame.
    """
    token = _about.set((run_uid, frame))
    try:
        yield
    finally:
        _about.reset(token)


def note_plan(start: Mapping[str, Any]) -> None:
    """Remember the ``plan_name`` of a run, by its start document, for its log lines."""
    name = start.get("plan_name")
    if isinstance(name, str):
        _plans[str(start["uid"])] = name
        while len(_plans) > _REMEMBERED:
            _plans.popitem(last=False)


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object.

    Keys: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``; and where they
    are known ``run_uid``, ``plan_name``, ``frame`` (index) and ``exception``. A record
    may name its run itself: ``logger.error(..., extra={"run_uid": uid})``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; what has no JSON form stands there as text."""
        time = datetime.fromtimestamp(record.created, UTC)
        run_uid, frame = _about.get()
        named = getattr(record, "run_uid", None)
        if named and named != run_uid:
            run_uid, frame = str(named), None
        told = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "run_uid": run_uid or None,
            "plan_name": _plans.get(run_uid),
            "frame": frame,
            "exception": self._exception(record),
        }
        told = {key: value for key, value in told.items() if value is not None}
        return json.dumps(told, default=str, ensure_ascii=False)

    def _exception(self, record: logging.LogRecord) -> str | None:
        if record.exc_info and record.exc_info[0] is not None:
            return self.formatException(record.exc_info)
        return record.exc_text

"""A run whose plan knows its uid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, RunEngineControlException

__all__ = ["in_a_run"]


def in_a_run(
    inside: Callable[[str], MsgGenerator[None]],
    md: Mapping[str, Any],
    staged: Any = (),
) -> MsgGenerator[str]:
    """Open a run, do what is to be done in it, close it whatever happens.

    Parameters
    ----------
    inside : callable
        Takes the uid of the run and gives its plan.
    md : mapping
        Start document.
    staged : sequence of devices
        Staged before the run opens, unstaged after it.

    Returns
    -------
    str
        uid of the run.
    """

    def run() -> MsgGenerator[str]:
        uid = yield from bps.open_run(dict(md))

        def failed(error: Exception) -> MsgGenerator[None]:
            asked = isinstance(error, RunEngineControlException)
            status = getattr(error, "exit_status", "fail") if asked else "fail"
            yield from bps.close_run(exit_status=status, reason=str(error))

        yield from bpp.contingency_wrapper(
            inside(uid), except_plan=failed, else_plan=bps.close_run
        )
        return str(uid)

    whole: Any = bpp.stage_wrapper(run(), list(staged))
    return (yield from whole)

"""``skip_bad``: no more time for a sample that gives nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bluesky.utils import MsgGenerator

from ringwatch.plans.conditions import verdict_is
from ringwatch.plans.stop_when import stop_when
from ringwatch.plans.verdicts import Verdicts

__all__ = ["skip_bad"]


def skip_bad(
    plan: MsgGenerator[Any],
    verdicts: Verdicts,
    *,
    words: Collection[str] = ("bad",),
    frames: int = 3,
    act: bool = False,
    **options: Any,
) -> MsgGenerator[Any]:
    """Run the plan of one sample; leave the rest of it where nothing comes out.

    What follows in the queue goes on::

        for position in samples:
            yield from bps.mv(stage, position)
            yield from skip_bad(scan([det]), verdicts, act=True)

    Parameters
    ----------
    plan : generator
    verdicts : Verdicts
    words : collection of str
        Verdicts that count as nothing.
    frames : int
        So many of them one after another.
    act : bool
        Whether to leave it, instead of saying so.
    options
        As of ``stop_when``.

    Returns
    -------
    object
        What the plan returns; None where it was left.
    """
    words = (words,) if isinstance(words, str) else words
    condition = verdict_is(*words, frames=frames)
    return (
        yield from stop_when(
            plan, condition, verdicts, act=act, name="skip_bad", **options
        )
    )

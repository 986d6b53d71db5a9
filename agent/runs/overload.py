"""What is left out when frames come faster than they can be analysed, and when.

First the classifier, which costs most and which nobody's plan waits for; then whole
frames. Only what can be had again is left out, from its file or from Tiled: a second
pass gives it its final verdict. Frames that are in memory only are analysed, however
late, until the bound on the inbox takes their pixels.
"""

from __future__ import annotations

from enum import Enum

from ringwatch.agent.nouns import FileLocator, FrameRef, LostLocator
from ringwatch.agent.settings import Settings

__all__ = ["Late", "what_to_leave_out"]


class Late(Enum):
    """What is left out of a frame."""

    NOTHING = "nothing"
    LABEL = "its label"
    FRAME = "all of it"


def what_to_leave_out(
    ref: FrameRef,
    behind_s: float,
    settings: Settings,
    *,
    stored: bool,
    labelled: bool = True,
) -> tuple[Late, str]:
    """What to leave out of a frame, and why.

    Parameters
    ----------
    ref : FrameRef
    behind_s : float
        Time since its document came, seconds; 0 for a source that waits.
    settings : Settings
    stored : bool
        Whether its run can be fetched from Tiled.
    labelled : bool
        Whether frames get labels at all.
    """
    if isinstance(ref.locator, LostLocator):
        dropped = ref.locator.shed and stored
        return (Late.FRAME, ref.locator.reason) if dropped else (Late.NOTHING, "")
    if not (stored or isinstance(ref.locator, FileLocator)):
        return Late.NOTHING, ""
    why = f"left out for now: the agent is {behind_s:.1f} s behind"
    if behind_s > settings.shed_frames_after_s:
        return Late.FRAME, why
    if labelled and behind_s > settings.shed_labels_after_s:
        return Late.LABEL, why
    return Late.NOTHING, ""

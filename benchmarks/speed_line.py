"""One line of the table of speed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SpeedLine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """One figure beside its peer and its floor.

    Attributes
    ----------
    what, unit : str
        What was measured, and the unit of ``ours``, ``peer`` and ``floor``.
    ours : float
    peer : float or None
        None where there is none.
    peer_name : str
        Empty where there is none.
    ratio : float or None
        How many times better than the peer ours is; below 1 it is worse.
    floor, times_the_floor : float or None
        What nobody can be better than, and how many times worse ours is.
    frames_a_second : float or None
        How many frames one agent, or one kernel, works off at this; None where no
        frame is.
    asked : str
        What the figure is held against; empty where nothing is asked.
    met : bool or None
        Whether it does; None where nothing is asked, or not of this size.
    """

    what: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    floor: float | None = None
    times_the_floor: float | None = None
    frames_a_second: float | None = None
    asked: str = ""
    met: bool | None = None

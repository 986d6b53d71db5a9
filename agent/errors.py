"""The errors of the agent: one tree, so that a caller can catch what it means.

A message names the offender, what was expected and the remedy.
"""

from __future__ import annotations

__all__ = [
    "MALFORMED",
    "AgentClosedError",
    "DocumentError",
    "ForbiddenFrameError",
    "FrameReadError",
    "FrameShapeError",
    "GeometryError",
    "LabelError",
    "LearnedError",
    "MissingDarkError",
    "MissingFrameError",
    "ReplayError",
    "RingwatchError",
    "SettingsError",
    "SinkError",
    "TiledAwayError",
]


MALFORMED = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What a malformed document may raise in whoever reads it."""


class RingwatchError(Exception):
    """Anything that Ringwatch reports itself."""


class SettingsError(RingwatchError):
    """A setting is missing, unknown or out of bounds."""


class GeometryError(RingwatchError):
    """A geometry or a mask is missing, unreadable or does not fit the frames."""


class DocumentError(RingwatchError):
    """A Bluesky document is malformed or refers to something never announced."""


class FrameReadError(RingwatchError):
    """The pixels of an announced frame could not be read."""


class MissingFrameError(FrameReadError):
    """The announced file or the announced frame in it is not there."""


class MissingDarkError(MissingFrameError):
    """A dark run could not be fetched: asked for again later it may come."""


class ForbiddenFrameError(FrameReadError):
    """A frame may not be read: outside the data roots, or too large."""


class FrameShapeError(FrameReadError):
    """A frame is not the two-dimensional image that was announced."""


class SinkError(RingwatchError):
    """Results could not be handed over (0MQ, Tiled)."""


class ReplayError(RingwatchError):
    """A stored run could not be replayed."""


class LabelError(RingwatchError):
    """What a person says of a frame is malformed, or cannot be kept."""


class TiledAwayError(ReplayError):
    """Tiled does not answer, or fails: asked again later it may have the run."""


class NoContainerError(ReplayError):
    """A Tiled server that is well has no such container (yet)."""


class LearnedError(RingwatchError):
    """What people taught cannot be used, or may not be switched on."""


class AgentClosedError(RingwatchError):
    """The agent was closed and takes no more documents."""

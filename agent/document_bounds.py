"""What a document may say: bounds on numbers, names and shapes.

Whoever can send documents can send any. What is refused here is refused before anything
is made of it; the errors become ``DocumentError`` where documents are taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "MOST_FRAMES_AT_ONCE",
    "check_frame_count",
    "check_lengths",
    "check_shape",
    "text_of",
    "whole_number",
]

MOST_FRAMES_AT_ONCE = 1 << 18
"""A document that announces more frames is malformed."""

MOST_PIXELS = 1 << 28
"""A frame that announces more is none: the largest detectors have 2e7."""

LONGEST_TEXT = 300
"""Of a uid, or of the name of a stream or of a data key."""

_WHOLE = 1 << 63


def text_of(value: Any) -> str:
    """A uid or a name; ``TypeError`` or ``ValueError`` where it is none."""
    if not isinstance(value, str):
        raise TypeError(f"a text is expected, not {type(value).__name__}")
    if len(value) > LONGEST_TEXT or not value.isprintable():
        raise ValueError(f"{value[:40]!r} is no name: too long, or not printable")
    return value


def whole_number(value: Any) -> int:
    """A whole number that 64 bits hold; ``ValueError`` where it is none."""
    number = int(value)
    if not -_WHOLE <= number < _WHOLE:
        raise ValueError(f"a whole number has more than 64 bits ({number:#x})"[:120])
    return number


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse shapes (..., y, x) that no detector has; 0 stands for an open length.

    Raises
    ------
    ValueError
        Where a length is negative, or the product too large.
    """
    pixels = math.prod(n for n in shape[-2:] if n)
    if any(n < 0 for n in shape) or pixels > MOST_PIXELS:
        raise ValueError(f"no frames have the shape {str(shape)[:80]}")
    check_frame_count(math.prod(n for n in shape[:-2] if n))


def check_lengths(data_keys: Mapping[str, Any]) -> None:
    """Refuse lengths that are none in any shape of a descriptor; None is an open one.

    Raises
    ------
    ValueError
        Where one is negative or not a number: the frames would pass for no images.
    """
    for key, told in data_keys.items():
        for length in told.get("shape") or ():
            if length is not None and not length >= 0:
                raise ValueError(f"{text_of(key)!r} has a length of {length!r:.20}")


def check_frame_count(count: int) -> None:
    """Refuse too many frames in one document, by ``ValueError``."""
    if count > MOST_FRAMES_AT_ONCE:
        raise ValueError(
            f"more than {MOST_FRAMES_AT_ONCE} frames at once ({count:#x})"[:120]
        )

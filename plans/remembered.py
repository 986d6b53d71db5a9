"""What is remembered of the last so many things."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

__all__ = ["Remembered"]

K = TypeVar("K")
V = TypeVar("V")


class Remembered(OrderedDict[K, V]):
    """A mapping that forgets what came first, so that weeks of runs fill no memory.

    Parameters
    ----------
    most : int
        Keys that are kept.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        while len(self) > self._most:
            self.popitem(last=False)

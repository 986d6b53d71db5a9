"""A piece of the flags' benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work with its place in a ledger."""

    ledger: str
    name: str
    do: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]

"""The agent: from live Bluesky documents to verdicts.

``Agent`` is imported on first use, so that ``ringwatch.agent.nouns`` alone stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringwatch.agent.agent import Agent

__all__ = ["Agent"]


def __getattr__(name: str) -> Any:
    if name == "Agent":
        from ringwatch.agent.agent import Agent  # noqa: PLC0415

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What is to be done with one stored run, as text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

from ringwatch.agent.settings import Settings

__all__ = ["Order", "settings_for_replay"]

MOST_PENDING = 200
MOST_PENDING_BYTES = 256 << 20
"""Of the agent's queue: read ahead enough, and soon done when interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done with one run; all of it text, and no secrets.

    Attributes
    ----------
    number : int
        Its place among the orders.
    uid : str
    tiled, profile, container : str
        Where the raw run is: address of a server, or a profile; and the container.
    settings : str
        JSON of ``Settings``.
    pace : str
        See ``Pace``.
    store : bool
        Whether the verdicts are written to Tiled as a further attempt.
    diff : bool
        Whether they are compared with those stored: of ``against``, or the newest pass.
    against : int or None
    frames : bool
        Whether the answer holds each verdict.
    """

    number: int
    uid: str
    tiled: str
    profile: str
    container: str
    settings: str
    pace: str = "burst"
    store: bool = False
    diff: bool = False
    against: int | None = None
    frames: bool = False

    def read_settings(self) -> Settings:
        """The settings."""
        return Settings.model_validate_json(self.settings)

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From JSON."""
        return cls(**json.loads(text))


def settings_for_replay(settings: Settings) -> Settings:
    """Settings of a live agent as a replay uses them: same verdicts, no side effects.

    Live listeners act on what is published, and --store alone says what is stored.
    """
    files = {
        name: path.resolve()  # a worker may have another working folder
        for name in ("poni", "mask", "dark", "reference", "weights")
        if (path := getattr(settings, name)) is not None
    }
    if (heads := settings.heads_folder) is not None:
        files["heads"] = heads.resolve()
    return settings.model_copy(
        update=files
        | {
            "publish": None,
            "metrics": None,
            "page": None,
            "tiled": None,
            "paragraph": False,
            "max_pending_documents": min(settings.max_pending_documents, MOST_PENDING),
            "max_pending_bytes": min(settings.max_pending_bytes, MOST_PENDING_BYTES),
        }
    )

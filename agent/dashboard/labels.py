"""What people say of frames on the page, and who keeps it."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Said", "TakesLabels"]


class Said(BaseModel):
    """What somebody says of one frame.

    Attributes
    ----------
    run, stream, index
        The frame.
    kind : {'correct', 'wrong', 'new_class', 'comment'}
    name : str
        Of the class: the right one, or a new one.
    comment, who : str
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(min_length=1, max_length=300)
    stream: str = Field(default="primary", min_length=1, max_length=300)
    index: int = Field(ge=0, lt=1 << 40)
    kind: Literal["correct", "wrong", "new_class", "comment"]
    name: str = Field(default="", max_length=100)
    comment: str = Field(default="", max_length=2000)
    who: str = Field(default="", max_length=100)

    @field_validator("run", "stream", "name", "who")
    @classmethod
    def _is_printable(cls, text: str) -> str:
        if not text.isprintable():
            raise ValueError("give one line of printable text")
        return text.strip()


class TakesLabels(Protocol):
    """Keeps what people say."""

    def add(self, label: dict[str, Any]) -> None:
        """Keep a label: what ``Said`` has, ``time``, and the ``verdict`` meant."""

    def of_run(self, uid: str) -> list[dict[str, Any]]:
        """Labels of a raw run, the oldest first."""

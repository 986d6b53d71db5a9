"""What people say of frames on the page."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ringwatch.agent.errors import LabelError
from ringwatch.agent.labels import Label, LabelStore, machine_said
from ringwatch.agent.settings import Settings

__all__ = ["Said", "label_of", "open_store", "told"]

logger = logging.getLogger(__name__)


class Said(BaseModel):
    """What somebody says of one frame; ``Label`` bounds the texts.

    Attributes
    ----------
    run, stream, data_key, index
        The frame, of a raw run; without a data key of the newest one.
    says : {'correct', 'wrong', 'class', 'comment'}
        As in ``ringwatch.agent.labels.SAYS``.
    value, comment, by : str
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(min_length=1, max_length=300)
    stream: str = Field(min_length=1, max_length=300)
    data_key: str = Field("", max_length=300)
    index: int = Field(ge=0, lt=1 << 40)
    says: Literal["correct", "wrong", "class", "comment"]
    value: str = ""
    comment: str = ""
    by: str = ""


def label_of(said: Said, start: Mapping[str, Any], card: Mapping[str, Any]) -> Label:
    """The label, beside what the machine had said.

    Raises
    ------
    LabelError
        Where it is none: without a name, for instance.
    """
    chance = card.get("label_prob")  # JSON has no NaN
    data = {**card, "raw_index": said.index}
    data["label_prob"] = math.nan if chance is None else chance
    return Label(
        **machine_said({**start, "raw_uid": said.run}, said.stream, data),
        by=said.by.strip(),
        says=said.says,
        value=said.value.strip(),
        comment=said.comment.strip(),
    )


def told(label: Label) -> dict[str, Any]:
    """What the page shows of a label."""
    keys = ("index", "by", "says", "value", "comment", "time", "adjudicated")
    return {key: getattr(label, key) for key in keys}


def open_store(settings: Settings, api_key: str | None) -> LabelStore | None:
    """Where labels are kept; None where there is no place, or an unusable one."""
    if not settings.state:
        return None
    try:
        return LabelStore(
            settings.state / "labels", tiled=settings.tiled, api_key=api_key
        )
    except LabelError as error:  # frames are judged all the same
        logger.error("the page takes no labels: %s", error)
        return None

"""Labels as documents of a Bluesky run: one event each, in the order they were said.

So the archive holds them as anything else, and each earlier state is a prefix.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from event_model import ComposeEvent, compose_run

from ringwatch.agent.errors import LabelError
from ringwatch.agent.fields import DTYPES, OBJECT
from ringwatch.agent.labels.label import Label
from ringwatch.agent.results import NamedDocument, plain

__all__ = ["STREAM", "first_documents", "label_event", "label_of", "stop_document"]

STREAM = "primary"
"""Name of the one stream of a run of labels."""

# As a derived run calls them where it has them, so that one search serves both.
COLUMNS: dict[str, tuple[str, type]] = {
    "raw_uid": ("run_uid", str),
    "raw_stream": ("stream", str),
    "raw_data_key": ("data_key", str),
    "raw_index": ("index", int),
    "by": ("by", str),
    "says": ("says", str),
    "value": ("value", str),
    "comment": ("comment", str),
    "adjudicated": ("adjudicated", bool),
    "verdict": ("verdict", str),
    "primary_flag": ("primary_flag", str),
    "label": ("label", str),
    "label_prob": ("label_prob", float),
    "analysis_id": ("analysis_id", str),
    "model_hash": ("model_hash", str),
    "label_uid": ("uid", str),
}
"""Key in an event: field of ``Label``, and its type."""


def first_documents() -> list[NamedDocument]:
    """Start document and descriptor of a new run of labels."""
    bundle = compose_run(
        metadata={
            "purpose": "what people say of frames",
            "agent": OBJECT,
            "agent_version": version("ringwatch"),
            "host": socket.gethostname(),
        }
    )
    keys = {name: _data_key(kind) for name, (_, kind) in COLUMNS.items()}
    stream = bundle.compose_descriptor(
        name=STREAM, data_keys=keys, object_keys={OBJECT: list(keys)}
    )
    return [
        ("start", dict(bundle.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
    ]


def label_event(
    descriptor: Mapping[str, Any], label: Label, seq_num: int
) -> NamedDocument:
    """The event of a label; its ``uid`` and ``time`` are those of the label."""
    data = {name: getattr(label, field) for name, (field, _) in COLUMNS.items()}
    if math.isnan(label.label_prob):
        data["label_prob"] = None  # JSON has no NaN, and a table has both
    compose = ComposeEvent(descriptor=dict(descriptor), event_counters={STREAM: 1})
    event = compose(
        data=data,
        timestamps=dict.fromkeys(data, label.time),
        seq_num=seq_num,
        uid=label.uid,
        time=label.time,
    )
    return "event", dict(event)


def label_of(data: Mapping[str, Any], when: Any) -> Label:
    """The label of an event's data, or of a row of the stored table.

    Raises
    ------
    LabelError
        Where it is none.
    """
    if not isinstance(data, Mapping):
        raise LabelError(f"data of an event are {type(data).__name__}: expected keys")
    if missing := [name for name in COLUMNS if name not in data]:
        raise LabelError(f"an event is no label: it lacks {', '.join(missing)}")
    told = plain({field: data[name] for name, (field, _) in COLUMNS.items()})
    return Label.from_object(told | {"time": plain(when)})


def stop_document(start: Mapping[str, Any], events: int) -> NamedDocument:
    """The stop document of a run that takes no more labels."""
    bundle = compose_run(uid=start["uid"], time=start["time"], metadata={})
    stop = dict(bundle.compose_stop(time=time.time()))
    return "stop", stop | {"num_events": {STREAM: events}}


def _data_key(kind: type) -> dict[str, Any]:
    dtype, dtype_numpy = DTYPES[kind]
    return {
        "source": "people",
        "dtype": dtype,
        "dtype_numpy": dtype_numpy,
        "shape": [],
    }

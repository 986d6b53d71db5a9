"""Derived runs for the tests of sinks, and what a reader finds of them in Tiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from event_model import compose_run

from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks import Sink

N_Q = 300
Q = np.linspace(0.5, 8.0, N_Q)


class Derived:
    """Documents of a run with every kind of field that a derived run has."""

    def __init__(self, raw_uid: str, n_q: int = N_Q) -> None:
        self._run = compose_run(metadata={"raw_uid": raw_uid, "attempt": 1})
        self.uid: str = self._run.start_doc["uid"]
        self.start: NamedDocument = ("start", self._run.start_doc)
        keys = {
            "raw_data_key": _key("string", "|O8"),
            "raw_index": _key("integer", "<i8"),
            "label": _key("string", "|O8"),
            "revision": _key("integer", "<i8"),
            "final": _key("boolean", "|b1"),
            "z_no_beam": _key("number", "<f8"),
            "class_numbers": _key("array", "<i8", 5),
            "class_probs": _key("array", "<f8", 5),
            "intensity": _key("array", "<f8", n_q) | {"dims": ["q"]},
        }
        self._stream = self._run.compose_descriptor(
            name="primary",
            data_keys=keys,
            object_keys={"ringwatch": list(keys)},
            configuration={
                "ringwatch": {
                    "data": {"q": Q},
                    "timestamps": {"q": 1.0},
                    "data_keys": {"q": _key("array", "<f8", N_Q)},
                }
            },
        )
        self.descriptor: NamedDocument = ("descriptor", self._stream.descriptor_doc)

    def event(self, number: int) -> NamedDocument:
        data = {
            "raw_data_key": "det",
            "raw_index": number,
            "label": "F---" if number % 2 else "",
            "revision": number,
            "final": number % 2 == 0,
            "z_no_beam": float("nan") if number % 2 else 0.1 * number,
            "class_numbers": np.array([number, 2, 3, 4, -1]),
            "class_probs": np.array([0.1 * number, np.nan, 0, 0, 1]),
            "intensity": np.sin(Q) + number,
        }
        stamps = dict.fromkeys(data, time.time())
        return "event", self._stream.compose_event(data=data, timestamps=stamps)

    def stop(self) -> NamedDocument:
        return "stop", self._run.compose_stop()

    def documents(self, events: int) -> list[NamedDocument]:
        return [
            self.start,
            self.descriptor,
            *(self.event(n) for n in range(events)),
            self.stop(),
        ]


def _key(dtype: str, dtype_numpy: str, *shape: int) -> dict[str, Any]:
    return {
        "source": "ringwatch",
        "dtype": dtype,
        "dtype_numpy": dtype_numpy,
        "shape": list(shape),
    }


def put_all(sink: Sink, documents: list[NamedDocument]) -> None:
    for name, doc in documents:
        sink.put(name, doc)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def assert_whole(run: Any, events: int) -> None:
    """Each event once, in order, with its own values."""
    stream = run["primary"]
    assert stream["seq_num"].read().tolist() == list(range(1, events + 1))
    assert stream["revision"].read().tolist() == list(range(events))
    intensity = stream["intensity"].read()
    assert np.array_equal(intensity, np.sin(Q) + np.arange(events)[:, None])

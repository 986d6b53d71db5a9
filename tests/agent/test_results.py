"""Documents of a derived run: valid, complete, of fixed shape."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from ringwatch.agent.errors import AgentClosedError, DocumentError
from ringwatch.agent.fields import CRYSTAL_SYSTEMS
from ringwatch.agent.nouns import (
    Flag,
    FlagState,
    FrameRef,
    LostLocator,
    Pattern,
    Quality,
    Severity,
    Verdict,
    Word,
)
from ringwatch.agent.results import DerivedRun, plain
from ringwatch.models.prediction import (
    ClassProbability,
    Prediction,
    SpaceGroupProbability,
    SystemProbability,
)

Q = np.linspace(0.5, 8.0, 300)
RAW = {"uid": "raw-1", "time": 1.0, "scan_id": np.int64(7), "sample": {"name": "CeO2"}}


def a_quality(*raised: Flag, word: Word = Word.GOOD) -> Quality:
    states = dict.fromkeys(Flag, FlagState.CLEAR)
    states[Flag.SEQUENCE] = FlagState.NOT_EVALUATED
    states |= dict.fromkeys(raised, FlagState.RAISED)
    return Quality(
        states=states,
        why_not={Flag.SEQUENCE: "no counter"},
        z={Flag.BEAM_CENTER: np.float32(12.5)},
        values={"beam_center_dx_px": np.float64(0.9), "beam_center_dy_px": -0.1},
        severities=dict.fromkeys(raised, Severity.BAD),
        primary=raised[0] if raised else None,
        word=word,
        reason="because",
    )


def a_prediction() -> Prediction:
    numbers = (225, 227, 221, 229, 1, 2)
    probabilities = (0.6, 0.2, 0.1, 0.05, 0.03, 0.02)
    pairs = list(zip(numbers, probabilities, strict=True))
    return Prediction(
        classes=tuple(
            ClassProbability(number=n, symbol=f"S{n}", probability=p) for n, p in pairs
        ),
        space_groups=tuple(
            SpaceGroupProbability(number=n, probability=p) for n, p in pairs
        ),
        crystal_systems=(
            SystemProbability(name="cubic", probability=0.95),
            SystemProbability(name="triclinic", probability=0.05),
            *(SystemProbability(name=n, probability=0.0) for n in CRYSTAL_SYSTEMS[1:6]),
        ),
        label_set=("S225", "S227"),
        coverage=0.8,
        unsure=False,
        novelty=-4.0,
        embedding=np.arange(64, dtype=np.float32),
    )


def a_verdict(index: int = 0, stream: str = "primary", **changes: Any) -> Verdict:
    frame = FrameRef(
        run_uid="raw-1",
        stream=stream,
        data_key="det_image",
        index=index,
        seq_num=index + 1,
        time=100.0 + index,
        locator=LostLocator(reason="dropped"),
    )
    verdict = Verdict(
        frame=frame,
        word=Word.GOOD,
        reason="all is well",
        quality=a_quality(),
        prediction=a_prediction(),
        pattern=Pattern(
            q=Q, intensity=np.sin(Q) + index, sigma=np.sqrt(Q), coverage=np.ones_like(Q)
        ),
        analysis_id="abc123",
        latency_ms=np.float64(12.0),
    )
    return replace(verdict, **changes)


def a_run(**changes: Any) -> DerivedRun:
    arguments: dict[str, Any] = {
        "analysis_id": "abc123",
        "attempt": 1,
        "metadata": {"model_hash": "m", "geometry_hash": "g", "mask_hash": "k"},
        "q": Q,
    }
    return DerivedRun(RAW, **(arguments | changes))


def bare_verdict(index: int) -> Verdict:
    return a_verdict(
        index,
        word=Word.UNKNOWN,
        quality=replace(a_quality(), z={}, values={}),
        prediction=None,
        pattern=None,
    )


def test_every_document_is_valid() -> None:
    run = a_run()
    documents = run.start()
    for verdict in (a_verdict(0), bare_verdict(1), a_verdict(0, "dark")):
        documents += run.event(verdict)
    documents += run.stop("success", "", raw_exit_status="abort")
    names = [name for name, _ in documents]
    assert names == [
        "start", "descriptor", "event", "event", "descriptor", "event", "stop",
    ]  # fmt: skip
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
        schema_validators[DocumentNames[name]].validate(plain(doc))


def test_start_links_to_the_raw_run() -> None:
    [(_, start)] = a_run().start()
    assert start["raw_uid"] == start["original_run_uid"] == "raw-1"
    assert start["uid"] != "raw-1"
    assert start["scan_id"] == 7
    assert type(start["scan_id"]) is int
    assert start["sample"] == {"name": "CeO2"}
    assert start["model_hash"] == "m"
    assert start["attempt"] == 1


def test_streams_are_named_as_the_raw_ones_and_hold_q_once() -> None:
    run = a_run()
    documents = run.event(a_verdict(0)) + run.event(a_verdict(0, "dark"))
    descriptors = [doc for name, doc in documents if name == "descriptor"]
    assert [d["name"] for d in descriptors] == ["primary", "dark"]
    for descriptor in descriptors:
        assert np.array_equal(descriptor["configuration"]["ringwatch"]["data"]["q"], Q)
        assert descriptor["data_keys"]["intensity"]["shape"] == [300]


def test_events_have_the_declared_types_and_shapes() -> None:
    """With and without a prediction and a pattern, every field is as declared."""
    run = a_run()
    documents = run.event(a_verdict(0)) + run.event(bare_verdict(1))
    keys = documents[0][1]["data_keys"]
    kinds = {"number": float, "integer": int, "string": str, "boolean": bool}
    for _, event in documents[1:]:
        assert set(event["data"]) == set(keys) == set(event["timestamps"])
        for name, value in event["data"].items():
            described = keys[name]
            if described["dtype"] == "array":
                assert list(value.shape) == described["shape"], name
                assert value.dtype == np.dtype(described["dtype_numpy"]), name
            else:
                assert type(value) is kinds[described["dtype"]], name


def test_values_of_a_verdict() -> None:
    quality = a_quality(Flag.NO_BEAM, Flag.LOW_COUNTS, word=Word.BAD)
    verdict = a_verdict(3, word=Word.BAD, quality=quality, revision=1)
    data = a_run().event(verdict)[1][1]["data"]
    assert (data["raw_index"], data["raw_seq_num"], data["raw_time"]) == (3, 4, 103.0)
    assert (data["verdict"], data["revision"], data["final"]) == ("bad", 1, True)
    assert (data["primary_flag"], data["also"]) == ("no_beam", "low_counts")
    assert data["dq"] == (1 << 4) | (1 << 26)
    assert not data["dq_evaluated"] & Flag.SEQUENCE.mask
    assert data["dq_evaluated"] & Flag.MISREAD.mask
    assert data["z_beam_center"] == 12.5
    assert math.isnan(data["z_no_beam"])
    assert (data["beam_center_dx_px"], data["beam_center_dy_px"]) == (0.9, -0.1)
    assert math.isnan(data["saturated_pixels"])
    assert (data["label"], data["label_set"]) == ("S225", "S225,S227")
    assert data["class_numbers"].tolist() == [225, 227, 221, 229, 1]
    assert data["class_probs"].tolist() == [0.6, 0.2, 0.1, 0.05, 0.03]
    assert data["crystal_system_probs"].tolist() == [0.05, 0, 0, 0, 0, 0, 0.95]
    assert data["embedding"].tolist() == list(range(64))
    assert np.array_equal(data["intensity"], np.sin(Q) + 3)


def test_absence_is_said_in_band() -> None:
    data = a_run().event(bare_verdict(0))[1][1]["data"]
    assert (data["label"], data["label_set"], data["unsure"]) == ("", "", True)
    assert data["class_numbers"].tolist() == [-1] * 5
    floats = ("class_probs", "crystal_system_probs", "embedding", "intensity", "sigma")
    for name in floats:
        assert np.isnan(data[name]).all(), name


def test_without_q_there_is_no_pattern() -> None:
    (_, descriptor), (_, event) = a_run(q=None).event(a_verdict(0))
    assert descriptor["configuration"] == {}
    assert not {"intensity", "sigma"} & set(event["data"])


def test_pattern_of_another_length_is_refused() -> None:
    pattern = Pattern(q=Q[:9], intensity=Q[:9], sigma=Q[:9], coverage=Q[:9])
    with pytest.raises(DocumentError, match=r"9 bins.*300.*new attempt"):
        a_run().event(a_verdict(0, pattern=pattern))


def test_metadata_may_not_overwrite() -> None:
    with pytest.raises(DocumentError, match="raw_uid"):
        a_run(metadata={"raw_uid": "other"})


def test_unpublished_values_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    run = a_run()
    quality = replace(a_quality(), values={"new_value": 1.0})
    for index in range(3):
        run.event(a_verdict(index, quality=quality))
    assert caplog.text.count("new_value") == 1
    run = a_run(values={"new_value": "px"})
    data = run.event(a_verdict(0, quality=quality))[1][1]["data"]
    assert data["new_value"] == 1.0


def test_stop_counts_each_frame_once() -> None:
    run = a_run()
    run.event(a_verdict(0))
    run.event(a_verdict(1, word=Word.UNKNOWN, final=False, prediction=None))
    run.event(a_verdict(1, revision=1))
    bad = a_quality(Flag.NO_BEAM, word=Word.BAD)
    run.event(a_verdict(2, word=Word.BAD, quality=bad))
    run.event(a_verdict(3, word=Word.UNKNOWN, final=False, prediction=None))
    [(_, stop)] = run.stop(raw_exit_status="success")
    assert stop["num_events"] == {"primary": 5}
    assert stop["verdicts"] == {"good": 2, "bad": 1, "unknown": 1}
    assert stop["summary"].startswith(
        "4 frames: 2 good, 1 bad, 1 unknown; 1 without a final verdict; 1 revised. "
        "What went wrong: no beam (no_beam, bad), frame 2: all is well. What to do: "
    )
    assert "Take point 3 again (frame 2)." in stop["summary"]
    with pytest.raises(AgentClosedError, match="next attempt"):
        run.event(a_verdict(4))
    with pytest.raises(AgentClosedError, match="already"):
        run.stop()


def test_empty_run_can_be_stopped() -> None:
    run = a_run()
    [(name, stop)] = run.stop("fail", "no geometry")
    assert (name, stop["summary"], stop["num_events"]) == ("stop", "0 frames.", {})


def test_a_run_whose_writer_died_is_gone_on_with() -> None:
    run = a_run()
    documents = run.start() + run.event(a_verdict(0)) + run.event(a_verdict(1))
    start, descriptor = documents[0][1], documents[1][1]
    assert documents[1][0] == "descriptor"
    again = DerivedRun.resumed(start, [descriptor], {"primary": 3})
    documents += again.event(a_verdict(2)) + again.event(a_verdict(0, stream="dark"))
    documents += again.stop()
    assert again.uid == run.uid
    assert [name for name, _ in documents].count("descriptor") == 2  # dark is new
    mine = [doc for name, doc in documents if name == "event"]
    primary = [doc for doc in mine if doc["descriptor"] == descriptor["uid"]]
    assert [doc["seq_num"] for doc in primary] == [1, 2, 3]
    assert len({doc["uid"] for doc in mine}) == 4
    assert documents[-1][1]["num_events"] == {"primary": 3, "dark": 1}
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(plain(doc))

"""A label is checked when it is made, and comes back from plain values as it was."""

from __future__ import annotations

import json
import math

import pytest
from event_model import DocumentNames, schema_validators

from ringwatch.agent.errors import LabelError
from ringwatch.agent.labels import Label, machine_said
from ringwatch.agent.labels.documents import (
    first_documents,
    label_event,
    label_of,
    stop_document,
)

from .conftest import SAID, label


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("run_uid", "", "run_uid is empty"),
        ("run_uid", "x" * 201, "at most 200"),
        ("by", "  ", "by is empty"),
        ("by", "\x1b[31mada", "do not print"),
        ("index", -1, "index is -1"),
        ("index", True, "index is True"),
        ("index", 1.0, "index is 1.0"),
        ("index", 2**60, "from 0"),
        ("says", "maybe", "expected one of correct, wrong"),
        ("value", "F---", "takes no value"),
        ("comment", "x" * 2001, "at most 2000"),
        ("comment", "\x07", "do not print"),
        ("comment", 3, "comment is int"),
        ("verdict", "fine", "verdict is 'fine'"),
        ("label_prob", 1.5, "0 to 1"),
        ("label_prob", math.inf, "0 to 1"),
        ("time", math.nan, "seconds since the epoch"),
        ("time", -5.0, "seconds since the epoch"),
        ("adjudicated", "yes", "True or False"),
        ("uid", "../../etc", "letters, digits and -"),
    ],
)
def test_a_field_that_is_not_as_described_is_named(
    field: str, value: object, told: str
) -> None:
    with pytest.raises(LabelError, match=told):
        label(**{field: value})


@pytest.mark.parametrize(
    ("says", "more", "told"),
    [
        ("class", {}, "needs its name"),
        ("flag", {"value": " "}, "needs its name"),
        ("wrong", {"value": "Fm-3m"}, "says='class'"),
        ("comment", {}, "without words"),
    ],
)
def test_a_word_needs_what_belongs_to_it(
    says: str, more: dict[str, str], told: str
) -> None:
    with pytest.raises(LabelError, match=told):
        label(says=says, **more)


@pytest.mark.parametrize("prob", [0.25, math.nan])
def test_it_comes_back_from_json_and_from_an_event(prob: float) -> None:
    said = label(3, says="class", value="ice Ih", comment="Zürich\n2", label_prob=prob)
    through_json = json.loads(json.dumps(said.to_object(), allow_nan=False))
    assert Label.from_object(through_json) == said
    (_, descriptor) = first_documents()[1]
    _, event = label_event(descriptor, said, 1)
    assert label_of(event["data"], event["time"]) == said


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "list"),
        ({"run_uid": "x"}, "lacks by, data_key, index, says, stream"),
        (label().to_object() | {"colour": 1}, "unknown keys"),
        (label().to_object() | {"index": "3"}, "index is '3'"),
    ],
)
def test_what_is_no_label_is_refused(told: object, why: str) -> None:
    with pytest.raises(LabelError, match=why):
        Label.from_object(told)  # type: ignore[arg-type]


def test_its_documents_keep_to_the_schemas() -> None:
    documents = first_documents()
    documents.append(label_event(documents[1][1], label(), 1))
    documents.append(stop_document(documents[0][1], 1))
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    assert documents[3][1]["run_start"] == documents[0][1]["uid"]


def test_what_the_machine_said_is_taken_from_a_derived_run() -> None:
    start = {"raw_uid": "run-1", "analysis_id": "0" * 32, "model_hash": "abc"}
    data = SAID | {"raw_data_key": "det", "raw_index": 7, "novelty": 3.0}
    said = Label(**machine_said(start, "primary", data), by="ada", says="correct")
    assert said.frame == ("run-1", "primary", "det", 7)
    assert {name: getattr(said, name) for name in SAID} == SAID
    with pytest.raises(LabelError, match="holds no verdict"):
        machine_said({}, "primary", data)

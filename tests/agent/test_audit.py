"""Whatever is taken out of the documents of real runs, the audit says so."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from event_model import compose_run

from ringwatch.agent.errors import DocumentError
from ringwatch.agent.sources.audit import MOST_RUNS, Audit
from ringwatch.simulated_beamline.area_detector import DatumDetector, InlineDetector
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import fly, step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

STYLES = {"inline": InlineDetector, "datum": DatumDetector, "stream": StreamDetector}

Documents = list[tuple[str, dict[str, Any]]]


class Told:
    """Remembers gaps."""

    def __init__(self) -> None:
        self.gaps: list[tuple[str, str]] = []
        self.audit = Audit(lambda uid, why: self.gaps.append((uid, why)))

    def take(self, documents: Documents) -> list[tuple[str, str]]:
        for name, doc in documents:
            self.audit.take(name, doc)
        assert self.audit.gaps == len(self.gaps)
        return self.gaps


def events_only(number: int = 6) -> Documents:
    run = compose_run()
    keys = {"x": {"source": "s", "dtype": "number", "shape": []}}
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    documents: list[Any] = [("start", run.start_doc)]
    documents.append(("descriptor", stream.descriptor_doc))
    for n in range(number):
        event = stream.compose_event(data={"x": n}, timestamps={"x": 0.0})
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop())]


def flight(ranges: list[tuple[int, int]], total: int) -> Documents:
    """A flight whose frames have no events."""
    keys = {"x": {"source": "s", "dtype": "array", "shape": [4], "external": "STREAM:"}}
    return [
        ("start", {"uid": "run", "time": 0.0}),
        (
            "descriptor",
            {"uid": "d", "run_start": "run", "name": "primary", "data_keys": keys},
        ),
        ("stream_resource", {"uid": "sr", "run_start": "run", "data_key": "x"}),
        *(
            (
                "stream_datum",
                {
                    "uid": f"sr/{n}",
                    "stream_resource": "sr",
                    "descriptor": "d",
                    "indices": {"start": first, "stop": end},
                    "seq_nums": {"start": first + 1, "stop": end + 1},
                },
            )
            for n, (first, end) in enumerate(ranges)
        ),
        ("stop", {"uid": "s", "run_start": "run", "num_events": {"primary": total}}),
    ]


@pytest.mark.parametrize("points", [1, 6])
@pytest.mark.parametrize("style", STYLES)
def test_each_lost_document_of_a_real_run_is_noticed(
    style: str, points: int, run_engine: RunEngine, tmp_path: Path
) -> None:
    """Each asset style; each document but the last taken out, one at a time."""
    documents: Documents = []
    note = lambda name, doc: documents.append((name, doc))  # noqa: E731 - held here
    run_engine.subscribe(note)
    source = ListedFrames.blank((8, 6))
    detector = STYLES[style](
        name="det", source=source, folder=tmp_path, exposure_time=0.001
    )
    run_engine(step_scan(detector, points))
    assert Told().take(documents) == []
    (last,) = [n for n, (name, _) in enumerate(documents) if name == "stop"]
    for left_out in range(last):
        name, doc = documents[left_out]
        told = Told().take([d for n, d in enumerate(documents) if n != left_out])
        assert told, f"{name} {left_out} of {last} was lost unnoticed: {doc}"


def test_counts_of_lost_events() -> None:
    documents = events_only(9)
    uid = documents[0][1]["uid"]
    del documents[4:7], documents[-2]  # events 3 to 5, and the last
    assert Told().take(documents) == [
        (uid, "events of 'primary' are missing: 3 to 5 (3)"),
        (uid, "events of 'primary' are missing: 9"),
    ]


def test_rewind_is_no_gap() -> None:
    documents = events_only(6)
    again = [documents[5], documents[6]]
    assert Told().take([*documents[:7], *again, *documents[7:]]) == []


def test_what_is_lost_after_a_rewind_is_a_gap() -> None:
    documents = events_only(6)
    uid = documents[0][1]["uid"]
    again = documents[4:6]  # events 3 and 4; of the second 3 to 6 event 5 is lost
    assert Told().take([*documents[:6], *again, documents[7], documents[-1]]) == [
        (uid, "events of 'primary' are missing: 5")
    ]


def test_a_dark_between_two_files_of_one_camera_is_no_gap() -> None:
    documents = flight([(0, 3), (3, 5)], 5)
    start, described, resource, first, second, stop = documents
    dark = {"uid": "d2", "run_start": "run", "name": "dark"}
    stop[1]["num_events"]["dark"] = 1
    between = [
        ("descriptor", described[1] | dark),
        ("stream_resource", resource[1] | {"uid": "sr2"}),
        (
            "stream_datum",
            first[1]
            | {"uid": "sr2/0", "stream_resource": "sr2", "descriptor": "d2"}
            | {"indices": {"start": 0, "stop": 1}}
            | {"seq_nums": {"start": 1, "stop": 2}},
        ),
    ]
    documents = [start, described, resource, first, *between, second, stop]
    assert Told().take(documents) == []
    assert Told().take([d for d in documents if d is not second])
    assert Told().take([d for d in documents if d is not between[2]])


def test_pause_and_resume_of_a_real_run_are_no_gap(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    """The RunEngine goes back to the checkpoint, and emits numbers again."""
    documents: Documents = []
    note = lambda name, doc: documents.append((name, doc))  # noqa: E731 - held here
    run_engine.subscribe(note)
    detector = StreamDetector(
        name="det",
        source=ListedFrames.blank((8, 6)),
        folder=tmp_path,
        exposure_time=0.001,
    )
    paused = []

    def pausing_plan() -> Any:
        for msg in step_scan(detector, 5):
            if msg.command == "save" and len(documents) >= 8 and not paused:
                paused.append(True)
                yield from bps.pause()
            yield msg

    with pytest.raises(RunEngineInterrupted):
        run_engine(pausing_plan())
    run_engine.resume()
    frames = [doc for name, doc in documents if name == "stream_datum"]
    assert len(frames) > 5
    assert Told().take(documents) == []


def test_flight_of_a_real_run(run_engine: RunEngine, tmp_path: Path) -> None:
    documents: Documents = []
    note = lambda name, doc: documents.append((name, doc))  # noqa: E731 - held here
    run_engine.subscribe(note)
    source = ListedFrames.blank((8, 6))
    detector = StreamDetector(
        name="det", source=source, folder=tmp_path, exposure_time=0.001
    )
    run_engine(fly(detector, 7))
    assert Told().take(documents) == []
    kept = [d for d in documents if d[0] != "stream_datum"]
    assert len(kept) < len(documents)
    assert Told().take(kept)


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        ([(0, 5), (5, 10)], []),
        ([(0, 5), (7, 10)], ["frames of stream resource sr are missing: 5 to 6 (2)"]),
        ([(3, 10)], ["frames of stream resource sr are missing: 0 to 2 (3)"]),
        ([(0, 5)], ["events of 'primary' are missing: 6 to 10 (5)"]),
        ([], ["events of 'primary' are missing: 1 to 10 (10)"]),
    ],
)
def test_flight(ranges: list[tuple[int, int]], told: list[str]) -> None:
    assert [why for _, why in Told().take(flight(ranges, 10))] == told


def test_a_further_file_is_no_gap() -> None:
    """Whether its indices go on or begin anew."""
    for first in (0, 5):
        documents = flight([(0, 5)], 10)
        second = flight([(first, first + 5)], 10)[2:4]
        second[0][1]["uid"] = second[1][1]["stream_resource"] = "sr2"
        second[1][1]["seq_nums"] = {"start": 6, "stop": 11}
        assert Told().take([*documents[:-1], *second, documents[-1]]) == []


def test_unknown_runs_are_told_once() -> None:
    documents = events_only(50)
    uid = documents[0][1]["uid"]
    assert Told().take(documents[1:-1])[0] == (uid, "its start never came")
    told = Told().take(documents[2:])
    descriptor = documents[1][1]["uid"]
    assert told == [
        ("", f"descriptor {descriptor} never came"),
        (uid, "only its stop came"),
    ]


def test_open_runs_are_bounded() -> None:
    told = Told()
    for number in range(MOST_RUNS + 3):
        told.audit.take("start", {"uid": str(number)})
    assert len(told.audit.open_runs) == MOST_RUNS
    assert [uid for uid, _ in told.gaps] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        ("start", {}),
        ("start", {"uid": ["a"]}),
        ("start", {"uid": "a" * 1000}),
        ("descriptor", {"uid": "a", "run_start": {}, "name": "n"}),
        ("event", {"descriptor": "a", "seq_num": None, "data": {}}),
        ("event_page", {"descriptor": "a", "seq_num": 3}),
        ("stream_datum", {"indices": 3}),
        ("stop", {"run_start": 7}),
        ("datum", {"resource": {}, "datum_id": 1}),
    ],
)
def test_malformed_documents(name: str, doc: dict[str, Any]) -> None:
    with pytest.raises(DocumentError, match="left out"):
        Told().audit.take(name, doc)


ODD: list[Any] = [None, -1, 1 << 63, 1.5, float("nan"), float("inf"), "", "x", [], {}]


def torn(documents: Documents, rng: random.Random) -> Documents:
    """Documents of which values were taken out or replaced, and some left out."""
    torn = []
    for name, doc in documents:
        changed = dict(doc)
        chance = rng.random()
        if chance < 0.4 and doc:
            key, odd = rng.choice(sorted(doc)), rng.choice(ODD)
            changed[key] = odd
            if odd is None:
                del changed[key]
        if chance > 0.1:
            other = rng.choice(documents)[0]
            torn.append((name if chance < 0.9 else other, changed))
    return torn


def test_torn_documents_are_malformed_or_gaps(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    """Nothing but ``DocumentError`` comes out, and what is kept stays bounded."""
    whole = [*events_only(5), *flight([(0, 2), (2, 5)], 5)]
    note = lambda name, doc: whole.append((name, doc))  # noqa: E731 - held here
    run_engine.subscribe(note)
    source = ListedFrames.blank((8, 6))
    detector = DatumDetector(
        name="det", source=source, folder=tmp_path, exposure_time=0.001
    )
    run_engine(step_scan(detector, 3))
    rng = random.Random(20261121)
    told, malformed = Told(), 0
    for _ in range(1000):
        for name, doc in torn(whole, rng):
            try:
                told.audit.take(name, doc)
            except DocumentError:
                malformed += 1
    assert malformed > 500
    assert told.audit.gaps > 500
    assert len(told.audit.open_runs) <= MOST_RUNS

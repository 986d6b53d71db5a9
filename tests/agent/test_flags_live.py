"""Flags of a live scan: alarms, the corrected pattern, what the plan moves itself."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from event_model import compose_run
from numpy.typing import NDArray

from ringwatch.agent import Agent
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cli.compare import differences
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import Alarm, Flag, FrameRef, MemoryLocator, Verdict
from ringwatch.agent.quality import FrameFacts
from ringwatch.agent.runs.run_analysis import RunAnalysis
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import DetectorShift, Fault
from ringwatch.simulated_beamline.readout_faults import Zingers
from ringwatch.simulated_beamline.scenarios import powder_beamline

Scan = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def scan(run_engine: RunEngine, tmp_path: Path) -> Scan:
    """Run a step scan of a simulated beamline; data of its verdicts."""

    def scanned(
        steps: Callable[[Beamline], list[dict[Any, float]]],
        *,
        faults: tuple[Fault, ...] = (),
        motors: tuple[str, ...] = (),
        split: str = "no",
    ) -> list[dict[str, Any]]:
        beamline = powder_beamline(tmp_path, detector=512, faults=faults)
        sink = MemorySink()
        agent = Agent(
            poni=beamline.poni_path,
            mask=beamline.mask_path,
            classifier="none",
            split=split,
            sinks=(sink,),
        )
        token = run_engine.subscribe(agent)
        run_engine(beamline.step_scan(steps(beamline), darks=2, md={"motors": motors}))
        assert agent.wait_idle(60)
        run_engine.unsubscribe(token)
        agent.close()
        events = [doc["data"] for name, doc in sink.documents if name == "event"]
        return [e for e in events if e["verdict"] != "unknown"]

    return scanned


def test_a_slip_rings_once_and_its_pattern_is_corrected(scan: Scan) -> None:
    slip = DetectorShift(first=6, dx_px=1.0, dy_px=0.5)
    events = scan(lambda b: [{b.furnace: 300.0}] * 10, faults=(slip,))
    assert [e["alarm"] for e in events] == [""] * 7 + ["beam_center"] * 3
    assert [e["alarm_new"] for e in events] == [False] * 7 + [True] + [False] * 2
    assert events[7]["alarm_since"] == 6
    for event in events[:6]:
        assert np.isnan(event["intensity_corrected"]).all()
    for event in events[6:]:
        plain, corrected = event["intensity"], event["intensity_corrected"]
        assert corrected.max() > 1.02 * plain.max()  # its rings are sharper again


def test_zingers_are_left_out_of_the_robust_pattern(scan: Scan) -> None:
    struck = Zingers(first=5, count=200, value=20_000)
    events = scan(lambda b: [{b.furnace: 300.0}] * 7, faults=(struck,))
    for event in events[:5]:
        assert np.isnan(event["intensity_robust"]).all()
    due = np.median([e["intensity"] for e in events[:5]], axis=0)
    for event in events[5:]:
        assert "zingers" in event["primary_flag"] + event["also"]
        sigma = event["sigma_robust"]
        measured = sigma > 0
        away = [
            np.abs(event[name] - due)[measured] / sigma[measured]
            for name in ("intensity", "intensity_robust")
        ]
        plain, robust = (np.quantile(each, 0.95) for each in away)
        assert plain > 5
        assert robust < 3.5


def test_what_was_not_evaluated_is_published_with_the_reason(scan: Scan) -> None:
    (event, *_) = scan(lambda b: [{b.furnace: 300.0}])
    said = dict(each.split(": ", 1) for each in event["not_evaluated"].splitlines())
    assert "reference" in said["beam_drop"] or "first frames" in said["beam_drop"]
    assert "warm" in said["ice"]
    names = {flag.label for flag in Flag if not event["dq_evaluated"] >> flag.bit & 1}
    assert set(said) == names


def test_pixels_are_split_by_choice(scan: Scan) -> None:
    whole, split = (
        scan(lambda b: [{b.furnace: 300.0}] * 2, split=how) for how in ("no", "full")
    )
    for a, b in zip(whole, split, strict=True):
        assert a["verdict"] == b["verdict"]
        ratio = b["intensity"].sum() / a["intensity"].sum()
        assert ratio == pytest.approx(1.0, abs=0.02)
        # Neighbouring points share pixels: they differ less from each other.
        rough = [np.abs(np.diff(e["intensity"], 2)).sum() for e in (a, b)]
        assert rough[1] < rough[0]


def test_what_the_plan_moves_is_no_misalignment(scan: Scan) -> None:
    def moves(beamline: Beamline) -> list[dict[Any, float]]:
        places = [0.0, 0.0, 0.0, 0.0, 0.6, 1.2]  # mm; a pixel has 0.4
        return [{beamline.detector_x: place} for place in places]

    events = scan(moves, motors=("detector_x",))
    assert {e["verdict"] for e in events} == {"good"}
    assert "beam_center" in events[5]["primary_flag"] + events[5]["also"]
    assert "the plan moves detector_x" in events[5]["reason"]
    untold = scan(moves)
    assert [e["verdict"] for e in untold[4:]] == ["misaligned"] * 2


def inline_run(frames: list[NDArray[np.uint16] | None]) -> list[tuple[str, Any]]:
    """Documents with the frames inside; None is an event without its image."""
    run = compose_run()
    key = {"source": "test", "dtype": "array", "shape": [192, 176]}
    stream = run.compose_descriptor(name="primary", data_keys={"det_image": key})
    data = [{} if frame is None else {"det_image": frame} for frame in frames]
    events = [
        stream.compose_event(data=d, timestamps=dict.fromkeys(d, 0.0), validate=False)
        for d in data
    ]
    return [
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        *(("event", event) for event in events),
        ("stop", run.compose_stop()),
    ]


def test_frames_that_cannot_be_read_are_in_the_fold_of_alarms(
    poni: Path,
    make_frame: Callable[..., NDArray[np.float64]],
) -> None:
    rng = np.random.default_rng(20261121)
    sound, moved = make_frame(), make_frame(dx=2.0)
    frames: list[NDArray[np.uint16] | None] = [
        None if mean is None else rng.poisson(mean).astype(np.uint16)
        for mean in (
            *[sound] * 4,
            *[moved, moved, None, moved],
            *[sound[:-2], sound[:-2]],  # of another shape than announced
            *[sound] * 6,
        )
    ]
    documents = inline_run(frames)
    sinks = MemorySink(), MemorySink()
    for sink in sinks:
        agent = Agent(poni=poni, classifier="none", sinks=(sink,))
        for name, doc in documents:
            agent.feed(name, doc)
        assert agent.wait_idle(60)
        agent.close()
    live, again = sinks
    events = live.events("primary")
    assert [e["verdict"] for e in events][4:10] == [
        *["misaligned"] * 2,
        "unknown",
        "misaligned",
        *["bad"] * 2,
    ]
    assert [e["alarm"] for e in events] == [
        *[""] * 5,
        *["beam_center"] * 3,
        *["misread"] * 6,
        *[""] * 2,
    ]
    assert [e["raw_index"] for e in events if e["alarm_new"]] == [5, 8]
    assert differences(live.documents, again.documents) == []


def judge(
    run: RunAnalysis, index: int, frame: NDArray[np.uint16], data_key: str = "image"
) -> Verdict:
    ref = FrameRef.without_pixels("run", index)
    ref = replace(ref, data_key=data_key, locator=MemoryLocator(frame=frame))
    return run.judge(ref, time.monotonic())


def test_an_alarm_is_told_once_whatever_the_shape_of_the_frames() -> None:
    analysis = Analysis(Settings(classifier="none"), None)
    run = RunAnalysis(analysis, {}, FrameReader(), DarkBook())
    rng = np.random.default_rng(20261121)
    whole = rng.poisson(20.0, (64, 64)).astype(np.uint16)
    stuck = [whole, whole, whole[:48], whole[:48]]
    alarms = [judge(run, i, frame).quality.alarm for i, frame in enumerate(stuck)]
    assert [a is not None and a.new for a in alarms] == [False, True, False, False]
    assert {a.episode for a in alarms if isinstance(a, Alarm)} == {1}
    assert alarms[2] is not None  # clear in this one, but for one frame only
    assert judge(run, 0, whole, "other").quality.alarm is None


def test_what_is_kept_of_a_frame_lets_its_pixels_go(
    poni: Path, make_frame: Callable[..., NDArray[np.float64]]
) -> None:
    analysis = Analysis(Settings(poni=poni, classifier="none"), None)
    kept: list[FrameFacts] = []
    run = RunAnalysis(
        analysis, {}, FrameReader(), DarkBook(), lambda facts, _: kept.append(facts)
    )
    frame = make_frame().astype(np.uint16)
    alive = weakref.ref(frame)
    judge(run, 0, frame)
    del frame
    assert len(kept) == 1
    assert alive() is None

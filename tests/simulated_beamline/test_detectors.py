"""Documents of every style, step and fly, paused and aborted.

``recorded`` checks every document against event-model's schemas.
"""

from __future__ import annotations

import threading
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import hdf5plugin  # noqa: F401  (registers the filter)
import numpy as np
import pytest
from bluesky.utils import FailedStatus, RequestAbort, RunEngineInterrupted
from ophyd.sim import motor

from ringwatch.simulated_beamline.area_detector import (
    AreaDetector,
    DatumDetector,
    InlineDetector,
)
from ringwatch.simulated_beamline.frame_file import FRAME_NUMBERS, FRAMES, TIMESTAMPS
from ringwatch.simulated_beamline.readout import ListedFrames, Readout
from ringwatch.simulated_beamline.scans import fly, step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

Make = Any  # the fixture
SHAPE = (16, 12)
KEY = "det_image"


STYLES = [InlineDetector, DatumDetector, StreamDetector]


@pytest.mark.parametrize("kind", STYLES)
def test_step_scan(kind: type[AreaDetector], make: Make, recorded: Any) -> None:
    recorded.run(step_scan(make(kind), 5))
    assert len(recorded.events("primary")) == 5
    assert recorded.data("primary", "det_frame_number") == [0, 1, 2, 3, 4]
    (descriptor,) = recorded.all("descriptor")
    key = descriptor["data_keys"][KEY]
    assert (key["shape"], key["dtype_numpy"]) == ([16, 12], "<u2")
    assert recorded.all("stop")[0]["exit_status"] == "success"


def test_inline_events_hold_the_frames(make: Make, recorded: Any) -> None:
    recorded.run(step_scan(make(InlineDetector), 3))
    frames = recorded.data("primary", KEY)
    assert [frame.max() for frame in frames] == [0, 1, 2]
    assert frames[0].shape == SHAPE
    assert "external" not in recorded.all("descriptor")[0]["data_keys"][KEY]


def test_datum_events_name_the_frames(make: Make, recorded: Any) -> None:
    recorded.run(step_scan(make(DatumDetector), 3))
    assert recorded.counts["resource"] == 1
    points = {d["datum_id"]: d["datum_kwargs"] for d in recorded.all("datum")}
    named = [points[i]["point_number"] for i in recorded.data("primary", KEY)]
    assert named == [0, 1, 2]
    kinds = [name for name, _ in recorded.documents]
    assert kinds.index("resource") < kinds.index("datum") < kinds.index("event")
    assert recorded.all("resource")[0]["run_start"] == recorded.all("start")[0]["uid"]
    with h5py.File(recorded.path) as file:
        np.testing.assert_array_equal(file[FRAMES][:, 0, 0], [0, 1, 2])


def test_stream_datum_comes_before_its_event(make: Make, recorded: Any) -> None:
    recorded.run(step_scan(make(StreamDetector), 3))
    kinds = [
        name for name, _ in recorded.documents if name in {"event", "stream_datum"}
    ]
    assert kinds == ["stream_datum", "event"] * 3
    assert KEY not in recorded.events("primary")[0]["data"]
    ranges = [d["indices"] for d in recorded.stream_datums("primary")]
    assert ranges == [{"start": i, "stop": i + 1} for i in range(3)]


def test_file_is_as_dectris_writes_it(make: Make, recorded: Any) -> None:
    recorded.run(step_scan(make(StreamDetector), 3))
    with h5py.File(recorded.path) as file:
        frames = file[FRAMES]
        assert frames.shape == (3, *SHAPE)
        assert frames.chunks == (1, *SHAPE)
        assert [frames.id.get_create_plist().get_filter(0)[0]] == [32008]  # bitshuffle
        np.testing.assert_array_equal(file[FRAME_NUMBERS], [0, 1, 2])
        assert (np.diff(file[TIMESTAMPS]) > 0).all()


@pytest.mark.parametrize("kind", STYLES)
def test_stock_plans_work(kind: type[AreaDetector], make: Make, recorded: Any) -> None:
    detector = make(kind)
    recorded.run(bp.count([detector], 2))
    recorded.run(bp.scan([detector], motor, 0, 1, 2))
    assert len(recorded.events("primary")) == 4
    uids = {d["uid"] for n in ("resource", "stream_resource") for d in recorded.all(n)}
    assert len(uids) == (0 if kind is InlineDetector else 2)


# -- fly ----------------------------------------------------------------------------
def test_fly(make: Make, recorded: Any) -> None:
    recorded.run(fly(make(StreamDetector), 40))
    assert recorded.counts["event"] == 0
    assert covered(recorded) == list(range(40))
    assert len(recorded.stream_datums("primary")) < 10
    with h5py.File(recorded.path) as file:
        np.testing.assert_array_equal(file[FRAMES][:, 3, 3], np.arange(40))


def covered(recorded: Any) -> list[int]:
    """Indices announced; their event numbers must be consecutive."""
    datums = recorded.stream_datums("primary")
    indices = [
        i for d in datums for i in range(d["indices"]["start"], d["indices"]["stop"])
    ]
    numbers = [
        i for d in datums for i in range(d["seq_nums"]["start"], d["seq_nums"]["stop"])
    ]
    assert numbers == [index + 1 for index in indices]
    return indices


def test_a_paused_flight_goes_on(make: Make, recorded: Any, interrupted: Any) -> None:
    detector = make(StreamDetector)
    interrupted(fly(detector, 40), detector, 17)
    assert covered(recorded) == list(range(40))


def test_an_aborted_flight_closes_its_file(make: Make, recorded: Any) -> None:
    detector = make(StreamDetector)
    timer = threading.Timer(0.5, recorded.engine.abort)
    timer.start()
    # Which of the two depends on who comes first, the plan's end or the request's.
    with pytest.raises((RunEngineInterrupted, RequestAbort)):
        recorded.engine(fly(detector, 500))
    timer.join()
    with h5py.File(recorded.path) as file:
        assert 0 < len(file[FRAMES]) < 400
    assert not [t for t in threading.enumerate() if t.name.startswith("det")]


# -- pause and resume ----------------------------------------------------------------
@pytest.mark.parametrize("kind", STYLES)
def test_pause_in_an_exposure_retakes_the_frame(
    kind: type[AreaDetector], make: Make, recorded: Any, interrupted: Any
) -> None:
    detector = make(kind)
    interrupted(step_scan(detector, 4), detector, 3)
    numbers = recorded.data("primary", "det_frame_number")
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 4  # five exposures, of which one was abandoned
    assert [e["seq_num"] for e in recorded.events("primary")] == [1, 2, 3, 4]
    if kind is StreamDetector:
        datums = recorded.stream_datums("primary")
        assert [d["indices"]["start"] for d in datums] == [0, 1, 2, 3, 4]
        assert all(d["indices"]["stop"] == d["indices"]["start"] + 1 for d in datums)
        again = [d["seq_nums"]["start"] for d in datums]
        assert again == [1, 2, 3, 3, 4]


@pytest.mark.parametrize("kind", STYLES)
@pytest.mark.parametrize("point", [0, 2])
def test_pause_between_read_and_save_loses_no_document(
    kind: type[AreaDetector], point: int, make: Make, recorded: Any
) -> None:
    """The RunEngine forgets what it collected by then; the detector does not."""
    detector = make(kind)
    paused: list[int] = []

    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def plan() -> Any:
        for i in range(4):
            yield from bps.checkpoint()
            yield from bps.trigger(detector, wait=True)
            yield from bps.create("primary")
            yield from bps.read(detector)
            if i == point and not paused:
                paused.append(i)
                yield from bps.pause()
            yield from bps.save()

    with pytest.raises(RunEngineInterrupted):
        recorded.engine(plan())
    recorded.engine.resume()
    assert [e["seq_num"] for e in recorded.events("primary")] == [1, 2, 3, 4]
    if kind is StreamDetector:
        starts = [d["indices"]["start"] for d in recorded.stream_datums("primary")]
        assert starts == [0, 1, 2, 3, 4]
        assert recorded.counts["stream_resource"] == 1
    if kind is DatumDetector:
        known = {d["datum_id"] for d in recorded.all("datum")}
        assert set(recorded.data("primary", KEY)) <= known
        assert recorded.counts["resource"] == 1


# -- errors --------------------------------------------------------------------------
class Broken(ListedFrames):
    """Delivers one frame, then its electronics fail."""

    def read_out(self, exposure_time: float) -> Readout:
        readout = super().read_out(exposure_time)
        if readout.frame_number:
            msg = "The link to the detector is down."
            raise OSError(msg)
        return readout


def test_a_failing_source_fails_the_plan_and_closes_the_file(
    make: Make, recorded: Any
) -> None:
    detector = make(StreamDetector, Broken([np.zeros(SHAPE, np.uint16)]))
    with pytest.raises(FailedStatus) as failure:
        recorded.run(step_scan(detector, 3))
    assert "link to the detector" in str(failure.value.__cause__)
    assert len(recorded.events("primary")) == 1
    assert recorded.all("stop")[0]["exit_status"] == "fail"
    with h5py.File(recorded.path) as file:
        assert len(file[FRAMES]) == 1


def test_misuse_is_explained(make: Make) -> None:
    detector = make(StreamDetector)
    with pytest.raises(RuntimeError, match="not staged"):
        detector.trigger()
    detector.stage()
    with pytest.raises(RuntimeError, match="call kickoff"):
        detector.complete()
    detector.num_frames.put(3)
    detector.kickoff()
    with pytest.raises(RuntimeError, match="flies already"):
        detector.kickoff()
    detector.unstage()
    with pytest.raises(ValueError, match="one two-dimensional kind"):
        ListedFrames([np.zeros((2, 2)), np.zeros((3, 2))])

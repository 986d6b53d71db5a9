"""The beamline over Channel Access: real libca, real ophyd, a real RunEngine."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import h5py
import hdf5plugin  # noqa: F401  (registers the filter)
import numpy as np
import pytest
from bluesky import RunEngineInterrupted

from ringwatch.simulated_beamline.epics.beamline import EpicsBeamline
from ringwatch.simulated_beamline.epics.ioc_process import IocProcess
from ringwatch.simulated_beamline.frame_file import FRAMES

from .channel_access import RAMP, needs_epics

pytestmark = [needs_epics, pytest.mark.slow]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Devices before an IOC that all tests here share: a start takes seconds."""
    folder = tmp_path_factory.mktemp("ioc")
    with IocProcess(RAMP, folder) as ioc, EpicsBeamline(ioc) as beamline:
        yield beamline


def path_of(resource: dict[str, Any]) -> Path:
    return Path(resource["root"]) / resource["resource_path"]


def frames_of(resource: dict[str, Any]) -> np.ndarray:
    with h5py.File(path_of(resource)) as file:
        return np.asarray(file[FRAMES])


def test_the_same_scan_as_on_the_soft_devices(
    line: Any, tmp_path: Path, recorded: Any
) -> None:
    """First of all tests here: the IOC's noise counts from its first frame."""
    uid = recorded.run(RAMP.plan(line))
    soft = type(recorded)()
    story = dataclasses.replace(RAMP, style="datum")
    soft.run(story.plan(story.beamline(tmp_path)))
    assert uid == recorded.all("start")[0]["uid"]
    for stream, events in (("dark", 2), ("primary", 20)):
        assert len(recorded.events(stream)) == len(soft.events(stream)) == events
    for key in (
        *("detector_exposure_time", "detector_frame_number"),
        *("i0", "furnace_temperature", "sample_y", "detector_x"),
    ):
        assert recorded.data("primary", key) == soft.data("primary", key), key
    times = recorded.data("primary", "detector_timestamp")
    assert times == sorted(times)
    assert abs(times[-1] - time.time()) < 60
    for over_ca, here in zip(
        recorded.all("resource"), soft.all("resource"), strict=True
    ):
        np.testing.assert_array_equal(frames_of(over_ca), frames_of(here))


def test_everything_that_stock_classes_ask_for_is_there(line: Any) -> None:
    asked = 0
    for device in (line.detector, line.sample_y, line.furnace):
        for walked in device.walk_signals(include_lazy=True):
            walked.item.wait_for_connection(timeout=5)
            asked += 1
    assert asked > 150


def test_a_count_and_its_documents(line: Any, recorded: Any) -> None:
    recorded.run(bp.count([line.detector, line.i0], 4))
    (resource,) = recorded.all("resource")
    assert resource["spec"] == "AD_HDF5_SWMR"
    assert len(frames_of(resource)) == 4
    (descriptor,) = recorded.all("descriptor")
    image = descriptor["data_keys"]["detector_image"]
    assert (image["shape"], image["dtype_numpy"]) == ((1, 128, 128), "<u2")
    assert image["external"] == "FILESTORE:"
    points = [d["datum_kwargs"]["point_number"] for d in recorded.all("datum")]
    assert points == [0, 1, 2, 3]
    assert recorded.data("primary", "detector_frame_number") == points
    assert all(i0 > 1e3 for i0 in recorded.data("primary", "i0"))


def test_motors_travel_and_arrive_to_the_last_bit(line: Any, recorded: Any) -> None:
    places = [0.1, 1.0 / 3.0, 1.0 / 3.0, -0.7]
    recorded.run(bp.list_scan([line.detector], line.sample_y, places))
    assert recorded.data("primary", "sample_y") == places
    recorded.run(bps_run(bps.mv(line.sample_y, 0.0, line.detector_x, 2.0)))
    assert (line.sample_y.position, line.detector_x.position) == (0.0, 2.0)
    recorded.run(bps_run(bps.mv(line.detector_x, 0.0)))
    with pytest.raises(ValueError, match="outside of range"):
        line.sample_y.move(99.0)


def bps_run(plan: Any) -> Any:
    """A plan stub as a run of its own."""
    yield from bps.open_run()
    yield from plan
    yield from bps.close_run()


def test_a_motor_stops_where_it_is(line: Any) -> None:
    velocity = line.sample_y.velocity.get()
    line.sample_y.velocity.set(2.0).wait(10)
    status = line.sample_y.move(50.0, wait=False)
    while line.sample_y.position == 0.0:
        time.sleep(0.01)
    line.sample_y.stop()
    status.exception(10)
    assert status.done
    assert 0.0 < line.sample_y.position < 40.0
    assert line.sample_y.user_setpoint.get() == line.sample_y.position
    line.sample_y.velocity.set(velocity).wait(10)
    line.sample_y.move(0.0, timeout=20)


def test_a_furnace_that_is_there_already_says_so(line: Any) -> None:
    for _ in range(3):
        line.furnace.move(371.5, timeout=10)
        assert line.furnace.position == 371.5


def test_the_shutter_closes_on_the_beam(line: Any, recorded: Any) -> None:
    recorded.run(line.step_scan(1, darks=2))
    dark, light = (frames_of(resource) for resource in recorded.all("resource"))
    assert dark.mean() < 1 < 10 < light.mean()
    assert line.shutter.get() == 1


@contextmanager
def paused_in_the_second_exposure(line: Any, engine: Any) -> Iterator[None]:
    """Have the engine pause while the detector exposes, a second each time."""
    acquire, exposure_time = line.detector.cam.acquire, line.detector.cam.acquire_time
    exposure_time.set(1.0).wait(10)
    begun: list[int] = []

    def pause(value: int = 0, **kwargs: Any) -> None:
        begun.append(value)
        if begun.count(1) == 2 and value == 1:
            threading.Thread(target=engine.request_pause).start()

    acquire.subscribe(pause, run=False)
    try:
        yield
    finally:
        acquire.clear_sub(pause)
        exposure_time.set(RAMP.exposure_time).wait(10)


def test_a_pause_waits_for_the_exposure_and_the_step_is_repeated(
    line: Any, recorded: Any
) -> None:
    with paused_in_the_second_exposure(line, recorded.engine):
        with pytest.raises(RunEngineInterrupted):
            recorded.engine(line.step_scan(3))
        assert recorded.engine.state == "paused"
        recorded.engine.resume()
    (resource,) = recorded.all("resource")
    assert len(frames_of(resource)) == 4
    assert [event["seq_num"] for event in recorded.events("primary")] == [1, 2, 3]
    datums = {d["datum_id"]: d["datum_kwargs"] for d in recorded.all("datum")}
    points = [
        datums[event["data"]["detector_image"]]["point_number"]
        for event in recorded.events("primary")
    ]
    assert points == recorded.data("primary", "detector_frame_number") == [0, 2, 3]


def test_after_an_abort_the_next_scan_is_whole(line: Any, recorded: Any) -> None:
    with paused_in_the_second_exposure(line, recorded.engine):
        with pytest.raises(RunEngineInterrupted):
            recorded.engine(line.step_scan(50))
        recorded.engine.abort("enough")
    assert line.detector.hdf5.capture.get() == 0
    assert line.detector.cam.acquire.get() == 0
    recorded.documents.clear()
    recorded.run(line.step_scan(3))
    (resource,) = recorded.all("resource")
    assert len(frames_of(resource)) == 3
    assert recorded.data("primary", "detector_frame_number") == [0, 1, 2]


def test_files_go_nowhere_else(line: Any, tmp_path: Path, recorded: Any) -> None:
    writer = line.detector.hdf5
    there = writer.write_path_template
    writer.write_path_template = str(tmp_path)
    try:
        with pytest.raises(FileNotFoundError, match="does not write to"):
            recorded.run(bp.count([line.detector], 1))
    finally:
        writer.write_path_template = there
    assert list(tmp_path.iterdir()) == []
    recorded.documents.clear()
    recorded.run(bp.count([line.detector], 1))
    assert len(frames_of(recorded.all("resource")[0])) == 1

"""The examples in docs/examples, each run against the simulated beamline."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from bluesky import RunEngine

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost, DetectorShift
from ringwatch.simulated_beamline.scenarios import powder_beamline

# isort: split
# After embedded_tiled, which sets Tiled's retries before Tiled is imported.
from bluesky_tiled_plugins import TiledWriter

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FRAMES, SLIPS = 12, 5


def load(name: str) -> ModuleType:
    """An example as the module that a profile imports."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


class Script:
    """An example that runs as a process; ends with the test."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self._out = folder / f"{name}.out"
        with self._out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> list[str]:
        return self._out.read_text().splitlines()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Night(NamedTuple):
    """One run in which the detector slips, and who listened."""

    folder: Path
    uid: str
    tiled: EmbeddedTiled
    listener: Script
    bell: Script


def table_of(night: Night, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What ``verdicts_table.py`` says."""
    script = EXAMPLES / "verdicts_table.py"
    return subprocess.run(
        [sys.executable, script, night.tiled.uri, *map(str, arguments)],
        env=os.environ | {"TILED_API_KEY": night.tiled.api_key},
        capture_output=True,
        text=True,
        check=False,
    )


def engine() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        return RunEngine({})


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    fault = DetectorShift(first=SLIPS, dx_px=1.0)
    beamline = powder_beamline(folder, detector=256, faults=[fault])
    with ExitStack() as stack:
        tiled = stack.enter_context(
            EmbeddedTiled(folder / "tiled", readable_storage=[folder])
        )
        run_engine = engine()
        agent = load("attach").attach(
            run_engine,
            poni=beamline.poni_path,
            mask=beamline.mask_path,
            detector="detector_image",
            classifier="none",
            publish="tcp://127.0.0.1:*",
            tiled=tiled.uri,
            api_key=tiled.api_key,
        )
        stack.callback(agent.close)
        address = str(agent.address).removeprefix("tcp://")
        rung = str(folder / "rung")
        listener = Script(folder, "listen", address)
        stack.callback(listener.close)
        bell = Script(folder, "bell", address, "tee", "-a", rung)
        stack.callback(bell.close)
        assert agent.wait_idle(240)
        # `listen` subscribes to one topic, and `bell` to one.
        assert until(lambda: agent._sinks[0].subscribers == 2)
        run_engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1))
        (uid,) = run_engine(beamline.step_scan(FRAMES))
        assert agent.wait_idle(60)
        yield Night(folder, str(uid), tiled, listener, bell)


def test_a_profile_attaches_and_a_listener_prints_every_verdict(night: Night) -> None:
    assert until(lambda: len(night.listener.said) >= FRAMES)
    assert len(night.listener.said) == FRAMES
    words = [line.split()[1] for line in night.listener.said]
    assert words[:SLIPS] == ["good"] * SLIPS
    assert words[SLIPS:] == ["misaligned"] * (FRAMES - SLIPS)


def test_the_bell_rings_once_and_calls_the_command(night: Night) -> None:
    assert until(lambda: bool(night.bell.said))
    assert until((night.folder / "rung").is_file)
    (message,) = [line for line in night.bell.said if "\a" in line]
    # One frame may be chance: it rings at the second.
    assert re.match(rf"\ascan 1, frame {SLIPS + 1}: .*px", message)
    assert (night.folder / "rung").read_text() == message.removeprefix("\a")


def test_verdicts_come_into_a_table(night: Night, tmp_path: Path) -> None:
    csv = tmp_path / "out.csv"
    done = table_of(night, night.uid, csv)
    assert done.returncode == 0, done.stderr
    assert f"misaligned    {FRAMES - SLIPS}" in done.stdout
    import pandas as pd  # noqa: PLC0415

    table = pd.read_csv(csv)
    assert list(table["raw_index"]) == list(range(FRAMES))
    late = table["raw_index"] >= SLIPS
    assert set(table["primary_flag"][late]) == {"beam_center"}
    assert table["beam_center_dx_px"][late].between(0.9, 1.1).all()
    assert table["beam_center_dx_px"][~late].abs().max() < 0.1


def test_a_run_without_verdicts_is_told(night: Night) -> None:
    done = table_of(night, "no-such-run")
    assert done.returncode == 1
    assert "no verdicts on run no-such-run in 'analysis'" in done.stderr


@pytest.mark.parametrize("act", [False, True])
def test_a_scan_ends_after_three_bad_frames_where_it_may(
    tmp_path: Path, act: bool
) -> None:
    beamline: Beamline = powder_beamline(
        tmp_path, detector=256, faults=[BeamLost(first=4)], exposure_time=0.1
    )
    example, run_engine = load("stop_on_verdict"), engine()
    agent = load("attach").attach(
        run_engine,
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        classifier="none",
        publish="tcp://127.0.0.1:*",
    )
    try:
        assert agent.wait_idle(240)
        verdicts = example.listen_to(run_engine, agent.address)
        assert until(lambda: agent._sinks[0].subscribers == 1)
        stops: list[dict[str, Any]] = []
        told: list[dict[str, Any]] = []
        run_engine.subscribe(lambda _, doc: stops.append(doc), "stop")
        run_engine.subscribe(lambda _, doc: told.append(doc["data"]), "event")
        plan = example.careful_scan(
            [beamline.detector, beamline.i0],
            beamline.sample_y,
            *(0, 1, 30),
            verdicts=verdicts,
            act=act,
        )
        run_engine(plan)
    finally:
        agent.close()
        example._remotes[0].close()
    (stop,) = stops
    assert stop["exit_status"] == "success"
    (event,) = (data for data in told if "action_what" in data)
    assert event["action_what"] == "stop"
    points = stop["num_events"]["primary"]
    assert points < 20 if act else points == 30

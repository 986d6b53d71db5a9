"""The life of the IOC's process: two at once, killed ones, what cannot be reached."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import pytest

from ringwatch.simulated_beamline.epics import addresses, beamline, ioc_process
from ringwatch.simulated_beamline.epics.beamline import EpicsBeamline
from ringwatch.simulated_beamline.epics.ioc_process import IocProcess

from .channel_access import RAMP, needs_epics

pytestmark = [needs_epics, pytest.mark.slow]


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(true: Callable[[], bool], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def ioc(tmp_path: Path) -> Iterator[IocProcess]:
    with IocProcess(RAMP, tmp_path / "one") as running:
        yield running


def test_two_at_once_do_not_hear_each_other(
    ioc: IocProcess, tmp_path: Path, recorded: Any
) -> None:
    with (
        IocProcess(RAMP, tmp_path / "twelve %d ") as other,
        EpicsBeamline(ioc) as here,
        EpicsBeamline(other) as there,
    ):
        assert ioc.prefix != other.prefix
        assert ioc.channels == other.channels > 200
        here.furnace.move(370.0, timeout=20)
        there.furnace.move(380.0, timeout=20)
        assert (here.furnace.position, there.furnace.position) == (370.0, 380.0)
        recorded.run(bp.count([here.detector], 2))
        files = there.detector.hdf5  # asked, as what is monitored comes a little later
        assert files.num_captured.get(use_monitor=False) == 0
        recorded.run(bp.count([there.detector], 1))
        assert files.num_captured.get(use_monitor=False) == 1
        names = [
            device.detector.hdf5.full_file_name.get(use_monitor=False)
            for device in (here, there)
        ]
        assert all(Path(name).is_file() for name in names)
        assert [Path(n).parent.parent.name for n in names] == ["one", "twelve %d "]


def test_an_ioc_that_is_killed_ends_the_scan_with_its_name(
    ioc: IocProcess, recorded: Any
) -> None:
    with EpicsBeamline(ioc) as line:
        line.detector.cam.acquire_time.set(1.0).wait(5)
        begun: list[int] = []

        def kill_at_the_third(value: int = 0, **kwargs: Any) -> None:
            begun.append(value)
            if begun.count(1) == 3 and value == 1:
                threading.Timer(0.3, os.kill, (ioc.pid, signal.SIGKILL)).start()

        line.detector.cam.acquire.subscribe(kill_at_the_third, run=False)
        began = time.monotonic()
        with pytest.raises(Exception) as failure:  # noqa: PT011
            recorded.run(line.step_scan(10))
        assert time.monotonic() - began < 60
        assert "went away" in everything_said(failure.value)
        assert ioc.prefix in everything_said(failure.value)
    assert recorded.engine.state == "idle"
    (stop,) = recorded.all("stop")
    assert stop["exit_status"] == "fail"
    assert len(recorded.events("primary")) == 2


def everything_said(error: BaseException | None) -> str:
    said = []
    while error is not None:
        said.append(f"{type(error).__name__}: {error} {error.args}")
        error = error.__cause__ or error.__context__
    return "\n".join(said)


def test_an_ioc_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from ringwatch.simulated_beamline.epics.ioc_process import IocProcess\n"
        "from ringwatch.simulated_beamline.scenarios import FurnaceRamp\n"
        "ioc = IocProcess(FurnaceRamp(frames=20, side=128), Path(sys.argv[1]))\n"
        "ioc.start()\n"
        "print(ioc.pid, flush=True)\n"
        "time.sleep(120)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    wait_until(lambda: not is_running(child))


def test_a_closed_ioc_is_gone_and_its_port_free_again(tmp_path: Path) -> None:
    used = set()
    for _ in range(2):
        ioc = IocProcess(RAMP, tmp_path)
        assert not ioc.is_running
        ioc.start()
        process = ioc.pid
        used.add(process)
        assert ioc.is_running
        ioc.close()
        ioc.close()
        assert ioc.pid == -1
        assert not is_running(process)
    assert len(used) == 2


def test_an_ioc_that_nobody_answers_for_is_named(
    ioc: IocProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beamline, "_CONNECT_S", 1.0)
    monkeypatch.setattr(ioc, "prefix", "NOBODY:")
    with pytest.raises(RuntimeError, match="No connection to the IOC of NOBODY:"):
        EpicsBeamline(ioc)


def test_a_scenario_that_it_does_not_know(tmp_path: Path) -> None:
    ioc = IocProcess(RAMP, tmp_path)
    ioc._order["options"] = {"frames": 3}
    with pytest.raises(RuntimeError, match="it said: ValueError: A ramp of 3"):
        ioc.start()
    assert ioc.pid == -1


def test_a_port_that_somebody_else_has_is_not_shared(tmp_path: Path) -> None:
    """caproto would share it without a word, and one of the two would not be heard."""
    port = addresses.claim_port()
    addresses.release_port(port)  # comes last
    with ExitStack() as taken:
        for place in list(addresses._free):
            holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            taken.enter_context(holder)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(("127.0.0.1", place))
        ioc = IocProcess(RAMP, tmp_path)
        with pytest.raises(RuntimeError, match=r"UDP port \d+ is taken"):
            ioc.start()
    assert len(addresses._free) == addresses.MOST_IOCS


@pytest.mark.parametrize("name", ["Zwölf", "x" * 200 + "/" + "y" * 250])
def test_a_folder_that_cannot_be_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="choose another folder"):
        IocProcess(RAMP, tmp_path / name)


def test_ports_run_out_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses.release_port(addresses.claim_port())
    monkeypatch.setattr(addresses, "_free", [])
    with pytest.raises(RuntimeError, match="4 simulated IOCs run already"):
        addresses.claim_port()


def test_it_listens_on_the_loopback_interface_only(ioc: IocProcess) -> None:
    def sockets(process: int, table: str) -> set[str]:
        inodes = set()
        for link in Path(f"/proc/{process}/fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        lines = Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]
        found = set()
        for line in lines:
            fields = line.split()
            bound, inode, state = fields[1], fields[9], fields[3]
            if inode in inodes and state in ("0A", "07"):
                found.add(bound)
        return found

    listening = sockets(ioc.pid, "tcp") | sockets(ioc.pid, "udp")
    assert listening
    # Little-endian 127.0.0.1.
    assert {place.split(":")[0] for place in listening} == {"0100007F"}


def test_without_the_extra_the_remedy_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ioc_process, "missing_packages", lambda: ["caproto"])
    with pytest.raises(RuntimeError, match=r"caproto.*ringwatch\[epics\]"):
        IocProcess(RAMP, tmp_path)


def test_orders_are_plain_json(tmp_path: Path) -> None:
    order = IocProcess(RAMP, tmp_path)._order
    assert json.loads(json.dumps(order))["options"]["frames"] == RAMP.frames

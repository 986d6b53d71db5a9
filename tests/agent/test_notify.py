"""What systemd hears of ``ringwatch serve``, on a real datagram socket; its unit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ringwatch.agent.cli.notify_socket import NotifySocket
from ringwatch.agent.status_report import Problem, Report

from .service import COMMAND, Service


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.address = address

    def next(self, seconds: float) -> dict[str, str]:
        """The next datagram, as keys and values."""
        self.socket.settimeout(seconds)
        text = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def until(self, key: str, seconds: float = 120.0) -> dict[str, str]:
        """The next datagram that has the key."""
        deadline = time.monotonic() + seconds
        while True:
            told = self.next(deadline - time.monotonic())
            if key in told:
                return told


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    there = Manager(str(tmp_path / "notify"))
    yield there
    there.socket.close()


@pytest.fixture
def config(poni: Path, tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'poni = "{poni}"\nclassifier = "none"\ndocuments_bind = true\n'
        'documents = ["tcp://127.0.0.1:0"]\n'
    )
    return path


def test_ready_alive_and_stopping_are_told(manager: Manager, config: Path) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
    with Service(config, **environment) as service:
        first = manager.next(120)
        told = first if "READY" in first else manager.until("READY")
        assert told["WATCHDOG"] == told["READY"] == "1"
        beats = [time.monotonic()]
        for _ in range(4):
            told = manager.until("WATCHDOG", 2.0)
            assert "READY" not in told  # once
            assert told["STATUS"] == "0 of 0 frames have their final verdict"
            beats.append(time.monotonic())
        assert max(b - a for a, b in pairwise(beats)) < 2
        service.process.terminate()
        assert manager.until("STOPPING", 10)["STOPPING"] == "1"
        assert service.process.wait(60) == 0


def report(state: str, *wrong: str) -> Report:
    problems = tuple(Problem(what=what, remedy="none") for what in wrong)
    return Report(url="", state=state, problems=problems)


def test_a_watchdog_starves_while_nothing_moves(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {"NOTIFY_SOCKET": manager.address}
    notify = NotifySocket(environment)
    assert environment == {}  # no child tells in our name
    notify.pulse(report("starting"), "nothing yet")
    told = manager.next(1)
    assert "READY" not in told
    assert told["STATUS"].startswith("compiled code is being loaded")
    notify.pulse(report("idle"), "3 of 3 frames")
    assert manager.next(1) == {
        "STATUS": "3 of 3 frames", "READY": "1", "WATCHDOG": "1"
    }  # fmt: skip
    for _ in range(2):
        notify.pulse(report("stale", "documents wait\nsince 40 s"), "")
        assert manager.next(1) == {"STATUS": "documents wait since 40 s"}
    assert caplog.text.count("the watchdog is told no more") == 1
    notify.pulse(report("behind", "it is late"), "")
    assert manager.next(1) == {"STATUS": "it is late", "WATCHDOG": "1"}


def test_abstract_names_and_none_and_one_where_nobody_listens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = Manager(f"@ringwatch-test-{os.getpid()}")
    NotifySocket({"NOTIFY_SOCKET": there.address}).stopping()
    assert there.next(1)["STOPPING"] == "1"
    there.socket.close()
    assert not caplog.records
    NotifySocket({}).stopping()
    assert not caplog.records
    nobody = NotifySocket({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    nobody.stopping()
    nobody.stopping()
    assert caplog.text.count("systemd is not told") == 1


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("60000000", None, 15.0),
        ("60000000", "1", float("inf")),  # another process's
        ("nonsense", None, float("inf")),
        ("0", None, float("inf")),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(
    manager: Manager, usec: str, pid: str | None, interval_s: float
) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": usec}
    environment["WATCHDOG_PID"] = pid or str(os.getpid())
    notify = NotifySocket(environment)
    notify.pulse(report("idle"), "")
    assert notify.interval_s == pytest.approx(interval_s)


@pytest.mark.parametrize("form", ["text", "json"])
def test_settings_that_cannot_be_used_exit_78(tmp_path: Path, form: str) -> None:
    config = tmp_path / "agent.toml"
    for settings, why in [
        ("pony = 1\n", "unknown setting 'pony'"),
        ('documents = ["tcp://127.0.0.1:0"]\n', "the agent has no geometry"),
        ("", "has no 'documents'"),
    ]:
        config.write_text(settings)
        with Service(config, "--log", form) as service:
            assert service.process.wait(60) == 78
            assert why in service.log
            assert "Traceback" not in service.log
            assert service.log.startswith("{" if form == "json" else "error: ")
    config.write_text("pony = 1\n")
    other = subprocess.run(
        [COMMAND, "status", "--config", config], capture_output=True, check=False
    )
    assert other.returncode == 2  # of the other commands


def unit_of(config: Path) -> str:
    return subprocess.run(
        [COMMAND, "serve", "--config", config.name, "--unit"],
        capture_output=True,
        check=True,
        text=True,
        cwd=config.parent,
    ).stdout


def test_the_unit_is_filled_in_and_systemd_takes_it(
    config: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text() + 'state = "/var/lib/ringwatch/one"\n')
    unit = unit_of(config)
    for line in (
        "Type=notify",
        f"ExecStart={COMMAND} serve --config {config} --close-after 20",
        f"WorkingDirectory={tmp_path}",
        "Restart=on-failure",
        "RestartPreventExitStatus=2 78",
        "WatchdogSec=60",
        "TimeoutStopSec=30",
        "StateDirectory=ringwatch/one",
        "ProtectSystem=strict",
        "PrivateTmp=no",  # the settings lie there
        "WantedBy=multi-user.target",
    ):
        assert line in unit.splitlines(), unit
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("systemd-analyze is not on this machine")
    file = tmp_path / "ringwatch.service"
    file.write_text(unit)
    checked = subprocess.run(
        [systemd, "verify", str(file)], capture_output=True, text=True, check=False
    )
    about_it = [line for line in checked.stderr.splitlines() if file.name in line]
    assert (checked.returncode, about_it) == (0, [])


def test_other_folders_are_made_writable_and_odd_names_refused(
    config: Path, tmp_path: Path
) -> None:
    bare = config.read_text()
    config.write_text(bare + 'state = "my $tate 50%"\n')
    assert f'ReadWritePaths="{tmp_path}/my $$tate 50%%"' in unit_of(config).splitlines()
    config.write_text(bare)
    assert "results wait for Tiled in memory only" in unit_of(config)
    config.write_text(bare + "state = 'my \"state\"'\n")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        unit_of(config)
    assert refused.value.returncode == 78
    assert "cannot stand in a unit" in refused.value.stderr

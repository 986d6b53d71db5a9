"""An agent in another process: heard over a real socket, missed when it dies."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.agent.wire.security import CurveClient, CurveServer, make_keys
from ringwatch.plans.remote_verdicts import RemoteVerdicts
from ringwatch.plans.signals import AgentSignals
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .test_verdicts import soon

FRAMES = 5
PUBLISHER = """
import sys, time
from ringwatch.agent.sinks.zmq import ZmqSink
sink = ZmqSink(sys.argv[1])
print(sink.address, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any]]:
    """What an agent says of a short scan."""
    beamline = powder_beamline(tmp_path_factory.mktemp("remote"), detector=256)
    sink, engine = MemorySink(), RunEngine({})
    given = {"poni": beamline.poni_path, "mask": beamline.mask_path}
    with Agent(**given, classifier="none", sinks=(sink,)) as agent:
        engine.subscribe(agent)
        engine(beamline.step_scan(FRAMES))
        assert agent.wait_idle(60)
    return sink.documents


@pytest.fixture
def sink() -> Iterator[ZmqSink]:
    sink = ZmqSink("tcp://127.0.0.1:0")
    yield sink
    sink.close(5)


def test_what_is_published_is_heard(
    sink: ZmqSink, derived: list[tuple[str, Any]]
) -> None:
    here = Verdicts()
    for name, doc in derived:
        here.put(name, doc)
    with RemoteVerdicts(sink.address) as remote:
        assert sink.wait_for_subscriber(10)
        assert soon(lambda: remote.verdicts.trouble == "")
        for name, doc in derived:
            sink.put(name, doc)
        assert soon(lambda: len(list(remote.verdicts)) == FRAMES)
        for there, expected in zip(remote.verdicts, here, strict=True):
            assert same(there) == same(expected)
        assert remote.unread == 0
    assert remote.verdicts.trouble == "the agent was closed"


def same(heard: Any) -> dict[str, Any]:
    """All that is said but when it came."""
    return {
        name: getattr(heard, name)
        for name in heard.__slots__
        if name not in ("heard_at", "label_prob", "novelty")  # NaN: nothing labelled
    }


def test_who_comes_in_the_middle_hears_what_follows(
    sink: ZmqSink, derived: list[tuple[str, Any]]
) -> None:
    for name, doc in derived[:4]:
        sink.put(name, doc)
    assert sink.flush(10)
    with RemoteVerdicts(sink.address) as remote:
        assert sink.wait_for_subscriber(10)
        for name, doc in derived[4:]:
            sink.put(name, doc)
        assert soon(lambda: len(list(remote.verdicts)) == FRAMES - 2)
        assert {heard.run_uid for heard in remote.verdicts} == {""}
        assert remote.verdicts.latest is not None
        assert remote.verdicts.latest.index == FRAMES - 1


def start(address: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, address], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        return process, said.readline().strip()


def test_an_agent_that_is_killed_is_missed_and_one_that_comes_back_is_found() -> None:
    process, address = start("tcp://127.0.0.1:0")
    try:
        with RemoteVerdicts(address) as remote:
            signals = AgentSignals(remote.verdicts)
            assert soon(signals.agent_ok.get)
            began = time.monotonic()
            process.send_signal(signal.SIGKILL)
            assert soon(lambda: not signals.agent_ok.get())
            assert time.monotonic() - began < 3
            assert signals.why_not.get() == f"no agent answers at {address}"
            process.wait()
            process, _ = start(address)
            assert soon(signals.agent_ok.get, 30)
            signals.close()
    finally:
        process.kill()
        process.wait()


def test_no_agent_is_never_well() -> None:
    with RemoteVerdicts("tcp://127.0.0.1:9") as remote:
        time.sleep(0.5)
        assert remote.verdicts.trouble == "no agent answers at tcp://127.0.0.1:9"


@pytest.mark.parametrize(
    "message",
    [
        b"ringwatch",
        b"ringwatch event",
        b"ringwatch event \xc1",
        b"ringwatch event \x80\x04.",
        b"ringwatch \xff\xff \x80",
        b"ringwatch nonsense \x80",
    ],
)
def test_what_is_no_document_ends_nothing(
    sink: ZmqSink,
    derived: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    message: bytes,
) -> None:
    with RemoteVerdicts(sink.address) as remote:
        assert sink.wait_for_subscriber(10)
        monkeypatch.setattr("ringwatch.agent.sinks.zmq.encode", lambda *_: message)
        sink.put("event", {})
        assert sink.flush(10)
        monkeypatch.undo()
        for name, doc in derived:
            sink.put(name, doc)
        assert soon(lambda: len(list(remote.verdicts)) == FRAMES)


@pytest.mark.parametrize(
    ("address", "what"),
    [("tcp://192.168.1.4:5578", "loopback"), ("nonsense", "loopback")],
)
def test_addresses_beyond_this_machine_are_refused(address: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        RemoteVerdicts(address)


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="cannot listen"):
        RemoteVerdicts("ipc://" + "x" * 400)


def test_who_has_a_key_is_let_in(
    tmp_path: Path, derived: list[tuple[str, Any]]
) -> None:
    server, known = make_keys(tmp_path / "a", "server"), make_keys(tmp_path / "b")
    allowed = tmp_path / "allowed"
    allowed.mkdir(mode=0o700)
    shutil.copy(known.public, allowed)
    curve = CurveServer(secret_key=server.secret, allowed_keys=allowed)
    sink = ZmqSink("tcp://127.0.0.1:0", curve=curve)
    client = CurveClient(secret_key=known.secret, server_key=server.public)
    with RemoteVerdicts(sink.address, curve=client) as remote:
        assert sink.wait_for_subscriber(10)
        for name, doc in derived:
            sink.put(name, doc)
        assert soon(lambda: len(list(remote.verdicts)) == FRAMES)
    assert sink.close(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_fails_leaves_no_agent_that_looks_well(
    sink: ZmqSink, derived: list[tuple[str, Any]]
) -> None:
    def fail(_: Any) -> None:
        raise KeyError("a defect")

    with RemoteVerdicts(sink.address) as remote:
        remote.verdicts.listen(fail)
        assert sink.wait_for_subscriber(10)
        for name, doc in derived:
            sink.put(name, doc)
        assert soon(lambda: remote.verdicts.trouble == "the agent was closed")

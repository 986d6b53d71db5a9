"""Keys by the command, settings by TOML: who is not let in gets nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq.auth
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.agent.wire.security import CurveClient, ZmqSecurityError
from ringwatch.plans.publisher import DocumentPublisher

from .derived_documents import wait_until
from .service import Service, inline_run

LISTENER = """
import sys, msgpack
from bluesky.callbacks.zmq import ClientCurve, RemoteDispatcher
address, secret, server = sys.argv[1:]
listener = RemoteDispatcher(
    address, deserializer=msgpack.unpackb, curve_config=ClientCurve(secret, server)
)
def show(name, doc):
    print(name, doc.get("data", {}).get("raw_index"), flush=True)
listener.subscribe(show)
listener.start()
"""
FRAMES = 3


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["keys", *arguments])


def test_the_help_names_each_step_for_each_side() -> None:
    said = " ".join(run("--help").output.split())
    for word in (
        "key_secret",
        "curve_key",
        "curve_clients",
        "curve_server",
        "DocumentPublisher",
        "RemoteDispatcher",
    ):
        assert word in said


def test_keys_are_made_once(tmp_path: Path) -> None:
    result = run(str(tmp_path / "keys"), "agent")
    assert result.exit_code == 0
    secret = tmp_path / "keys" / "agent.key_secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    for key in zmq.auth.load_certificate(secret):
        assert key is not None
        assert key.decode() not in result.output
    before = secret.read_bytes()
    again = run(str(tmp_path / "keys"), "agent")
    assert isinstance(again.exception, ZmqSecurityError)
    assert "already" in str(again.exception)
    assert secret.read_bytes() == before


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Keys of four, of whom two may talk to the agent."""
    folder = tmp_path / "keys"
    for name in ("agent", "beamline", "anna", "stranger"):
        assert run(str(folder), name).exit_code == 0
    allowed = folder / "allowed"
    allowed.mkdir(mode=0o700)
    for name in ("beamline", "anna"):
        shutil.copy(folder / f"{name}.key", allowed)
    return folder


@pytest.fixture
def config(keys: Path, poni: Path, tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'poni = "{poni}"\n'
        'classifier = "none"\n'
        'documents = ["tcp://127.0.0.1:0"]\n'
        "documents_bind = true\n"
        'publish = "tcp://127.0.0.1:0"\n'
        f'curve_key = "{keys}/agent.key_secret"\n'
        f'curve_clients = "{keys}/allowed"\n'
    )
    return path


def curve(keys: Path, name: str) -> CurveClient:
    secret = keys / f"{name}.key_secret"
    return CurveClient(secret_key=secret, server_key=keys / "agent.key")


def test_only_those_with_their_keys_in_the_folder_are_served(
    config: Path, keys: Path, ring_frames: list[Any]
) -> None:
    """Stranger publishes and listens: nothing comes in, nothing goes out, logged."""
    heard: list[str] = []
    named = inline_run(ring_frames[:FRAMES])
    with Service(config, "--verbose") as service:
        verdicts, documents = service.address("verdicts"), service.address("documents")
        arguments = [verdicts, keys / "anna.key_secret", keys / "agent.key"]
        listener = subprocess.Popen(
            [sys.executable, "-c", LISTENER, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stranger = ZmqSource(
            verdicts, lambda name, _: heard.append(name), curve=curve(keys, "stranger")
        )
        with listener, stranger:
            assert service.says("'anna' at 127.0.0.1 is let in"), service.log
            assert wait_until(lambda: stranger.connections.refused > 0)
            bad = DocumentPublisher(
                documents, curve=curve(keys, "stranger"), wait_s=0.3
            )
            bad("start", {"uid": "not-ours", "time": 0.0})
            bad.flush(5)
            good = DocumentPublisher(documents, curve=curve(keys, "beamline"))
            for name, doc in named:
                good(name, doc)
            assert listener.stdout is not None
            said = [listener.stdout.readline().split() for _ in range(FRAMES + 3)]
            bad.close(0.1)
            good.close()
            assert service.end() == 0
            listener.kill()
        log = service.log
    assert [name for name, _ in said] == ["start", "descriptor", *["event"] * 3, "stop"]
    assert [index for _, index in said[2:-1]] == ["0", "1", "2"]
    assert heard == []
    assert log.count("is refused: its key (fingerprint") >= 2  # it knocked at both
    assert f"{FRAMES} of {FRAMES} frames have their final verdict" in log
    for file in keys.glob("*.key_secret"):
        for key in zmq.auth.load_certificate(file):
            assert key is not None
            assert key.decode() not in log

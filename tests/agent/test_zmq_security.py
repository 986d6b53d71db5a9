"""CURVE for real: keys from files, over real sockets, in both directions."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgpack
import pytest
import zmq
import zmq.auth
from bluesky.callbacks.zmq import ClientCurve, Publisher

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import SinkError
from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.agent.sources.zmq import ZmqSource, ZmqSourceError
from ringwatch.agent.wire.security import (
    CurveServer,
    ZmqSecurityError,
    make_keys,
    refuse_remote,
)
from ringwatch.plans.publisher import DocumentPublisher

from .curve_keys import Heard, Keys, make_world, wait_until


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_world(tmp_path)


@pytest.fixture(autouse=True)
def no_key_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Neither a secret nor a public one, in no form, at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    for file in tmp_path.rglob("*.key*"):
        for key in filter(None, zmq.auth.load_certificate(file)):
            assert key.decode() not in caplog.text
            assert repr(zmq.utils.z85.decode(key))[2:-1] not in caplog.text


def test_results_go_to_known_listeners_only(
    keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The sink is the server: a wrong key, a wrong server key, and none at all."""
    sink = ZmqSink("tcp://127.0.0.1:0", curve=keys.server)
    other = make_keys(tmp_path / "other", "other")
    right, stranger, misled, plain = Heard(), Heard(), Heard(), Heard()
    curves = (
        (right, keys.client(keys.known)),
        (stranger, keys.client(keys.unknown)),
        (misled, keys.client(keys.known, other.public)),
        (plain, None),
    )
    sources = [ZmqSource(sink.address, heard, curve=curve) for heard, curve in curves]
    for source in sources:
        source.begin()
    assert sources[0].wait_connected(10)
    assert sink.wait_for_subscriber(10)
    assert wait_until(lambda: sources[1].connections.refused)
    assert wait_until(lambda: sink.connections.refused)
    sink.put("start", {"uid": "secret"})
    assert sink.flush(5)
    assert wait_until(lambda: right)
    time.sleep(0.3)
    assert right == [("start", {"uid": "secret"})]
    assert stranger == misled == plain == []
    assert sink.subscribers == 1
    for source in sources:
        assert source.close()
    assert sink.close(5)
    assert "client 'known' at 127.0.0.1 is let in" in caplog.text
    assert "127.0.0.1 is refused: its key (fingerprint" in caplog.text
    assert "the other end does not allow our key" in caplog.text
    assert "speaks no CURVE or has another key" in caplog.text


def test_documents_come_from_a_known_server_only(keys: Keys) -> None:
    """The publisher is the server, the agent its client."""
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True, curve=keys.server)
    right, wrong = Heard(), Heard()
    stranger = ZmqSource(publisher.address, wrong, curve=keys.client(keys.unknown))
    with ZmqSource(publisher.address, right, curve=keys.client(keys.known)), stranger:
        publisher("start", {"uid": "a"})
        assert wait_until(lambda: right)
        assert wait_until(lambda: stranger.connections.refused)
        assert publisher.close()
    assert wrong == []


def test_publishers_of_known_keys_only(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent binds and is the server: Bluesky's publisher and ours."""
    heard = Heard()
    source = ZmqSource("tcp://127.0.0.1:0", heard, bind=True, curve=keys.server)
    with source:
        address = source.addresses[0]
        for pair, uid in ((keys.unknown, "bad"), (keys.known, "good")):
            curve = keys.client(pair)
            publisher = DocumentPublisher(address, curve=curve, wait_s=0.5)
            publisher("start", {"uid": uid})
            assert publisher.flush(10)
            publisher.close(0.1)
        config = ClientCurve(keys.known.secret, keys.public)
        peer = Publisher(
            address.removeprefix("tcp://"),
            serializer=msgpack.packb,
            curve_config=config,
        )
        assert wait_until(lambda: source.connections.standing == 1)
        time.sleep(0.2)
        peer("start", {"uid": "bluesky"})
        assert wait_until(lambda: len(heard) == 2)
        peer.close()
    assert [doc["uid"] for _, doc in heard] == ["good", "bluesky"]
    assert "is refused" in caplog.text


def test_a_refusal_beside_a_connection_is_no_lost_connection(
    keys: Keys, tmp_path: Path
) -> None:
    """A stranger knocks again and again: that is no gap in what the others send."""
    pair = make_keys(tmp_path / "other", "other")
    other = CurveServer(secret_key=pair.secret, allowed_keys=keys.folder)
    sinks = [ZmqSink("tcp://127.0.0.1:0", curve=c) for c in (keys.server, other)]
    addresses = [sink.address for sink in sinks]
    source = ZmqSource(addresses, Heard(), curve=keys.client(keys.known))
    stranger = ZmqSource(addresses[0], Heard(), curve=keys.client(keys.unknown))
    with source, stranger:
        assert wait_until(lambda: source.connections.refused >= 3)
        assert wait_until(lambda: stranger.connections.refused)
        assert wait_until(lambda: source.wait_connected(0))
        assert (source.counters.gaps, source.connections.lost) == (0, 0)
        assert sinks[0].connections.standing == 1
        assert sinks[0].close(5)
        assert wait_until(lambda: source.counters.gaps)
        assert not source.wait_connected(0)
    assert sinks[1].close(5)


def test_two_servers_in_one_process(keys: Keys) -> None:
    """What fails in Bluesky's proxy: each has a context of its own."""
    sinks = [ZmqSink("tcp://127.0.0.1:0", curve=keys.server) for _ in range(2)]
    assert all(sink.close(5) for sink in sinks)


def test_keys_are_nobody_elses(tmp_path: Path) -> None:
    pair = make_keys(tmp_path / "keys", "agent")
    assert pair.secret.stat().st_mode & 0o777 == 0o600
    assert pair.secret.parent.stat().st_mode & 0o777 == 0o700
    public, secret = zmq.auth.load_certificate(pair.secret)
    assert secret is not None
    assert zmq.auth.load_certificate(pair.public) == (public, None)
    assert secret.decode() not in pair.public.read_text()
    with pytest.raises(ZmqSecurityError, match="already"):
        make_keys(tmp_path / "keys", "agent")
    with pytest.raises(ZmqSecurityError, match="plain word"):
        make_keys(tmp_path, "../agent")


def refused(curve: Any) -> str:
    with pytest.raises(SinkError) as caught:
        ZmqSink("tcp://127.0.0.1:0", curve=curve)
    return str(caught.value)


def test_unusable_keys(keys: Keys, tmp_path: Path) -> None:
    server = keys.server
    secret = server.secret_key
    secret.chmod(0o640)
    assert f"chmod 600 {secret}" in refused(server)
    secret.chmod(0o600)
    keys.folder.chmod(0o777)
    assert "chmod go-w" in refused(server)
    keys.folder.chmod(0o700)
    (keys.folder / "broken.key").write_text("rubbish")
    assert "broken.key is no key file" in refused(server)
    (keys.folder / "broken.key").unlink()
    none = CurveServer(secret_key=tmp_path / "none", allowed_keys=keys.folder)
    assert "cannot read the secret key" in refused(none)
    secret.write_text(keys.public.read_text())
    assert "holds no secret key" in refused(server)
    secret.write_text('curve\n    public-key = "abcde"\n    secret-key = "abcde"\n')
    assert "wrong length" in refused(server)
    client = keys.client(keys.known, tmp_path / "none")
    with pytest.raises(ZmqSourceError, match="no key file"):
        ZmqSource("tcp://127.0.0.1:1", Heard(), curve=client).begin()


def test_publisher_with_unusable_keys(keys: Keys) -> None:
    before = threading.active_count()
    keys.known.secret.chmod(0o644)
    with pytest.raises(ZmqSecurityError, match="chmod 600"):
        DocumentPublisher("tcp://127.0.0.1:1", curve=keys.client(keys.known))
    assert threading.active_count() == before


def test_with_keys_other_machines_may_be_reached(keys: Keys) -> None:
    sink = ZmqSink("tcp://0.0.0.0:0", curve=keys.server)
    assert sink.close(5)
    source = ZmqSource("tcp://192.0.2.7:1", Heard(), curve=keys.client(keys.known))
    source.begin()
    assert source.close()


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "ipc:///a"]
)
def test_loopback(address: str) -> None:
    refuse_remote(address, secured=False, allowed=False)


@pytest.mark.parametrize(
    "address", ["tcp://*:1", "tcp://0.0.0.0:1", "tcp://localhost.evil.com:1", "", "x"]
)
def test_beyond_loopback(address: str) -> None:
    with pytest.raises(ZmqSecurityError, match="allow_remote"):
        refuse_remote(address, secured=False, allowed=False)
    refuse_remote(address, secured=True, allowed=False)
    refuse_remote(address, secured=False, allowed=True)


def test_a_wrong_api_key_gets_nothing_and_no_key_is_told(
    server: EmbeddedTiled, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the server that we bring; for us as its client see ``test_sink_tiled``."""
    server.catalog("raw")
    answers = []
    for key in ("wr0ngkey", "", server.api_key):
        line = http.client.HTTPConnection(urlsplit(server.uri).netloc, timeout=20)
        headers = {"Authorization": f"Apikey {key}"} if key else {}
        line.request("GET", "/api/v1/search/", headers=headers)
        answer = line.getresponse()
        answers.append((answer.status, b'"raw"' in answer.read()))
        line.close()
    assert answers == [(401, False), (401, False), (200, True)]
    logged = caplog.text + (server.directory / "server.log").read_text()
    assert server.api_key not in logged
    assert "wr0ngkey" not in logged

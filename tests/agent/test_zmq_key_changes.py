"""Keys come, go and are changed while a CURVE server runs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.agent.wire.security import KeyPair

from .curve_keys import Heard, Keys, make_world, wait_until


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_world(tmp_path)


def gets_in(sink: ZmqSink, keys: Keys, pair: KeyPair) -> bool:
    """Whether a listener with these keys gets in; it is refused where not."""
    source = ZmqSource(sink.address, Heard(), curve=keys.client(pair))
    with source:
        assert wait_until(
            lambda: source.wait_connected(0) or source.connections.refused
        )
        return source.wait_connected(0)


def test_keys_come_and_go_while_it_runs(keys: Keys) -> None:
    sink = ZmqSink("tcp://127.0.0.1:0", curve=keys.server)
    new = ZmqSource(sink.address, Heard(), curve=keys.client(keys.unknown))
    with new:
        assert wait_until(lambda: new.connections.refused)
        assert not new.wait_connected(0)
    shutil.copy(keys.unknown.public, keys.folder)
    with new:
        assert new.wait_connected(10)
    (keys.folder / keys.unknown.public.name).unlink()
    with new:
        assert wait_until(lambda: new.connections.refused)
    assert sink.close(5)


def test_a_key_that_is_written_over_holds_at_once(keys: Keys) -> None:
    """The folder itself shows nothing of that."""
    sink = ZmqSink("tcp://127.0.0.1:0", curve=keys.server)
    place = keys.folder / keys.known.public.name
    folder = keys.folder.stat().st_mtime_ns
    assert gets_in(sink, keys, keys.known)
    for new, old in ((keys.unknown, keys.known), (keys.known, keys.unknown)):
        place.write_text(new.public.read_text())
        assert not gets_in(sink, keys, old)
        assert gets_in(sink, keys, new)
    assert keys.folder.stat().st_mtime_ns == folder
    assert sink.close(5)


def test_a_broken_key_keeps_nobody_else_in_or_out(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """At start it is an error: see ``test_unusable_keys``."""
    caplog.set_level(logging.ERROR)
    sink = ZmqSink("tcp://127.0.0.1:0", curve=keys.server)
    (keys.folder / "broken.key").write_text("rubbish")
    (keys.folder / "dangling.key").symlink_to(keys.folder / "none")
    assert gets_in(sink, keys, keys.known)
    shutil.copy(keys.unknown.public, keys.folder)
    assert gets_in(sink, keys, keys.unknown)
    assert gets_in(sink, keys, keys.known)
    (keys.folder / keys.known.public.name).unlink()
    assert not gets_in(sink, keys, keys.known)
    assert gets_in(sink, keys, keys.unknown)
    for name in ("broken.key", "dangling.key"):
        told = [r for r in caplog.records if f"{name} is no key" in r.getMessage()]
        assert len(told) == 3  # once for each time that the folder changed
    assert sink.close(5)

"""Settings that bound memory and disk, and keys: what they say is what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from ringwatch.agent.assembly import curve_of, fetches, make_sinks
from ringwatch.agent.cli.service import sources_of
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.settings import Settings
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sinks.spooled import SpooledSink
from ringwatch.agent.wire.security import CurveClient, CurveServer

from .derived_documents import Derived, put_all, wait_until

LARGE_N_Q = 20_000  # 160 kB an event


def from_toml(folder: Path, text: str) -> Settings:
    path = folder / "agent.toml"
    path.write_text(text)
    return load_settings(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("documents_max_waiting_bytes = 0", "greater than or equal to 65536"),
        ("documents_high_water_mark = 0", "greater than or equal to 1"),
        ("message_bytes = 1_000_000_000_000", "less than or equal to 4294967296"),
        ("spool_max_memory_bytes = 10", "greater than or equal to 1048576"),
        ("spool_max_bytes = -1", "greater than or equal to 1048576"),
        ("spool_max_byte = 1", "did you mean 'spool_max_bytes'"),
        ("[quality]\nfalse_alarms_per_hour = 1e9", "above 0 and up to 3600"),
        ("[quality]\nfalse_alarms_per_hour = 0", "give a number above 0"),
    ],
)
def test_bounds_are_checked(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        from_toml(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            '[quality]\nreference = "a.npz"',
            "'quality.reference'; it belongs to the top",
        ),
        ("false_alarms_per_hour = 1", r"it belongs into the table \[quality\]"),
        ("[quality]\nfalse_alarm_per_hour = 1", "mean 'false_alarms_per_hour'"),
        ("nothing_like_it = 1", "known are: .*poni"),
    ],
)
def test_a_key_of_the_other_table_is_told_where_it_belongs(
    tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(SettingsError, match=why) as told:
        from_toml(tmp_path, text)
    assert "belongs" not in why or "known are" not in str(told.value)


def test_a_loose_budget_of_alarms_is_taken(tmp_path: Path) -> None:
    settings = from_toml(tmp_path, "[quality]\nfalse_alarms_per_hour = 3600")
    assert settings.quality.false_alarms_per_hour == 3600


class Taken:
    """Stands where the agent does."""

    def __init__(self) -> None:
        self.documents: list[str] = []
        self.lost: list[str] = []

    def feed(self, name: str, doc: dict[str, Any], *, patient: bool = True) -> None:
        assert not patient
        self.documents.append(name)

    def documents_lost(self, run_uid: str, why: str) -> None:
        self.lost.append(why)


def test_a_message_larger_than_the_settings_say_is_not_received(
    tmp_path: Path,
) -> None:
    settings = from_toml(
        tmp_path,
        'documents = ["tcp://127.0.0.1:0"]\n'
        "documents_bind = true\n"
        "documents_max_waiting_bytes = 300_000\n"
        "documents_high_water_mark = 7\n"
        "message_bytes = 100_000\n",
    )
    taken = Taken()
    with sources_of(settings, taken)[0] as source:  # type: ignore[arg-type]
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(source.addresses[0])
        assert socket.poll(10_000)
        socket.send(b" start " + msgpack.packb({"uid": "run", "time": 1.0}))
        assert wait_until(lambda: taken.documents == ["start"])
        socket.send(b" start " + msgpack.packb({"uid": "x", "big": bytes(200_000)}))
        assert wait_until(lambda: any("connection" in why for why in taken.lost))
        assert (source.counters.received, taken.documents) == (1, ["start"])
        assert source._max_bytes == 300_000
        assert source._open.keywords["high_water_mark"] == 7
        socket.close()


def test_the_spool_keeps_to_its_bounds(tmp_path: Path) -> None:
    settings = from_toml(
        tmp_path,
        'tiled = "http://127.0.0.1:9"\n'
        f'state = "{tmp_path}/state"\n'
        "spool_max_bytes = 1_048_576\n"
        "spool_max_memory_bytes = 1_048_576\n"
        "paragraph = false\n",
    )
    (sink,) = make_sinks(settings, None)
    assert isinstance(sink, SpooledSink)
    derived = Derived("raw-bounds")
    run = [derived.start, derived.descriptor]
    for number in range(20):  # 3.2 MB
        name, doc = derived.event(number)
        doc["data"]["intensity"] = doc["data"]["intensity"].repeat(LARGE_N_Q // 300)
        run.append((name, doc))
    put_all(sink, run[:8])  # less than a megabyte: into the file
    assert sink.save(5)
    put_all(sink, run[8:])
    assert wait_until(lambda: "the bound is 1048576 bytes" in sink.trouble)
    assert 0 < sink.failed < 12
    assert not sink.close(0.2)


def test_keys_for_each_end(tmp_path: Path) -> None:
    assert curve_of(Settings(), binds=True) is None
    own, friends, other = tmp_path / "a", tmp_path / "friends", tmp_path / "b"
    keys = {"curve_key": own, "curve_clients": friends, "curve_server": other}
    settings = load_settings(**keys)
    server, client = (curve_of(settings, binds=binds) for binds in (True, False))
    assert server == CurveServer(secret_key=own, allowed_keys=friends)
    assert client == CurveClient(secret_key=own, server_key=other)


def test_without_tiled_only_what_was_given_can_be_fetched(tmp_path: Path) -> None:
    def dark(uid: str) -> Any:
        return uid

    assert fetches(Settings(), None, dark).dark is dark
    assert fetches(Settings(), None, dark).run is None
    away = fetches(Settings(tiled="http://127.0.0.1:9"), None, dark)
    assert away.dark is dark
    assert away.run is not None

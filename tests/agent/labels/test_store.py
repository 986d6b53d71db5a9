"""Labels stay where they were put: on the disk, in Tiled, each once, in order."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import LabelError, SinkError, TiledAwayError
from ringwatch.agent.labels import LabelStore, journal

from .conftest import Makes, label

PATIENCE_S = 30.0


def stored_uids(server: EmbeddedTiled, container: str) -> list[str]:
    runs = server.client()[container].values()
    return [str(uid) for run in runs for uid in run["primary"]["label_uid"].read()]


def test_a_plain_client_reads_them_back(
    server: EmbeddedTiled, make_store: Makes, container: str
) -> None:
    store = make_store()
    said = [
        label(4, says="wrong", value="bad", comment="beam stop moved"),
        label(5, "bo", "class", value="ice Ih", label_prob=float("nan"), label=""),
        label(5, "cy", "class", value="P-3-", adjudicated=True),
    ]
    for each in said:
        store.add(each)
    assert store.flush(PATIENCE_S)
    (run,) = server.client()[container].values()
    table = run["primary"]
    assert table["by"].read().tolist() == ["ada", "bo", "cy"]
    assert table["raw_index"].read().tolist() == [4, 5, 5]
    assert table["says"].read().tolist() == ["wrong", "class", "class"]
    assert table["value"].read().tolist() == ["bad", "ice Ih", "P-3-"]
    assert table["comment"].read().tolist() == ["beam stop moved", "", ""]
    assert table["adjudicated"].read().tolist() == [False, False, True]
    assert table["label_prob"].read().tolist()[0] == 0.75
    assert table["time"].read().tolist() == [each.time for each in said]
    assert run.metadata["start"]["purpose"] == "what people say of frames"
    # Another machine, with a folder of its own, gets the very same labels.
    other = make_store(store.folder.with_name("elsewhere"))
    assert other.of_run("run-1") == []
    other.refresh()
    assert other.of_run("run-1") == said
    assert other.version == store.version


def test_they_are_there_again_in_the_next_process(folder: Path) -> None:
    first = LabelStore(folder)
    said = [label(n, time=1e9 + n) for n in range(3)]
    first.add(*said)
    first.add(*said)  # repeated after a lost answer, say
    again = LabelStore(folder)
    assert list(again.all()) == said
    again.add(label(9, run_uid="run-2"))
    assert [each.index for each in first.of_run("run-2")] == [9]
    assert oct(next(folder.glob("*.jsonl")).stat().st_mode & 0o777) == "0o600"


def test_a_version_is_a_prefix(folder: Path) -> None:
    store = LabelStore(folder)
    assert store.version == ""
    store.add(label(0, time=5e8))
    version = store.version
    store.add(label(1, time=4e8))  # said earlier, came later: not in that version
    assert [each.index for each in store.all()] == [1, 0]
    assert [each.index for each in store.all(version)] == [0]
    assert store.version == version.replace(":1", ":2")
    with pytest.raises(LabelError, match="not known here"):
        store.all("0123abcd:3")
    with pytest.raises(LabelError, match="not known here"):
        store.all(version.replace(":1", ":3"))
    with pytest.raises(LabelError, match="no version"):
        store.all("newest")


@pytest.mark.slow
def test_two_processes_write_into_one_folder(folder: Path, make_store: Makes) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from ringwatch.agent.labels import Label, LabelStore; "
        "store = LabelStore(Path(sys.argv[1])); "
        "[store.add(Label(run_uid='run-1', stream='primary', data_key='det', index=n, "
        "by=sys.argv[2], says='correct')) for n in range(40)]"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(folder), name])
        for name in ("ada", "bo")
    ]
    store = make_store(folder)  # sends while they write
    assert [process.wait(60) for process in processes] == [0, 0]
    found = store.of_run("run-1")
    assert sorted((each.by, each.index) for each in found) == [
        (name, n) for name in ("ada", "bo") for n in range(40)
    ]
    assert len(list(folder.glob("*.jsonl"))) == 1
    assert store.flush(PATIENCE_S)
    elsewhere = make_store(folder.with_name("elsewhere"))
    elsewhere.refresh()
    assert list(elsewhere.all()) == list(store.all())


def test_a_line_that_cannot_be_read_costs_no_other(
    server: EmbeddedTiled,
    folder: Path,
    make_store: Makes,
    container: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    LabelStore(folder).add(label(0), label(1), label(2))
    (path,) = folder.glob("*.jsonl")
    lines = path.read_bytes().splitlines()
    kept = lines[3]
    lines[3] = b'["event", {"data": {' + b"\xff" * 20
    lines[4] = json.dumps(["event", {"data": {}, "time": 1, "seq_num": 3}]).encode()
    path.write_bytes(b"\n".join(lines) + b"\n" + b'["event", {"torn')
    store = make_store(folder)
    assert [each.index for each in store.of_run("run-1")] == [0]
    assert f"{path}, line 4 cannot be read" in caplog.text
    assert "holds an event that is no label" in caplog.text
    store.add(label(7))  # what was torn becomes a line of its own
    assert [each.index for each in LabelStore(folder).of_run("run-1")] == [0, 7]
    assert store.flush(PATIENCE_S)
    assert len(stored_uids(server, container)) == 2
    store.close()
    assert b"\xff" * 20 in path.read_bytes()
    lines = path.read_bytes().splitlines()
    lines[3], lines[4] = kept, b"{}"
    path.write_bytes(b"\n".join(lines) + b"\n")  # mended by hand
    store.add(label(8))
    again = make_store(folder)
    for each in (store, again):  # one that was there before, one that came later
        assert [said.index for said in each.of_run("run-1")] == [0, 1, 7, 8]
    assert again.flush(PATIENCE_S)
    assert sorted(stored_uids(server, container)) == sorted(
        each.uid for each in again.of_run("run-1")
    )


def test_hostile_lines_are_left_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    LabelStore(folder).add(label(0))
    (path,) = folder.glob("*.jsonl")
    head, descriptor, event = path.read_bytes().splitlines(keepends=True)
    hostile = [
        b"[" * 60_000,
        b"[" * 100_000,
        b'["event", {"x": "' + b"y" * (1 << 17) + b'"}]',
        b'["event", []]',
        b'"event"',
        b"7",
        b"",
        b'["event", {"data": 1, "time": 1, "seq_num": 1}]',
        event.strip().replace(b'"ada"', b'"\\u001b[2Jada"'),
        event.strip().replace(b'"raw_index": 0', b'"raw_index": 1e300'),
        event.strip().replace(b'"raw_index": 0', b'"raw_index": NaN'),
        event.strip().replace(b'"seq_num": 1', b'"seq_num": "x"'),
        event.strip().replace(b'"seq_num": 1', b'"seq_num": Infinity'),
        event.strip().replace(b'"seq_num": 1', b'"seq_num": 1' + b"0" * 300),
    ]
    assert len({*hostile, event.strip()}) == len(hostile) + 1  # each differs from it
    last = event.replace(b'"raw_index": 0', b'"raw_index": 5')
    uid = json.loads(event)[1]["uid"].encode()
    last = last.replace(uid, b"another-label")
    path.write_bytes(head + descriptor + event + b"\n".join(hostile) + b"\n" + last)
    caplog.clear()
    found = LabelStore(folder).of_run("run-1")
    assert sorted(each.index for each in found) == [0, 5]
    assert len(caplog.records) == len(hostile)  # each is told
    assert max(len(record.getMessage()) for record in caplog.records) < 1000


@pytest.mark.long
def test_tiled_comes_back(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with EmbeddedTiled(tmp_path / "tiled") as server:
        store = LabelStore(folder, tiled=server.uri, api_key=server.api_key)
        store.add(label(0))
        assert store.flush(PATIENCE_S)
        server.close()
        store.add(label(1))
        assert not store.flush(3.0)
        assert store.trouble
        assert server.api_key not in store.trouble + caplog.text
        assert [each.index for each in store.of_run("run-1")] == [0, 1]
        with pytest.raises(TiledAwayError, match="does not answer"):
            store.refresh()
        # A process that ends meanwhile leaves its labels to the next.
        assert not store.close(0.5)
        LabelStore(folder).add(label(2))
        server.start()
        store = LabelStore(folder, tiled=server.uri, api_key=server.api_key)
        assert store.flush(PATIENCE_S)
        assert store.trouble == ""
        assert stored_uids(server, "labels") == [
            each.uid for each in store.of_run("run-1")
        ]
        assert store.close()


@pytest.mark.slow
def test_killed_between_file_and_tiled(
    server: EmbeddedTiled, folder: Path, make_store: Makes, container: str
) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from ringwatch.agent.labels import Label, LabelStore\n"
        f"store = LabelStore(Path({str(folder)!r}), tiled={server.uri!r}, "
        f"api_key={server.api_key!r}, container={container!r})\n"
        "for n in range(int(sys.argv[1]), 10**6):\n"
        "    store.add(Label(run_uid='run-1', stream='primary', data_key='det', "
        "index=n, by='ada', says='correct'))\n"
        "    print(n, flush=True)\n"
    )
    said = -1
    for turn in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(said + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.2 + 0.3 * turn)  # once before, once while it sends
            process.kill()
            rest = process.stdout.read().split("\n")
        told = [int(line) for line in rest[:-1]]
        known = [each.index for each in LabelStore(folder).of_run("run-1")]
        assert sorted(known) == list(range(len(known)))
        assert len(known) > max(told, default=said + 1)  # acknowledged, so kept
        said = known[-1]
    store = make_store(folder)
    assert store.flush(PATIENCE_S)
    found = stored_uids(server, container)
    assert found == [each.uid for each in store.of_run("run-1")]
    assert len(found) == said + 1


def test_a_full_file_is_ended_and_put_aside(
    server: EmbeddedTiled,
    folder: Path,
    make_store: Makes,
    container: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "MOST_LINES", 4)
    store = make_store(folder)
    said = [label(n, time=1e9 + n) for n in range(5)]
    for each in said:
        store.add(each)
    assert store.flush(PATIENCE_S)
    assert (len(list(folder.glob("*.jsonl"))), len(list(folder.glob("sent/*")))) == (
        1,
        2,
    )
    assert list(store.all()) == list(make_store(folder).all()) == said
    stops = [run.metadata.get("stop") for run in server.client()[container].values()]
    assert sorted(bool(stop) for stop in stops) == [False, True, True]
    assert set(stored_uids(server, container)) == {each.uid for each in said}
    assert store.version.count(":") == 3


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match="name a folder of your own"):
        LabelStore(tmp_path / "file" / "labels")
    with pytest.raises(SinkError, match="no address"):
        LabelStore(tmp_path / "labels", tiled="nonsense")


def test_a_full_disk_keeps_none_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LabelStore(folder)
    store.add(label(0))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)  # a disk that is full tells it here
        with pytest.raises(LabelError, match="No space"):
            store.add(label(1), label(2))
    store.add(label(3))
    assert [each.index for each in LabelStore(folder).of_run("run-1")] == [0, 3]

"""Spool files: what is written comes back, and damage costs only what it touches."""

from __future__ import annotations

import logging
import resource
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from event_model import compose_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringwatch.agent.errors import SinkError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.spool import HEADER, SpoolFile, pack, read_records
from ringwatch.agent.spool_contents import contents
from ringwatch.agent.spool_folder import Position, SpoolFolder


def documents(events: int = 5) -> list[NamedDocument]:
    run = compose_run(uid="run-1", metadata={"raw_uid": "raw-1"})
    key: dict[str, Any] = {"source": "ringwatch", "shape": []}
    keys = {
        "raw_data_key": key | {"dtype": "string"},
        "raw_index": key | {"dtype": "integer"},
        "final": key | {"dtype": "boolean"},
        "intensity": key | {"dtype": "array", "shape": [40]},
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    found: list[NamedDocument] = [
        ("start", dict(run.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
    ]
    for n in range(events):
        data = {
            "raw_data_key": "det",
            "raw_index": n,
            "final": n % 2 == 0,
            "intensity": np.linspace(n, n + 1, 40, dtype="<f4"),
        }
        event = stream.compose_event(data=data, timestamps=dict.fromkeys(data, 1.0))
        found.append(("event", dict(event)))
    return found


def write(path: Path, named: list[NamedDocument]) -> list[int]:
    """Write a file; where each record ends."""
    file = SpoolFile(path)
    ends = []
    for name, doc in named:
        file.append(pack(name, doc))
        ends.append(file.end)
    file.sync()
    file.close()
    return ends


def numbers(path: Path) -> list[int]:
    return [r.doc["seq_num"] for r in read_records(path) if r.name == "event"]


def test_documents_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    given_ = documents()
    given_[2][1]["data"] |= {
        "nan": float("nan"),
        "empty": np.zeros((0, 3)),
        "two": np.arange(6, dtype=">i2").reshape(2, 3),
        "flag": np.bool_(True),
        "scalar": np.float32(0.1),
    }
    ends = write(path, given_)
    back = list(read_records(path))
    assert [r.end for r in back] == ends
    assert [r.name for r in back] == [name for name, _ in given_]
    data, before = back[2].doc["data"], given_[2][1]["data"]
    for key in ("intensity", "empty", "two"):
        assert data[key].dtype == before[key].dtype
        assert data[key].shape == before[key].shape
        assert data[key].tobytes() == before[key].tobytes()
    assert np.isnan(data["nan"])
    assert data["flag"] is True
    assert data["scalar"] == float(np.float32(0.1))
    assert back[0].doc == given_[0][1]


def test_torn_tail_is_cut_at_the_last_whole_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tmp_path / "whole.spool"
    ends = write(whole, documents(4))
    path = tmp_path / "torn.spool"
    for torn in range(ends[-2] + 1, ends[-1], 7):
        path.write_bytes(whole.read_bytes()[:torn])
        found = contents(path)
        assert (found.end, found.events) == (ends[-2], 3)
    assert "no whole record" in caplog.text
    file = SpoolFile(path, found.end)
    file.append(pack(*documents(4)[-1]))
    file.close()
    assert numbers(path) == [1, 2, 3, 4]


def test_flipped_bytes_cost_one_record_and_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tmp_path / "whole.spool"
    ends = write(whole, documents(4))
    path = tmp_path / "flipped.spool"
    for place in range(ends[2], ends[3]):  # the record of event 2
        data = bytearray(whole.read_bytes())
        data[place] ^= 0x55
        path.write_bytes(data)
        caplog.clear()
        assert numbers(path) == [1, 3, 4], place
        assert f"{path}: damaged from byte {ends[2]} to {ends[3]}" in caplog.text


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_is_survived(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is cut, overwritten or put in: sound records, no crash."""
    logging.getLogger("ringwatch.agent.spool").disabled = True
    path = tmp_path / "damaged.spool"
    write(path, documents(3))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len(HEADER), len(content)))
        cut = data.draw(st.integers(0, 60))
        content[at : at + cut] = data.draw(st.binary(max_size=60))
    path.write_bytes(content)
    try:
        found = numbers(path)
    finally:
        logging.getLogger("ringwatch.agent.spool").disabled = False
    assert found == sorted(set(found))
    assert set(found) <= {1, 2, 3}


def test_length_of_a_terabyte_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bomb.spool"
    ends = write(path, documents(2))
    data = bytearray(path.read_bytes())
    data[ends[1] + 4 : ends[1] + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert numbers(path) == [2]


@pytest.mark.parametrize(
    "told",
    [
        ["|O", [1], b"x" * 8],
        ["<f8", [1 << 40], b"x" * 8],
        ["<f8", [-1], b""],
        ["<U4", [1], b"x" * 16],
        ["nonsense", [1], b"x"],
        "no list",
    ],
)
def test_array_that_is_none_is_damage(tmp_path: Path, told: Any) -> None:
    """Right checksum, impossible array: as if written by somebody else."""
    ours, spoilt = tmp_path / "a.spool", tmp_path / "b.spool"
    given_ = documents(3)
    write(ours, given_)
    extension = msgpack.ExtType(1, msgpack.packb(told))
    record = msgpack.packb(["event", {"seq_num": 9, "data": extension}])
    length = struct.pack("<I", len(record))
    checksum = struct.pack("<I", zlib.crc32(record, zlib.crc32(length)))
    spoilt.write_bytes(ours.read_bytes() + b"\xf5RW\n" + length + checksum + record)
    assert numbers(spoilt) == [1, 2, 3]


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot go into a spool file"):
        pack("event", {"data": {"x": np.array([object()])}})
    with pytest.raises(TypeError):
        pack("event", {"data": {"x": 1 << 70}})
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    with pytest.raises(ValueError, match="recursion"):
        pack("event", cyclic)


def test_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    path.write_bytes(b"RWSPOOL\x02 from the future")
    with pytest.raises(SinkError, match="expected a spool file"):
        list(read_records(path))


def test_failed_append_leaves_whole_records(tmp_path: Path) -> None:
    """A limit on file sizes: the write really fails in the middle of a record."""
    code = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from ringwatch.agent.spool import SpoolFile, pack, read_records
        file = SpoolFile(Path(sys.argv[1]))
        record = pack("event", {"seq_num": 1, "data": b"x" * 1000})
        resource.setrlimit(resource.RLIMIT_FSIZE, (3500, resource.RLIM_INFINITY))
        for _ in range(5):
            try:
                file.append(record)
            except OSError as error:
                print(error.errno)
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        file.append(record)
        print(len(list(read_records(file.path))))
        """
    )
    path = tmp_path / "full.spool"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["27", "27", "4"]  # EFBIG twice
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_contents_say_where_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    write(path, documents(5))
    found = contents(path)
    assert (found.uid, found.raw_uid) == ("run-1", "raw-1")
    assert found.next_seq_num == {"primary": 6}
    assert found.final == {("primary", "det", n) for n in (0, 2, 4)}
    assert (found.events, found.documents, found.stopped) == (5, 7, False)


def test_position_survives_a_torn_slot(tmp_path: Path) -> None:
    path = tmp_path / "a.position"
    position = Position(path)
    for offset in (100, 200, 300):
        position.offset, position.events = offset, offset // 100
        position.save()
    position.close()
    assert Position(path).offset == 300
    data = path.read_bytes()
    torn = [Position(_with_noise(path, data, slot * 64)).offset for slot in range(2)]
    assert sorted(torn) == [200, 300]
    assert path.stat().st_size == 128


def _with_noise(path: Path, data: bytes, at: int) -> Path:
    path.write_bytes(data[:at] + b"noise" + data[at + 5 :])
    return path


def test_files_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from ringwatch.agent.spool import SpoolFile
        from ringwatch.agent.spool_folder import SpoolFolder
        folder = SpoolFolder(Path(sys.argv[1]))
        file = SpoolFile(folder.file("run-1"))
        file.append(Path(sys.argv[2]).read_bytes())
        folder.position(file.path)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    records = tmp_path / "records"
    records.write_bytes(b"".join(pack(*named) for named in documents(3)))
    spool = tmp_path / "spool"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(spool), str(records)],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        early = SpoolFolder(spool)
        other.kill()
    assert early.adopted == []
    late = SpoolFolder(spool)
    assert [found.uid for found in late.adopted] == ["run-1"]
    assert late.adopted[0].path.parent == late.path
    early.release()
    late.release()
    assert {path.name for path in spool.iterdir()} == {"lock", late.path.name}


def test_file_without_a_document_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process was killed before it wrote the start document."""
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / "x.spool").write_bytes(HEADER)
    (dead / "y.spool").write_bytes(HEADER[:3])
    Position(dead / "x.position").close()
    Position(dead / "z.position").close()  # its file was delivered and went
    folder = SpoolFolder(tmp_path)
    assert (folder.adopted, caplog.text) == ([], "")
    assert [path.name for path in folder.path.iterdir()] == ["lock"]
    folder.release()


def test_unreadable_file_is_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / "x.spool").write_bytes(b"what is this")
    folder = SpoolFolder(tmp_path)
    assert folder.adopted == []
    assert "expected a spool file" in caplog.text
    assert [p.name for p in folder.path.glob("*unreadable")] == ["x.spool.unreadable"]
    folder.release()


@pytest.mark.parametrize("uid", ["../../etc/passwd", "", "a/b", "a\0b"])
def test_uid_is_no_path(tmp_path: Path, uid: str) -> None:
    folder = SpoolFolder(tmp_path)
    with pytest.raises(SinkError, match="no uid"):
        folder.file(uid)
    folder.release()

"""Spool files: what is written comes back, and damage costs only what it touches."""

from __future__ import annotations

import errno
import logging
import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringwatch.agent.errors import SinkError
from ringwatch.agent.spool.contents import contents
from ringwatch.agent.spool.records import HEADER, SpoolFile, pack, read_records

from .spool_files import documents, numbers, write


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
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_is_survived(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is cut, overwritten or put in: sound records, no crash."""
    logging.getLogger("ringwatch.agent.spool.records").disabled = True
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
        logging.getLogger("ringwatch.agent.spool.records").disabled = False
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
    file = SpoolFile(tmp_path / "full.spool")
    record = pack("event", {"seq_num": 1, "data": b"x" * 1000})
    failed: list[int | None] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3500, hard))
    try:
        for attempt in (*[file.append] * 5, lambda _: file.probe(1000)):
            try:
                attempt(record)
            except OSError as error:
                failed.append(error.errno)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed == [errno.EFBIG] * 3  # two records, and the probe
    file.probe(1000)
    assert file.path.stat().st_size == file.end
    file.append(record)
    assert len(list(read_records(file.path))) == 4
    file.close()


def test_contents_say_where_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    write(path, documents(5))
    found = contents(path)
    assert (found.uid, found.raw_uid) == ("run-1", "raw-1")
    assert found.next_seq_num == {"primary": 6}
    assert found.final == {("primary", "det", n) for n in (0, 2, 4)}
    assert (found.events, found.documents, found.stopped) == (5, 7, False)

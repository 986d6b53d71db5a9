"""The spool folder: whose files are whose, and how far each is delivered."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ringwatch.agent.errors import SinkError
from ringwatch.agent.spool.folder import Position, SpoolFolder
from ringwatch.agent.spool.records import HEADER, pack

from .spool_files import documents


def test_position_survives_a_torn_slot(tmp_path: Path) -> None:
    path = tmp_path / "a.position"
    position = Position(path)
    for offset in (100, 200, 300):
        position.offset, position.events = offset, offset // 100
        position.save()

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
        from ringwatch.agent.spool.records import SpoolFile
        from ringwatch.agent.spool.folder import SpoolFolder
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
    Position(dead / "x.position")
    Position(dead / "z.position")  # its file was delivered and went
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

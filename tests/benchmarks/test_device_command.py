"""What a GPU would do, measured tiny on torch's CPU device."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringwatch.benchmarks import device
from ringwatch.benchmarks.device_line import STAGES, Line

from .test_speed_commands import EDGE, assert_positive


def test_device_rows_are_whole_and_right_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = device.measure(
        EDGE, tmp_path, device="cpu", batch=3, batches=2, repeats=1, bins=100
    )
    ways = [way for way in ("decoded", "bslz4") if any(r["way"] == way for r in rows)]
    assert "decoded" in ways
    assert [(row["way"], row["stage"]) for row in rows] == [
        (way, stage) for way in ways for stage in (*STAGES, "all")
    ]
    assert len({tuple(row) for row in rows}) == 1  # one table
    for row in rows:
        assert row["sums_equal"] is True
        assert row["apart"] < 1e-4
        if row["stage"] == "all":
            assert row["classified"] == 1
            assert_positive(row, "frames_a_second")
        elif row["stage"] != "decode" or row["way"] == "bslz4":
            assert_positive(row, "ms_a_frame", "share")
    for way in ways:
        shares = [row["share"] for row in rows if row["way"] == way and row["share"]]
        assert sum(shares) == pytest.approx(1)
    device.show(rows)
    assert "Sums are those of the CPU" in " ".join(capsys.readouterr().out.split())


def test_a_stage_that_fails_ends_the_line() -> None:
    """Else the command would hang in front of whoever waits for its figures."""
    line = Line(EDGE, "cpu", 2, 1, bins=100)

    def fail(chunk: bytes) -> None:
        raise ValueError("no such chunk")

    with pytest.raises(ValueError, match="no such chunk"):
        line.run(6, ([b""], fail))
    line.slots[0] = line.slots[0][:, :-1]  # of another shape
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        line.run(6)
    line.close()

"""The file of frames, read while it grows."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filter)

from ringwatch.simulated_beamline.area_detector import AreaDetector, DatumDetector
from ringwatch.simulated_beamline.frame_file import FRAME_NUMBERS, FRAMES
from ringwatch.simulated_beamline.stream_detector import StreamDetector

READER = f"""
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1], "r", libver="latest", swmr=True) as file:
    frames, numbers = file["{FRAMES}"], file["{FRAME_NUMBERS}"]
    for line in sys.stdin:
        frames.refresh(); numbers.refresh()
        print(len(frames), int(frames[-1, 0, 0]), int(numbers[-1]), flush=True)
"""


def test_another_process_reads_while_the_file_grows(make: Any) -> None:
    detector = make(StreamDetector)
    detector.stage()
    expose(detector)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(detector._frame_file.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for number in range(4):
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline().split() == [
                str(number + 1),
                str(number),
                str(number),
            ]
            expose(detector)
        reader.stdin.close()
    assert reader.returncode == 0
    detector.unstage()


def test_this_process_reads_while_the_file_grows(make: Any) -> None:
    detector = make(DatumDetector)
    detector.stage()
    path = detector._frame_file.path
    with h5py.File(path, "r", libver="latest", swmr=True) as file:
        for number in range(3):
            expose(detector)
            file[FRAMES].refresh()
            assert file[FRAMES][number, 5, 5] == number
    detector.unstage()


def expose(detector: AreaDetector) -> None:
    detector.trigger().wait(timeout=10)

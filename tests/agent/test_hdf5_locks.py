"""One file, read by several parts of one process, while it is written and after."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.files.hdf5_files import HDF5Files

WRITER = """
import sys
import h5py
import numpy as np
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    frames = file.create_dataset(
        "data", (1, 4, 4), np.uint16, maxshape=(None, 4, 4), chunks=(1, 4, 4)
    )
    file.swmr_mode = True
    frames[0] = 7
    frames.flush()
    print("ready", flush=True)
    sys.stdin.readline()
print("closed", flush=True)
"""


def test_a_file_opened_while_written_can_be_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "frames.h5"
    roots = DataRoots((tmp_path,))
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with HDF5Files(roots) as live, HDF5Files(roots) as later:
            assert live.dataset(path, "data")[0].sum() == 112
            writer.stdin.write("\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "closed\n"
            # No longer marked as being written, but still open in this process.
            assert later.dataset(path, "data")[0].sum() == 112

"""The embedded Tiled server, where it was killed in the middle."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ringwatch.agent.embedded_tiled import EmbeddedTiled


def test_an_array_whose_server_was_killed_before_it_noted_it_is_written_again(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with EmbeddedTiled(first) as server:
        run = server.client().create_container("run")
        run.write_array(np.arange(5.0), key="intensity")
    with EmbeddedTiled(second) as server:
        run = server.client().create_container("run")
        # As it stands after the kill: the folder is there, the node is not.
        shutil.copytree(first / "data", second / "data", dirs_exist_ok=True)
        assert list((second / "data").rglob("intensity*"))
        assert "intensity" not in run
        run.write_array(np.arange(3.0), key="intensity")
        assert run["intensity"].read().tolist() == [0, 1, 2]

"""The demo with a page: watched while it runs, and still there afterwards."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

RINGWATCH = str(Path(sys.executable).with_name("ringwatch"))


@pytest.mark.long
def test_the_demo_stays_until_ctrl_c(tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    with said.open("w") as out:
        demo = subprocess.Popen(
            [RINGWATCH, "demo", "--frames", "20", "--stay", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert demo.stderr is not None
        first = demo.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", first)
        assert found is not None, first  # the first thing that is said
        for line in demo.stderr:
            out.write(line)
            if "stays at" in line:
                break
        assert demo.poll() is None
        with urlopen(f"{found[0]}api/runs") as answer:
            told = answer.read().decode()
        assert "furnace_ramp" in told
        assert '"tiled":""' in told  # Tiled is still there
        demo.send_signal(signal.SIGINT)
        summary, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, said.read_text()
    assert '"ok": true' in summary

"""ONNX Runtime reports to nobody: no device id, no queue of events, no uploader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOAD = """
from ringwatch.models.classifier import Classifier
Classifier.load(backend="onnx")
with open("/proc/self/maps") as maps:
    assert "onnxruntime" in maps.read()
"""


def test_what_onnx_runtime_would_send_is_not_even_collected(tmp_path: Path) -> None:
    """By default it keeps a device id and a database of events in the home folder."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    home = {"HOME": str(tmp_path)}
    subprocess.run(command, env=known | home, check=True, cwd=tmp_path)
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert "deviceid" not in kept
    assert "onnxruntime.db" not in kept

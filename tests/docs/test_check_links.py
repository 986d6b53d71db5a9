"""The check of links finds what leads nowhere, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "check_links.py"


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_of_a_site(script: Any, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.html").write_text(
        '<p id="top"><a href="deep/b.html#here">b</a> <a href="#top">up</a>'
        '<a href="https://example.org/x">away</a> <img src="no.png">'
    )
    (tmp_path / "deep" / "b.html").write_text(
        '<p id="here"><a href="../a.html#none">a</a> <a href="c.html">c</a>'
    )
    assert sorted(script.broken_links(tmp_path)) == [
        "a.html: no.png is not there",
        "deep/b.html: ../a.html#none has no such place",
        "deep/b.html: c.html is not there",
    ]


def test_of_a_repository(script: Any, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        "[it](README.md#x) [no](docs/no.md) [away](https://example.org)\n"
        "`[code](nowhere.md)`\n```\n[code](nowhere.md)\n```\n"
    )
    assert list(script.broken_paths(tmp_path, [page])) == [
        "README.md: docs/no.md is not there"
    ]

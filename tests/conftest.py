"""Fixtures that many tests share."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of many slow tests go first: in the end one process would have them all."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """What is imported stays: pyFAI collects garbage with each geometry that it reads.

    A third of a second each, with a million objects of libraries that none ever frees.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real measured data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the measured data (shared/data beside the checkout) is absent")
    return SHARED_DATA

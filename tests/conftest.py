"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real measured data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the measured data (shared/data beside the checkout) is absent")
    return SHARED_DATA

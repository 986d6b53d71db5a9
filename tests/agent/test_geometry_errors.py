"""Geometries that cannot be are refused, with the remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.errors import GeometryError
from ringwatch.agent.geometry import Binning, load_geometry


def test_geometry_errors_name_the_remedy(poni: Path, tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="no geometry at"):
        load_geometry(tmp_path / "absent.poni")
    junk = tmp_path / "junk.poni"
    junk.write_text("this is no geometry\n")
    with pytest.raises(GeometryError, match="pyFAI"):
        load_geometry(junk)
    with pytest.raises(GeometryError, match="the frames have"):
        Binning.from_geometry(load_geometry(poni), (100, 100))
    with pytest.raises(GeometryError, match="mask"):
        Binning.from_geometry(
            load_geometry(poni), (192, 176), mask=np.zeros((5, 5), bool)
        )
    with pytest.raises(GeometryError, match="every pixel"):
        Binning.from_geometry(
            load_geometry(poni), (192, 176), mask=np.ones((192, 176), bool)
        )
    lines = poni.read_text().splitlines()
    for key, value, told in (
        ("Wavelength", "0.4066", "given in metres"),
        ("Distance", "208.65", "given in metres"),
        ("Poni1", "nan", "no finite number"),
    ):
        changed = [f"{key}: {value}" if x.startswith(key) else x for x in lines]
        (tmp_path / "odd.poni").write_text("\n".join(changed))
        with pytest.raises(GeometryError, match=told):
            load_geometry(tmp_path / "odd.poni")
    nowave = tmp_path / "nowave.poni"
    nowave.write_text(
        "\n".join(x for x in poni.read_text().splitlines() if "Wave" not in x)
    )
    with pytest.raises(GeometryError, match="wavelength"):
        load_geometry(nowave)

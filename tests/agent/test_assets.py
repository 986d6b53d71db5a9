"""Announced files: which image is the n-th, and what no document may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringwatch.agent.assets import (
    HDF5,
    Asset,
    asset_of_resource,
    asset_of_stream_resource,
)
from ringwatch.agent.nouns import FileLocator, LostLocator


def tiff(template: str, uri: str = "file://localhost/data/run/", **more: Any) -> Any:
    return asset_of_stream_resource(
        {
            "mimetype": "multipart/related;type=image/tiff",
            "uri": uri,
            "parameters": {"template": template, **more},
        }
    )


def classic(template: str, **more: Any) -> Any:
    return asset_of_resource(
        {
            "spec": "AD_TIFF",
            "root": "/data",
            "resource_path": "run",
            "resource_kwargs": {"template": template, **more},
        }
    )


def path_of(asset: Any, number: int = 7) -> str:
    located = asset.locate(number, 1, 0)
    assert isinstance(located, FileLocator)
    return str(located.path)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("%s%s_%6.6d.tiff", "scan_000007.tiff"),
        ("%s/%s_%03d.tif", "scan_007.tif"),
        ("%s_%d.tif", "scan_7.tif"),
        ("%s%s_%4d.tif", "scan_   7.tif"),
        ("{:05d}.tif", "00007.tif"),
        ("img_{}.tif", "img_7.tif"),
        ("/img_{0:02}.tif", "img_07.tif"),
    ],
)
def test_templates_of_both_forms(template: str, name: str) -> None:
    assert path_of(tiff(template, filename="scan")) == f"/data/run/{name}"
    assert path_of(classic(template, filename="scan")) == f"/data/run/{name}"


def test_names_are_those_that_bluesky_makes() -> None:
    """Address and name are joined as its consolidators do, slash or none."""
    assert path_of(tiff("_{:03d}.tif", "file:///data/uid")) == "/data/uid_007.tif"
    assert path_of(tiff("/{:03d}.tif", "file:///data/uid")) == "/data/uid/007.tif"


@pytest.mark.parametrize(
    "template",
    [
        "{:>50000000}",
        "{:050000000d}",
        "%50000000d.tif",
        f"%{'9' * 5000}d",
        "../../etc/{}",
        "a/{}.tif",
        "{}/../x",
        "%s/../%s%d",
        "{0.__class__}",
        "{}{}.tif",
        "%d%d.tif",
        "%(x)d",
        "%s.tif",
        "no number.tif",
        "{:d}" + "x" * 5000,
        "a\0{}.tif",
    ],
)
def test_other_templates_are_lost_frames_with_a_reason(template: str) -> None:
    for asset in (tiff(template), classic(template)):
        assert isinstance(asset, LostLocator)
        assert "template" in asset.reason
        assert len(asset.reason) < 300


def test_a_file_name_leads_nowhere_else() -> None:
    assert isinstance(classic("%s%s_%d.tif", filename="../../etc/x"), LostLocator)


def test_no_number_makes_locate_raise() -> None:
    assets: list[Asset] = [
        tiff("{}.tif"),
        tiff(""),
        Asset(path=Path("/a.h5"), mimetype=HDF5, dataset="d"),
    ]
    for asset in assets:
        for number in (-1, 1 << 70, 10**5000):
            assert isinstance(asset.locate(number, 1, 0), LostLocator)


def test_one_image_is_not_a_series() -> None:
    asset = tiff("", "file:///data/one.tif")
    assert path_of(asset, 0) == "/data/one.tif"
    assert isinstance(asset.locate(1, 1, 0), LostLocator)


def test_a_series_of_hdf5_files_is_not_taken_for_one() -> None:
    asset = asset_of_stream_resource(
        {
            "mimetype": HDF5,
            "uri": "file:///data/",
            "parameters": {"template": "{}.h5", "dataset": "d"},
        }
    )
    assert isinstance(asset, LostLocator)

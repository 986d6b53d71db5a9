"""Files are opened below the allowed folders only, whatever links say."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from ringwatch.agent.errors import (
    ForbiddenFrameError,
    FrameReadError,
    MissingFrameError,
)
from ringwatch.agent.frames import FrameReader

from .written_frames import DATASET, in_file, write


def test_roots_hold_also_through_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    write(outside / "file.h5", 1)
    write(inside / "file.h5", 1)
    (inside / "link.h5").symlink_to(outside / "file.h5")
    reader = FrameReader(roots=(inside,), timeout_s=0.05)
    assert reader.read(in_file(inside / "file.h5")).shape == (6, 5)
    for path in (
        outside / "file.h5",
        inside / "link.h5",
        inside / ".." / "secret" / "file.h5",
    ):
        with pytest.raises(FrameReadError, match="allowed folders"):
            reader.read(in_file(path))


def test_links_are_followed_below_the_roots_and_no_further(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        write(folder / "frames.h5", 3)
    (inside / "way.h5").symlink_to(outside / "frames.h5")
    # From a folder inside, through one outside, back inside.
    with h5py.File(outside / "back.h5", "w") as file:
        file["a"] = h5py.ExternalLink(str(inside / "frames.h5"), DATASET)
    raw = outside / "raw.bin"
    raw.write_bytes(bytes(60))
    (inside / "raw.bin").write_bytes(bytes(60))
    master = inside / "master.h5"
    with h5py.File(master, "w") as file:
        file["near"] = h5py.ExternalLink("frames.h5", DATASET)
        file["moved"] = h5py.ExternalLink("/not/here/frames.h5", DATASET)
        file["entry/soft"] = h5py.SoftLink("/near")
        file["far"] = h5py.ExternalLink(str(outside / "frames.h5"), DATASET)
        file["disguised"] = h5py.ExternalLink("way.h5", DATASET)
        file["through"] = h5py.ExternalLink(str(outside / "back.h5"), "a")
        file["circle"] = h5py.SoftLink("/circle")
        file["gone"] = h5py.ExternalLink("absent.h5", DATASET)
        for name, source in (("v_near", "frames.h5"), ("v_far", "../secret/frames.h5")):
            layout = h5py.VirtualLayout((3, 6, 5), "u2")
            layout[:] = h5py.VirtualSource(source, DATASET, (3, 6, 5))
            file.create_virtual_dataset(name, layout)
        for name, source in (("v_link", "far"), ("v_soft", "entry/soft")):
            layout = h5py.VirtualLayout((3, 6, 5), "u2")
            layout[:] = h5py.VirtualSource(".", source, (3, 6, 5))
            file.create_virtual_dataset(name, layout)
        for name, folder in (("x_near", inside), ("x_far", outside)):
            file.create_dataset(
                name, (1, 6, 5), "u2", external=[(str(folder / "raw.bin"), 0, 60)]
            )
    reader = FrameReader(roots=(inside,), timeout_s=0.05)
    for name in ("near", "moved", "entry/soft", "v_near", "v_soft"):
        assert reader.read(in_file(master, 2, dataset=name))[0, 0] == 60, name
    assert not reader.read(in_file(master, dataset="x_near")).any()
    for name in ("far", "disguised", "through", "v_far", "v_link", "x_far"):
        with pytest.raises(ForbiddenFrameError, match="allowed folders"):
            reader.read(in_file(master, dataset=name))
    with pytest.raises(FrameReadError, match="circle"):
        reader.read(in_file(master, dataset="circle"))
    with pytest.raises(MissingFrameError, match=r"absent\.h5"):
        reader.read(in_file(master, dataset="gone"))
    reader.close()
    everywhere = FrameReader(timeout_s=0.05)
    for name in ("far", "through", "v_far", "x_far"):
        assert everywhere.read(in_file(master, dataset=name)).shape == (6, 5)
    everywhere.close()


def test_strange_paths_are_read_errors(tmp_path: Path) -> None:
    (tmp_path / "loop.h5").symlink_to(tmp_path / "loop.h5")
    reader = FrameReader(timeout_s=0)
    for name in ("loop.h5", "a\0b.h5", "n" * 5000, ""):
        with pytest.raises(FrameReadError):
            reader.read(in_file(tmp_path / name))


def test_a_link_that_leads_elsewhere_later_is_looked_at_again(tmp_path: Path) -> None:
    """What was allowed once is remembered for the same file only."""
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    write(inside / "first.h5", 1)
    write(inside / "second.h5", 2)
    write(outside / "file.h5", 3)
    link = inside / "latest.h5"
    link.symlink_to(inside / "first.h5")
    reader = FrameReader(roots=(inside,), timeout_s=0.05)
    first = reader.read(in_file(link))
    assert (reader.read(in_file(link)) == first).all()
    link.unlink()
    link.symlink_to(inside / "second.h5")
    assert reader.read(in_file(link, 1)).shape == first.shape
    link.unlink()
    link.symlink_to(outside / "file.h5")
    with pytest.raises(ForbiddenFrameError, match="allowed folders"):
        reader.read(in_file(link))

"""Pools of prototypes: read as written, weighed, refused where they cannot be."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from ringwatch.models.crystals.prototypes import PrototypePool, build_pool
from ringwatch.models.diffraction import Crystal

from .made_templates import SPECIAL, make, spinel


def test_a_pool_is_read_as_it_was_written(small_pool, tmp_path):
    small_pool.write(tmp_path / "pool.npz")
    again = PrototypePool.read(tmp_path / "pool.npz")
    assert again.digest() == small_pool.digest()
    assert again._replace(cell=again.cell + 1e-9).digest() != small_pool.digest()
    np.savez(tmp_path / "other.npz", first=np.zeros(3))
    with pytest.raises(ValueError, match="lacks"):
        PrototypePool.read(tmp_path / "other.npz")
    short = small_pool._asdict() | {"slot_z": small_pool.slot_z[:-1]}
    np.savez(tmp_path / "short.npz", **short)
    with pytest.raises(ValueError, match="slices end"):
        PrototypePool.read(tmp_path / "short.npz")
    for wrong in ({"weights": np.float64(1)}, {"first": np.zeros(0, np.int64)}):
        np.savez(tmp_path / "wrong.npz", **{**small_pool._asdict(), **wrong})
        with pytest.raises(ValueError, match=r"no arrays|slices end"):
            PrototypePool.read(tmp_path / "wrong.npz")
    (tmp_path / "text.npz").write_text("no archive at all")
    with pytest.raises(ValueError, match="no readable"):
        PrototypePool.read(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="is missing"):
        PrototypePool.read(tmp_path / "none.npz")


def test_a_pool_that_unpacks_to_too_much_is_refused(tmp_path):
    bomb = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("cell.npy", "w") as member,
    ):
        for _ in range(257):
            member.write(bytes(2**20))
    assert bomb.stat().st_size < 2**20
    with pytest.raises(ValueError, match="unpacks to"):
        PrototypePool.read(bomb)


def test_a_header_that_asks_for_more_than_there_is_is_refused(tmp_path):
    path = tmp_path / "greedy.npz"
    with zipfile.ZipFile(path, "w") as packed, packed.open("cell.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(ValueError, match="no readable"):
        PrototypePool.read(path)


def test_a_pool_remembers_where_its_templates_come_from(small_pool, tmp_path):
    assert small_pool.sources == {}
    pool = PrototypePool(*small_pool)
    pool.sources = {"table.parquet": 2, "AFLOW": 1}
    assert pool.digest() == small_pool.digest()  # what is drawn is the same
    assert small_pool.sources == {}
    pool.write(tmp_path / "pool.npz")
    assert PrototypePool.read(tmp_path / "pool.npz").sources == pool.sources
    np.savez(tmp_path / "old.npz", **pool._asdict())
    assert PrototypePool.read(tmp_path / "old.npz").sources == {}


def test_a_common_type_weighs_as_the_root_of_its_number(small_pool):
    template = make(spinel("F d -3 m:2"), [0] * 16 + [1] * 16 + [2] * 32)
    diamond = Crystal.from_sites(
        space_group=227,
        cell=(3.57, 3.57, 3.57, 90, 90, 90),
        elements=["C"],
        positions=[[SPECIAL] * 3],
    )
    pool = build_pool([template] * 4 + [make(diamond, [0] * 8)])
    weight = np.diff(pool.weights, prepend=0.0)
    total = {kind: weight[pool.kind == kind].sum() for kind in set(pool.kind.tolist())}
    assert sorted(total.values()) == pytest.approx([1.0, 2.0])
    assert pool.types()[227] == 2
    assert pool.types().sum() == 2
    assert small_pool.types().sum() == 3

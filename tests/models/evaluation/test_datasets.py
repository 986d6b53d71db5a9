"""Parquet files to structures and patterns: units, parts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.evaluation.datasets import (
    DatasetError,
    count_structures,
    read_patterns,
    read_structures,
)
from ringwatch.models.splits import pattern_part, structure_part


def test_structures_that_are_not_recommended_are_left_out(
    tmp_path, structure_row, write_table
):
    rows = [structure_row(recommended=True), structure_row(recommended=False)]
    path = write_table(tmp_path / "s.parquet", rows)
    assert len(list(read_structures(path))) == count_structures(path) == 1


def test_a_row_that_is_no_crystal_is_none(tmp_path, structure_row, write_table):
    rows = [structure_row(), structure_row(site_element=["Xx", "Al"])]
    good, bad = read_structures(write_table(tmp_path / "s.parquet", rows))
    assert bad is None
    assert good.volume == pytest.approx(2.88**3)
    assert good.part == ""


def test_parts_of_structures_are_kept_apart(tmp_path, structure_row, write_table):
    names = [(f"type {k}", f"Ni{k}Al") for k in range(60)]
    rows = [structure_row(structure_type=t, formula=f) for t, f in names]
    path = write_table(tmp_path / "s.parquet", rows)
    expected = [structure_part(t, f) for t, f in names]
    for part in ("train", "choose", "seen", "test"):
        found = list(read_structures(path, part=part))
        assert [s.row for s in found] == [
            k for k, p in enumerate(expected) if p == part
        ]
        assert {s.part for s in found} == {part}
        assert count_structures(path, part=part) == len(found)
    report = [s.row for s in read_structures(path, part="report")]
    assert report == [k for k, p in enumerate(expected) if p in ("seen", "test")]
    assert len(list(read_structures(path, part="all"))) == 60


def test_a_limited_choice_repeats_and_keeps_row_numbers(
    tmp_path, structure_row, write_table
):
    rows = [structure_row(a=2.88 + 0.01 * k) for k in range(20)]
    path = write_table(tmp_path / "s.parquet", rows)
    found = [s.row for s in read_structures(path, limit=5)]
    assert found == [s.row for s in read_structures(path, limit=5)]
    assert len(found) == count_structures(path, limit=5) == 5
    assert found == sorted(found)
    assert found != [s.row for s in read_structures(path, limit=5, seed=1)]


def test_parts_of_patterns_go_by_group(tmp_path, pattern_row, write_table):
    groups = [f"g{k // 2}" for k in range(20)]
    path = write_table(
        tmp_path / "p.parquet", [pattern_row(group=group) for group in groups]
    )
    for part in ("choose", "test"):
        found = list(read_patterns(path, part=part))
        expected = [g for g in groups if pattern_part(g) == part]
        assert [p.facts.cluster for p in found] == expected
    report = list(read_patterns(path, part="report"))
    assert {p.facts.part for p in report} == {"test"}
    with pytest.raises(DatasetError, match="no rows of part 'seen'"):
        list(read_patterns(path, part="seen"))


def test_a_file_that_tells_no_parts_is_read_whole(
    tmp_path, structure_row, pattern_row, write_table
):
    structures = write_table(tmp_path / "s.parquet", [structure_row()] * 3)
    patterns = write_table(tmp_path / "p.parquet", [pattern_row()] * 3)
    for part in ("report", "choose", "all"):
        assert len(list(read_structures(structures, part=part))) == 3
        found = list(read_patterns(patterns, part=part))
        assert len({p.facts.cluster for p in found}) == 3


def test_measured_rows_are_converted_or_skipped(tmp_path, pattern_row, write_table):
    rows = [
        pattern_row(),
        pattern_row(x_unit="tof"),
        pattern_row(wavelength_A="?"),
        pattern_row(space_group=float("nan")),
        pattern_row(x=[float("nan")], intensity=[1.0]),
        pattern_row(usable_for_sg_scoring=0),
    ]
    found = list(read_patterns(write_table(tmp_path / "p.parquet", rows)))
    assert [p is None for p in found] == [False, True, True, True, True]
    wavelength = (2 * 1.5406 + 1.5444) / 3
    line = found[0].q[found[0].intensity.argmax()]
    half = np.radians(44.35) / 2
    assert line == pytest.approx(4 * np.pi / wavelength * np.sin(half), rel=1e-3)
    assert found[0].facts.q_min == found[0].q[0]
    assert found[0].facts.q_max == found[0].q[-1]


def test_files_that_are_no_data_set_are_refused(tmp_path, structure_row, write_table):
    with pytest.raises(DatasetError, match="no readable Parquet"):
        list(read_structures(tmp_path / "none.parquet"))
    text = tmp_path / "text.parquet"
    text.write_text("not a table")
    with pytest.raises(DatasetError, match="no readable Parquet"):
        list(read_patterns(text))
    row = structure_row()
    del row["site_frac"]
    short = write_table(tmp_path / "short.parquet", [row])
    with pytest.raises(DatasetError, match=r"lacks the columns \['site_frac'\]"):
        list(read_structures(short))


def test_development_data_hold_every_part(shared_data):
    path = shared_data / "structures.parquet"
    sizes = {part: count_structures(path, part=part) for part in ("all", "report")}
    sizes |= {p: count_structures(path, part=p) for p in ("train", "choose", "seen")}
    assert sizes["all"] == 7684
    assert min(sizes.values()) > 400
    assert sizes["train"] > 0.5 * sizes["all"]

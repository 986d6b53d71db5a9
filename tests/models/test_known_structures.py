"""Structures for a library: what CIFs must say, and the command that gathers them."""

from __future__ import annotations

import subprocess
import sys

import gemmi
import numpy as np
import pytest

from ringwatch.models.known_structures import main, read_cif
from ringwatch.models.nearest import Library, LibraryError

CERIA = """data_ceria
_cell_length_a 5.4115
_cell_length_b 5.4115
_cell_length_c 5.4115
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M '{group}'
_chemical_formula_sum 'Ce O2'
_chemical_name_structure_type fluorite
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


ASYMMETRIC = "Ce1 Ce 0 0 0\nO1 O 0.25 0.25 0.25\n"


def whole_cell():
    """All twelve atoms, for P 1."""
    rows = []
    for shift in ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)):
        for name, at in (("Ce", 0.0), ("O", 0.25), ("O", 0.75)):
            x, y, z = (at + s for s in shift)
            rows.append(f"{name} {name} {x} {y} {z}")
    return "\n".join(rows) + "\n"


def test_a_cif_and_its_whole_cell_are_one(tmp_path):
    one, other = tmp_path / "ceria.cif", tmp_path / "p1.cif"
    one.write_text(CERIA.format(group="F m -3 m") + ASYMMETRIC)
    other.write_text(CERIA.format(group="P 1") + whole_cell())
    library = Library.from_cifs([one, other])
    assert library.names == ("Ce O2", "Ce O2")
    assert library.structure_types == ("fluorite", "fluorite")
    assert library.space_groups.tolist() == [225, 1]
    np.testing.assert_allclose(
        library.fingerprints[0], library.fingerprints[1], atol=1e-4
    )
    q = np.arange(0.5, 5.5, 0.003)
    # 111, 200, 220, 311 of a = 5.4115 with their powder intensities (PDF 34-394).
    y = np.zeros(len(q))
    for n2, height in (
        (3, 100),
        (4, 30),
        (8, 52),
        (11, 42),
        (12, 8),
        (16, 8),
        (19, 14),
    ):
        at = 2 * np.pi * np.sqrt(n2) / 5.4115
        y += height * np.exp(-(((q - at) / 0.01) ** 2))
    best = library.search(q, y)[0]
    assert best.known
    assert best.scale == pytest.approx(1.0, abs=0.006)


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("", "names no symmetry"),
        ("_symmetry_space_group_name_H-M ?\n", "names no symmetry"),
        ("_symmetry_space_group_name_H-M 'Q 9 z'\n", "unknown space group 'Q 9 z'"),
        ("_symmetry_Int_Tables_number 227\n", "227, which has 2 settings"),
    ],
)
def test_a_cif_must_say_its_symmetry(tmp_path, said, because):
    """Two listed atoms are not twelve: an asymmetric unit is no P 1 structure."""
    path = tmp_path / "ceria.cif"
    stated = "_symmetry_space_group_name_H-M '{group}'\n"
    path.write_text(CERIA.replace(stated, said) + ASYMMETRIC)
    with pytest.raises(LibraryError, match=because) as caught:
        read_cif(path)
    assert "ceria.cif" in str(caught.value)


def test_symmetry_that_is_no_group_is_refused(tmp_path):
    """gemmi would take the listed atoms for all there are."""
    path = tmp_path / "ceria.cif"
    stated = "_symmetry_space_group_name_H-M '{group}'\n"
    for wrong in ("-x,garbage", "x+1/5,y,z"):
        said = f"loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n'{wrong}'\n"
        path.write_text(CERIA.replace(stated, said) + ASYMMETRIC)
        with pytest.raises(LibraryError, match="unreadable or no group"):
            read_cif(path)
    alone = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
    path.write_text(CERIA.replace(stated, alone) + ASYMMETRIC)
    assert read_cif(path)[0][2] == 1


def test_atoms_that_nobody_located_are_left_out(tmp_path):
    full, more = tmp_path / "full.cif", tmp_path / "more.cif"
    text = CERIA.format(group="F m -3 m")
    full.write_text(text + ASYMMETRIC)
    more.write_text(text + ASYMMETRIC + "H1 H ? ? ?\n")
    np.testing.assert_array_equal(read_cif(more)[0][3], read_cif(full)[0][3])
    more.write_text(text + "H1 H . . .\nO1 O 0.5 ? .\n")
    with pytest.raises(LibraryError, match="no atoms with coordinates"):
        read_cif(more)


@pytest.mark.parametrize(
    "said",
    [
        "_symmetry_Int_Tables_number 225\n",
        "_symmetry_space_group_name_Hall '-F 4 2 3'\n",
        "loop_\n_symmetry_equiv_pos_as_xyz\n"
        + "".join(
            f"'{op.triplet()}'\n" for op in gemmi.SpaceGroup("F m -3 m").operations()
        ),
    ],
)
def test_symmetry_may_be_said_in_several_ways(tmp_path, said):
    stated = "_symmetry_space_group_name_H-M '{group}'\n"
    full, other = tmp_path / "full.cif", tmp_path / "other.cif"
    full.write_text(CERIA.format(group="F m -3 m") + ASYMMETRIC)
    other.write_text(CERIA.replace(stated, said) + ASYMMETRIC)
    assert read_cif(other)[0][2] == 225
    np.testing.assert_array_equal(read_cif(other)[0][3], read_cif(full)[0][3])


def test_one_bad_cif_does_not_end_the_library(tmp_path, caplog):
    good, bad = tmp_path / "good.cif", tmp_path / "bad.cif"
    good.write_text(CERIA.format(group="F m -3 m") + ASYMMETRIC)
    bad.write_text("no cif at all")
    library = Library.from_cifs([bad, good, tmp_path / "none.cif"])
    assert library.names == ("Ce O2",)
    assert library.space_groups.tolist() == [225]
    warned = [record.getMessage() for record in caplog.records]
    assert any("bad.cif is no readable CIF" in line for line in warned)
    assert any("none.cif is missing" in line for line in warned)
    assert warned[-1] == "2 of 3 CIFs were left out"
    with pytest.raises(LibraryError, match=r"none of 2 CIFs .*bad\.cif"):
        Library.from_cifs([bad, tmp_path / "none.cif"])


def test_the_command_joins_tables_and_cifs(tmp_path, structure_row, write_table):
    table = write_table(tmp_path / "s.parquet", [structure_row(formula="NiAl")] * 2)
    cif = tmp_path / "ceria.cif"
    cif.write_text(CERIA.format(group="F m -3 m") + ASYMMETRIC)
    out = tmp_path / "known.npz"
    main([str(out), str(table), str(cif)])
    library = Library.read(out)
    assert library.names == ("NiAl", "NiAl", "Ce O2")
    assert library.space_groups.tolist() == [221, 221, 225]
    with pytest.raises(LibraryError, match="no structures"):
        main([str(out)])
    with pytest.raises(LibraryError, match="nothing named"):
        main([])
    module = "ringwatch.models.known_structures"
    done = subprocess.run(
        [sys.executable, "-m", module, str(out), str(tmp_path / "none.cif")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("known_structures: ")
    assert "none.cif is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_says_what_it_took_and_what_it_needs(tmp_path, capsys):
    cif, out = tmp_path / "ceria.cif", tmp_path / "known.npz"
    cif.write_text(CERIA.format(group="F m -3 m") + ASYMMETRIC)
    main([str(out), str(cif), str(cif)])
    assert capsys.readouterr().out == f"{out}: 2 structures (2 from 2 CIF(s))\n"
    main(["--help"])
    assert capsys.readouterr().out.startswith("usage: ")
    with pytest.raises(LibraryError, match=r"usage: .*LIBRARY\.npz FILE"):
        main([])


def test_a_forgotten_library_name_costs_no_cif(tmp_path):
    one, other = tmp_path / "one.cif", tmp_path / "other.cif"
    text = CERIA.format(group="F m -3 m") + ASYMMETRIC
    one.write_text(text)
    other.write_text(text)
    with pytest.raises(LibraryError, match=r"no \.npz file: .*one\.cif\nusage: "):
        main([str(one), str(other)])
    assert one.read_text() == text
    with pytest.raises(LibraryError, match="absent is no folder"):
        main([str(tmp_path / "absent" / "known.npz"), str(one)])
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(LibraryError, match="cannot be written"):
        main([str(tmp_path / "taken.npz"), str(one)])


@pytest.mark.parametrize("said", ["?", ".", "0", "-5"])
@pytest.mark.parametrize("tag", ["_cell_length_a", "_cell_angle_beta"])
def test_a_cif_must_say_its_cell(tmp_path, tag, said):
    path = tmp_path / "ceria.cif"
    text = CERIA.format(group="F m -3 m") + ASYMMETRIC
    lines = [
        f"{tag} {said}" if line.startswith(tag) else line for line in text.split("\n")
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(LibraryError, match=rf"ceria\.cif: its {tag} is "):
        read_cif(path)


@pytest.mark.parametrize("angle", [150, 180, 360])
def test_a_cell_that_cannot_be_is_refused(tmp_path, angle):
    path = tmp_path / "ceria.cif"
    text = CERIA.format(group="P 1") + ASYMMETRIC
    text = text.replace("_alpha 90", f"_alpha {angle}").replace("_beta 90", "_beta 20")
    path.write_text(text)
    with pytest.raises(LibraryError, match=r"ceria\.cif: .*angle"):
        read_cif(path)


def test_a_symbol_and_a_number_that_differ_are_refused(tmp_path):
    path = tmp_path / "ceria.cif"
    text = CERIA.format(group="F m -3 m") + ASYMMETRIC
    number = "_symmetry_Int_Tables_number {}\nloop_"
    path.write_text(text.replace("loop_", number.format(14)))
    with pytest.raises(LibraryError, match=r"'F m -3 m', which is number 225.*14"):
        read_cif(path)
    path.write_text(text.replace("loop_", number.format(225)))
    assert read_cif(path)[0][2] == 225


def test_all_structures_of_a_cif_are_taken(tmp_path, caplog):
    path, alone = tmp_path / "two.cif", tmp_path / "alone.cif"
    first = CERIA.format(group="F m -3 m") + ASYMMETRIC
    second = first.replace("data_ceria", "data_b").replace("Ce", "Th")
    alone.write_text(second)
    path.write_text(f"data_about\n_journal_year 1999\n{first}{second}")
    ceria, thoria = read_cif(path)
    assert (ceria[0], thoria[0]) == ("Ce O2", "Th O2")
    np.testing.assert_array_equal(thoria[3], read_cif(alone)[0][3])
    assert not caplog.records
    path.write_text(first.replace("_a 5.4115", "_a ?") + second)
    assert [entry[0] for entry in read_cif(path)] == ["Th O2"]
    assert "_cell_length_a is ?" in caplog.records[0].getMessage()

"""Image files that would take all memory, or for ever: refused with the reason."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import fabio
import numpy as np
import pytest
from PIL import Image

from ringwatch.agent.errors import ForbiddenFrameError, FrameReadError
from ringwatch.agent.files.images import read_image

from .tiff_files import BITS, LONG, SHORT, STRIPS, Entry, image_entries, tiff

MOST = 1 << 24
MANY = 1_000_000
SMALL = image_entries(6, 5, 16, 60)
PIXELS = np.arange(30, dtype="<u2").tobytes()

FUZZING = Path(__file__).parents[1] / "endure" / "fuzzing"

READ = """
import resource, sys
from pathlib import Path
from guard import peak_kb
from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.files.images import read_image
user_s = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime
kb, s = peak_kb(), user_s()
try:
    read_image(Path(sys.argv[1]), announced=True, most_bytes=1 << 24)
except FrameReadError as error:
    print(peak_kb() - kb, user_s() - s, error)
"""


def cost(path: Path) -> tuple[float, float, str]:
    """MiB and seconds that a refusal took, and its reason."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(FUZZING)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (30, 30)),
    )
    grown, took, why = done.stdout.split(" ", 2)
    return float(grown) / 1024, float(took), why


def with_values(entries: list[Entry], size: int) -> bytes:
    """A file as long as the values of its entries need it, all in the same place."""
    return tiff(entries, pixels=bytes(2000)) + b"\x34\x12" * size


BOMBS = {
    "a tag again and again": (
        with_values([(STRIPS, SHORT, MANY, 3000)] * 60, MANY + 1000),
        "comes twice",
    ),
    "many values": (
        with_values([*SMALL[:5], (STRIPS, SHORT, 3 * MANY, 3000)], 3 * MANY + 1000),
        "values",
    ),
    "the same values for many tags": (
        with_values([(n, 7, MANY, 3000) for n in range(300, 4000)], MANY // 2 + 60_000),
        "more than the file",
    ),
    "many tags": (tiff([(n, LONG, 1, 0) for n in range(60_000)]), "60000 entries"),
    "endless tags": (tiff(SMALL, big=True, told=1 << 50) + bytes(1 << 23), "entries"),
    "a circle": (tiff(SMALL, pixels=PIXELS, following=76), "circle"),
    "many directories": (
        tiff(SMALL, pixels=PIXELS, following=190)
        + b"".join(struct.pack("<HI", 0, 196 + 6 * n) for n in range(100_000)),
        "directories",
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_directories_that_cost_much(kind: str, tmp_path: Path) -> None:
    whole, why = BOMBS[kind]
    path = tmp_path / "bomb.tif"
    path.write_bytes(whole)
    grown, took, told = cost(path)
    assert why in told
    assert grown < 64
    assert took < 2


def test_bytes_are_compared_not_pixels(tmp_path: Path) -> None:
    """A few kB that unpack to four times what is allowed."""
    path = tmp_path / "floats.tif"
    floats = np.zeros((4000, 4000), np.float32)
    Image.fromarray(floats).save(path, compression="tiff_adobe_deflate")
    with pytest.raises(ForbiddenFrameError, match="64000000 bytes"):
        read_image(path, announced=True, most_bytes=MOST)
    assert read_image(path, most_bytes=floats.nbytes).nbytes == floats.nbytes


def test_so_are_those_of_cbf(tmp_path: Path) -> None:
    """Others are as large as their files at least."""
    path = tmp_path / "a.cbf"
    pixels = np.zeros((1000, 1000), np.int32)
    fabio.cbfimage.CbfImage(data=pixels).write(str(path))
    with pytest.raises(ForbiddenFrameError, match="4000000 bytes"):
        read_image(path, announced=True, most_bytes=pixels.nbytes - 1)
    assert read_image(path, most_bytes=2 * pixels.nbytes).nbytes == pixels.nbytes


@pytest.mark.parametrize("kind", [1, 8])
def test_bits_of_a_strange_type_are_taken_for_many(kind: int, tmp_path: Path) -> None:
    """Fabio reads them: 64 each here."""
    entries = image_entries(1 << 11, 1 << 11, 64, 1 << 10)
    path = tmp_path / "a.tif"
    strange = [(BITS, kind, 1, 64) if e[0] == BITS else e for e in entries]
    path.write_bytes(tiff(strange, pixels=bytes(1 << 10)))
    with pytest.raises(ForbiddenFrameError, match="33554432 bytes"):
        read_image(path, announced=True, most_bytes=MOST)


def test_images_of_several_pages_are_read(tmp_path: Path) -> None:
    """The first of them; also where it was written last."""
    path = tmp_path / "pages.tif"
    pages = [Image.fromarray(np.full((5, 6), n, np.uint16)) for n in range(40)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert (read_image(path, announced=True, most_bytes=MOST) == 0).all()
    first = tiff(SMALL, pixels=PIXELS)
    moved = first[:4] + struct.pack("<I", len(first)) + first[8:]
    path.write_bytes(moved + tiff(SMALL, following=76)[16:])
    image = read_image(path, announced=True, most_bytes=MOST)
    assert image.tobytes() == PIXELS


def test_an_edf_leads_to_no_other_file(tmp_path: Path) -> None:
    """Fabio would read pixels from there: of a secret, or of a pipe for ever."""
    path = tmp_path / "a.edf"
    (tmp_path / "secret").write_bytes(b"A" * 60)
    where = b"\nEDF_BinaryFileName = secret ;\nEDF_BinaryFileSize = 60 ;\n"
    fabio.edfimage.EdfImage(data=np.ones((5, 6), np.uint16)).write(str(path))
    assert read_image(path, announced=True).shape == (5, 6)
    head, _, pixels = path.read_bytes().partition(b"}\n")
    path.write_bytes((head.rstrip() + where).ljust(1022) + b"}\n" + pixels)
    for announced in (True, False):
        with pytest.raises(FrameReadError, match="another file"):
            read_image(path, announced=announced)


EDF = """{
ByteOrder = LowByteFirst ;
DataType = UnsignedShort ;
Dim_1 = 6 ;
Dim_2 = 5 ;
"""


def edf(*told: str, image: bytes = b"") -> bytes:
    """A header that tells some more, and what is behind it."""
    return (
        (EDF + "".join(f"{t} ;\n" for t in told)).encode().ljust(510) + b"}\n" + image
    )


def test_an_edf_whose_sizes_lead_back_or_go_on(tmp_path: Path) -> None:
    """Only the first image is looked at: fabio would go after the others for ever."""
    path = tmp_path / "a.edf"
    sound = edf("Size = 60", image=PIXELS)
    for whole in (
        sound + edf("Size = -512", image=bytes(10)),
        sound + edf("Size = 1", image=b"a") * 20_000,
        edf(image=PIXELS),
        edf(image=PIXELS) + edf("Size = -512", image=bytes(10)),
        edf("EDF_DataFormatVersion = 2.40") + sound,
        edf("EDF_DataFormatVersion = 2.40", "EDF_BinarySize = 9", image=b"123456789")
        + sound
        + edf("EDF_BinarySize = -512", image=bytes(10)),
    ):
        path.write_bytes(whole)
        assert read_image(path, announced=True, most_bytes=MOST).tobytes() == PIXELS
    for strange in (
        ["Size = -512"],
        ["EDF_BinarySize = -1"],
        ["EDF_BinarySize = -1", "edf_binarysize = 60"],
        ["Size = 6000", "size = 60"],
        ["Dim_2 = -5"],
        ["Size = 58"],
    ):
        path.write_bytes(edf(*strange, image=PIXELS) + edf("Size = 1") * 20)
        with pytest.raises(FrameReadError):
            read_image(path, announced=True, most_bytes=MOST)

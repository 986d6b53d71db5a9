"""Torn files for the readers of frames, images and patterns, and what must hold."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from guard import check_refusal
from router import Below

from ringwatch.agent.assets import HDF5
from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.files.images import read_image
from ringwatch.agent.files.patterns import is_pattern_file, read_axis, read_pattern
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FileLocator, FrameRef

MOST_BYTES = 1 << 22
"""Of an image; those of the corpus have a thousand, some drawn ones more than that."""

NUMBERS = tuple(
    struct.pack(form, value)
    for value in (0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 10**12)
    for form in ("<Q", ">Q")
)
WORDS = (
    b"1e999 ",
    b"nan\n",
    b"1,5 2,5\n",
    b"-",
    b"# ",
    b"\n" * 300,
    b"999999999999",
    b'"wavelength": 0\n',
    b"2th_deg",
    b"Size = -512 ;",
    b"EDF_BinaryFileName = torn.tif ;",
    b"\x00",
    b"\xff\xfe",
)


def torn_file(whole: bytes, others: list[bytes], below: Below) -> bytes:
    """A file, changed in one to three places."""
    file = bytearray(whole)
    for _ in range(1 + below(3)):
        # Heads say how large things are: half of the changes go there.
        reach = len(file) if below(2) else min(len(file), 600)
        at, what = below(reach + 1), below(16)
        if what < 6 and at < len(file):
            file[at] ^= 1 << below(8)
        elif what < 9:
            number = NUMBERS[below(len(NUMBERS))]
            number = number[: 1 << below(4)]
            file[at : at + len(number)] = number
        elif what < 11:
            file[at:at] = WORDS[below(len(WORDS))]
        elif what < 13:
            del file[at : at + 1 + below(40)]
        elif what == 13:
            del file[at:]
        else:
            other = others[below(len(others))]
            cut = below(len(other) + 1)
            file[at : at + len(other) - cut] = other[cut:]
    return bytes(file)


class ReadersCheck:
    """Writes a file and has it read by whoever reads such files.

    Parameters
    ----------
    folder : Path
        Where it is written, again and again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, given: tuple[str, bytes]) -> bool:
        """Whether it could be read; given its name and content."""
        name, content = given
        path = self._folder / name
        # Written over: making a file shorter costs far more than anything else here.
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(content)
            file.truncate()
        try:
            self._read(path, announced=len(content) % 2 == 1)
        except RingwatchError as error:
            check_refusal(error, 2000)
            return False
        return True

    def _read(self, path: Path, *, announced: bool) -> None:
        """As a user has it read; or, what holds an image, as a document has it."""
        if is_pattern_file(path):
            read_axis(path)
            for unit, wavelength in ((None, None), ("2theta_deg", 1.54)):
                pattern = read_pattern(path, unit=unit, wavelength=wavelength)
                assert np.isfinite(pattern.q).all()
                assert np.isfinite(pattern.intensity).all()
                assert pattern.q.shape == pattern.intensity.shape
            return
        if path.suffix == ".h5":
            reader = FrameReader(
                roots=(path.parent,), timeout_s=0, max_frame_bytes=MOST_BYTES
            )
            try:
                image = reader.read(_ref(path))
            finally:
                reader.close()
        else:
            image = read_image(path, most_bytes=MOST_BYTES, announced=announced)
        assert image.ndim == 2
        assert image.nbytes <= MOST_BYTES


def _ref(path: Path) -> FrameRef:
    return FrameRef(
        run_uid="run",
        stream="primary",
        data_key="image",
        index=0,
        seq_num=1,
        time=0.0,
        locator=FileLocator(path=path, mimetype=HDF5, dataset="data", start=1),
    )

"""Hostile documents and files: refused with the reason, and the next run is judged.

One real agent takes them all, one after the other, and real files.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from bluesky import RunEngine
from PIL import Image

from ringwatch.agent import Agent
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.scenarios import powder_beamline

FRAMES, MOST_BYTES = 3, 1 << 24
SHAPE = (256, 256)
DATASET = "entry/data/data"
Change = Callable[[str, dict[str, Any]], Any]


class Watch:
    """An agent, and a good run of which hostile ones are made."""

    def __init__(self, folder: Path) -> None:
        self.outside, self.folder = folder / "outside", folder / "data"
        self.outside.mkdir()
        beamline = powder_beamline(self.folder, detector=SHAPE[0])
        self.good_run: list[NamedDocument] = []
        engine = RunEngine({})
        engine.subscribe(lambda name, doc: self.good_run.append((name, doc)))
        engine(beamline.step_scan(FRAMES))
        self.sink = MemorySink()
        self.agent = Agent(
            poni=beamline.poni_path,
            mask=beamline.mask_path,
            classifier="none",
            sinks=(self.sink,),
            data_roots=(self.folder,),
            max_frame_bytes=MOST_BYTES,
            read_timeout_s=0.0,
        )
        self._numbers = itertools.count()

    def again(self) -> list[NamedDocument]:
        """The good run with uids of its own."""
        told = [
            d["uid"] for n, d in self.good_run if n not in ("event", "stream_datum")
        ]
        number = next(self._numbers)

        def renamed(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: renamed(inner) for key, inner in value.items()}
            if isinstance(value, str):
                for uid in told:
                    value = value.replace(uid, f"{uid}-{number}")
            return value

        return [(name, renamed(doc)) for name, doc in self.good_run]

    def take(self, documents: list[NamedDocument]) -> list[dict[str, Any]]:
        """Verdicts that come of some documents."""
        before = len(self.sink.documents)
        for name, doc in documents:
            self.agent(name, doc)
        assert self.agent.wait_idle(60)
        new = self.sink.documents[before:]
        return [doc["data"] for name, doc in new if name == "event"]

    def take_changed(self, change: Change) -> list[dict[str, Any]]:
        """Verdicts of a run, of which ``change`` gives each document, or several."""
        documents: list[NamedDocument] = []
        for name, doc in self.again():
            changed = change(name, dict(doc))
            documents += changed if isinstance(changed, list) else [(name, changed)]
        return self.take(documents)

    def still_works(self) -> None:
        """The next good run gets its verdicts."""
        found = self.take(self.again())
        assert [v["verdict"] for v in found] == ["good"] * FRAMES, found
        assert all(v["final"] for v in found)


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    made = Watch(tmp_path_factory.mktemp("hostile"))
    made.still_works()
    yield made
    assert made.agent.close()


# Files.


def frames(path: Path, **how: Any) -> Path:
    """A sound file with as many frames as the run."""
    with h5py.File(path, "w", libver="latest") as file:
        pixels = np.zeros((FRAMES, *SHAPE), np.uint16)
        file.create_dataset(DATASET, data=pixels, **how)
    return path


def outside(watch: Watch) -> Path:
    return frames(watch.outside / "frames.h5")


def traversal(watch: Watch) -> Path:
    return watch.folder / ".." / outside(watch).relative_to(watch.folder.parent)


def link(watch: Watch) -> Path:
    path = watch.folder / "link.h5"
    path.symlink_to(outside(watch))
    return path


def linked_folder(watch: Watch) -> Path:
    (watch.folder / "way").symlink_to(watch.outside)
    return watch.folder / "way" / outside(watch).name


def device(watch: Watch) -> Path:
    path = watch.folder / "device.h5"
    path.symlink_to("/dev/zero")
    return path


def pipe(watch: Watch) -> Path:
    path = watch.folder / "pipe.h5"
    os.mkfifo(path)
    return path


def pipe_of_pixels(watch: Watch) -> Path:
    """A file whose pixels lie in another one, by HDF5's external storage."""
    os.mkfifo(watch.folder / "pixels.bin")
    path, size = watch.folder / "external.h5", 2 * FRAMES * math.prod(SHAPE)
    with h5py.File(path, "w") as file:
        told = [(str(watch.folder / "pixels.bin"), 0, size)]
        file.create_dataset(DATASET, (FRAMES, *SHAPE), "u2", external=told)
    return path


def truncated(watch: Watch) -> Path:
    path = frames(watch.folder / "cut.h5")
    path.write_bytes(path.read_bytes()[:5000])
    return path


def damaged_and_open(watch: Watch) -> Path:
    """It claims that somebody writes it, and its checksum is wrong."""
    path = frames(watch.folder / "open.h5")
    whole = bytearray(path.read_bytes())
    whole[11] |= 4
    path.write_bytes(whole)
    return path


def endless_list(watch: Watch) -> Path:
    """A virtual dataset; HDF5 alone would go over its list for ever."""
    path, size = watch.folder / "virtual.h5", (FRAMES, *SHAPE)
    layout = h5py.VirtualLayout(size, "u2")
    layout[:] = h5py.VirtualSource(str(frames(watch.folder / "a.h5")), DATASET, size)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset(DATASET, layout)
    whole = bytearray(path.read_bytes())
    heap = whole.index(b"GCOL")
    first = heap + 16
    length = -(-int.from_bytes(whole[first + 8 : first + 16], "little") // 8) * 8
    free = first + 16 + length
    whole[free + 8 : free + 16] = bytes(8)
    path.write_bytes(whole)
    return path


def terapixels(watch: Watch) -> Path:
    path = watch.folder / "large.h5"
    with h5py.File(path, "w") as file:  # 1e12 and more, and none on the disk
        shape, chunk = (FRAMES, 1 << 20, 1 << 20), (1, 1 << 10, 1 << 10)
        file.create_dataset(DATASET, shape, "u2", chunks=chunk)
    return path


def large_chunk(watch: Watch) -> Path:
    path = watch.folder / "chunk.h5"
    with h5py.File(path, "w") as file:
        chunk, free = (1 << 14, *SHAPE), (None, *SHAPE)
        file.create_dataset(
            DATASET, (FRAMES, *SHAPE), "u2", chunks=chunk, maxshape=free, **GZIP
        )
    return path


GZIP: dict[str, Any] = {"compression": "gzip"}
BSLZ4: dict[str, Any] = dict(hdf5plugin.Bitshuffle(cname="lz4"))


def with_chunk(watch: Watch, name: str, chunk: bytes, how: dict[str, Any]) -> Path:
    """A file with the same packed chunk for each frame."""
    path = watch.folder / name
    with h5py.File(path, "w", libver="latest") as file:
        size, of_one = (FRAMES, *SHAPE), (1, *SHAPE)
        data = file.create_dataset(DATASET, size, "u2", chunks=of_one, **how)
        for number in range(FRAMES):
            data.id.write_direct_chunk((number, 0, 0), chunk)
    return path


def gzip_bomb(watch: Watch) -> Path:
    """128 KiB are declared, 100 MiB come."""
    return with_chunk(watch, "gz.h5", zlib.compress(bytes(100 << 20), 9), GZIP)


def gzip_of_little(watch: Watch) -> Path:
    return with_chunk(watch, "little.h5", zlib.compress(b"0123456789"), GZIP)


def lz4_bomb(watch: Watch) -> Path:
    """It tells of a terabyte."""
    told = (1 << 40).to_bytes(8, "big") + (8192).to_bytes(4, "big")
    return with_chunk(watch, "lz4.h5", told + bytes(1000), BSLZ4)


def lz4_beyond(watch: Watch) -> Path:
    """A block goes on after the end of the chunk."""
    size = 2 * math.prod(SHAPE)
    told = size.to_bytes(8, "big") + (8192).to_bytes(4, "big")
    return with_chunk(watch, "on.h5", told + (1 << 30).to_bytes(4, "big"), BSLZ4)


FILES = {
    outside: "allowed folders",
    traversal: "allowed folders",
    link: "allowed folders",
    linked_folder: "allowed folders",
    device: "allowed folders",
    pipe: "no regular file",
    pipe_of_pixels: "which is no file",
    truncated: "truncated",
    damaged_and_open: "checksum",
    endless_list: "made to do damage",
    terapixels: "max_frame_bytes",
    large_chunk: "max_frame_bytes",
    gzip_bomb: "it goes on",
    gzip_of_little: "cannot be read|unpacked",
    lz4_bomb: "tells of 1099511627776",
    lz4_beyond: "beyond its end",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("made", FILES, ids=lambda made: made.__name__)
def test_hostile_files_are_unknown_with_the_reason(
    made: Callable[[Watch], Path], watch: Watch
) -> None:
    uri = f"file://localhost{made(watch)}"

    def elsewhere(name: str, doc: dict[str, Any]) -> Any:
        return doc | ({"uri": uri} if name == "stream_resource" else {})

    found = [v for v in watch.take_changed(elsewhere) if v["verdict"] == "unknown"]
    assert len(found) == FRAMES
    assert all(any(w in v["reason"] for w in FILES[made].split("|")) for v in found)
    watch.still_works()


def tiff_bomb(folder: Path) -> Path:
    """A small TIFF that unpacks to 64 MiB."""
    path = folder / "bomb.tif"
    image = Image.fromarray(np.zeros((8192, 8192), np.uint8))
    image.save(path, compression="tiff_adobe_deflate")
    return path


def hdf5_as_tiff(folder: Path) -> Path:
    """Fabio would follow its links out of the data roots."""
    path = folder / "disguised.tif"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("/etc/passwd", "x")
    return path


@pytest.mark.parametrize(
    ("made", "why"), [(tiff_bomb, "max_frame_bytes"), (hdf5_as_tiff, "no TIFF")]
)
def test_hostile_images_are_unknown_with_the_reason(
    made: Callable[[Path], Path], why: str, watch: Watch
) -> None:
    told = {"uri": f"file://localhost{made(watch.folder)}", "mimetype": "image/tiff"}

    def elsewhere(name: str, doc: dict[str, Any]) -> Any:
        return doc | (told if name == "stream_resource" else {})

    found = watch.take_changed(elsewhere)
    assert [v["verdict"] for v in found] == ["unknown"] * FRAMES
    assert why in found[0]["reason"]
    watch.still_works()


# Documents.

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: Any = 0
for _ in range(5000):
    DEEP = [DEEP]


def with_shape(shape: Any) -> Change:
    def change(name: str, doc: dict[str, Any]) -> Any:
        if name != "descriptor":
            return doc
        keys = doc["data_keys"].items()
        image = {k: {**told, "shape": shape} for k, told in keys if "external" in told}
        return doc | {"data_keys": doc["data_keys"] | image}

    return change


def with_value(kind: str, **values: Any) -> Change:
    return lambda name, doc: doc | values if name == kind else doc


def twice(kind: str) -> Change:
    return lambda name, doc: [(name, doc)] * (2 if name == kind else 1)


def before_its_start(name: str, doc: dict[str, Any]) -> Any:
    if name == "start":
        return [("stop", {"uid": "early", "run_start": doc["uid"]}), (name, doc)]
    return doc


DOCUMENTS: dict[str, tuple[Change, str]] = {
    "1e12 pixels": (with_shape([10**6, 10**6]), "no frames have the shape"),
    "1e12 frames a point": (with_shape([10**12, 256, 256]), "frames at once"),
    "negative": (with_shape([-256, 256]), "descriptor"),
    "not a number": (with_shape([math.nan, 256]), "malformed 'descriptor'"),
    "1e300": (with_shape([1e300, 256]), "no frames have the shape"),
    "a billion references": (
        with_value("stream_datum", indices={"start": 0, "stop": 10**9}),
        "frames at once",
    ),
    "unknown descriptor": (with_value("event", descriptor="gone"), "never came"),
    "a descriptor of itself": (
        lambda n, d: d | {"run_start": d["uid"]} if n == "descriptor" else d,
        "whose start never came",
    ),
    "a stop before its start": (before_its_start, "whose start never came"),
    "a stop of nobody": (with_value("stop", run_start="nobody"), "nobody"),
    "two starts": (twice("start"), "a second start"),
    "two descriptors": (twice("descriptor"), "a second descriptor"),
    "wild number": (with_value("event", seq_num=10**40), "malformed 'event'"),
    "infinite number": (with_value("event", seq_num=math.inf), "malformed 'event'"),
    "deep": (with_value("stream_resource", mimetype=DEEP), "malformed"),
    "in a circle": (with_value("descriptor", data_keys={"a": CIRCLE}), "malformed"),
    "long": (with_value("stream_datum", descriptor="x" * 10**7), "descriptor"),
    "keys that are no texts": (
        with_value("descriptor", data_keys={1: {"dtype": "array", "shape": [9, 9]}}),
        "malformed 'descriptor'",
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_hostile_documents_are_refused_with_the_reason(
    kind: str, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    change, why = DOCUMENTS[kind]
    caplog.set_level(logging.ERROR)
    malformed = watch.agent.counters.malformed
    watch.take_changed(change)
    watch.agent._inbox.put("nonsense", {})
    watch.still_works()
    assert watch.agent.counters.malformed > malformed
    assert why in caplog.text
    assert "Traceback" not in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 2000


def test_a_run_whose_documents_come_twice_has_each_verdict_once(watch: Watch) -> None:
    found = watch.take_changed(lambda n, d: [(n, d)] * (1 if n == "event" else 2))
    assert sorted(v["raw_index"] for v in found if v["final"])[:FRAMES] == [0, 1, 2]
    watch.still_works()

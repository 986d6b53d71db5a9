"""What the fuzz starts from: documents of real runs, and real files of each kind."""

from __future__ import annotations

import gzip
import re
import warnings
from pathlib import Path
from typing import Any

import fabio
import h5py
import hdf5plugin
import msgpack_numpy
import numpy as np
from bluesky import RunEngine
from PIL import Image

from ringwatch.simulated_beamline.area_detector import DatumDetector, InlineDetector
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import fly, step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

SHAPE = (20, 24)
HERE = "where/the/files/are"
"""Stands for the folder, in paths of stored documents."""

_UID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")


def make_corpus(folder: Path) -> None:
    """Runs into ``runs.msgpack``, their files and others into ``files``."""
    files = folder / "files"
    files.mkdir(parents=True)
    runs = Plain(files)(_runs(files))
    told = {"here": HERE, "runs": runs}
    folder.joinpath("runs.msgpack").write_bytes(msgpack_numpy.packb(told))
    pixels = np.random.default_rng(7).poisson(40, SHAPE).astype(np.uint16)
    _write_frames(files, pixels)
    _write_images(files, pixels)
    _write_patterns(files)


class Plain:
    """Makes documents the same each time: uids, times and paths give way to others."""

    def __init__(self, files: Path) -> None:
        self._files = files
        self._uids: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self(inner) for inner in value]
        if isinstance(value, float) and value > 1e9:
            return 1.7e9
        if isinstance(value, str):
            here = str(self._files).lstrip(
                "/"
            )  # classic resources have a root beside it
            return _UID.sub(self._rename, value.replace(here, HERE))
        return value

    def _rename(self, found: re.Match[str]) -> str:
        uid = found.group()
        if uid not in self._uids:
            self._uids[uid] = f"uid{len(self._uids)}"
            for file in self._files.glob(f"{uid}.*"):
                file.rename(file.with_stem(self._uids[uid]))
        return self._uids[uid]


def _runs(files: Path) -> list[list[tuple[str, dict[str, Any]]]]:
    """A step scan in each of the three styles, and a flight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = RunEngine({})
    runs: list[list[Any]] = []
    for style in (InlineDetector, DatumDetector, StreamDetector):
        detector = style(
            name="det",
            source=ListedFrames.blank((4, 5)),
            folder=files,
            exposure_time=1e-4,
        )
        plans = [step_scan(detector, 2)]
        if style is StreamDetector:
            plans.append(fly(detector, 3))
        for plan in plans:
            runs.append([])
            token = engine.subscribe(lambda name, doc: runs[-1].append((name, doc)))
            engine(plan)
            engine.unsubscribe(token)
    return [[(n, d) for n, d in run if _is_wanted(d, run)] for run in runs]


def _is_wanted(doc: dict[str, Any], run: list[Any]) -> bool:
    """Not the truth that the simulation tells in a stream of its own."""
    truths = {d["uid"] for n, d in run if n == "descriptor" and d["name"] == "truth"}
    return doc.get("uid") not in truths and doc.get("descriptor") not in truths


def _write_frames(files: Path, pixels: np.ndarray) -> None:
    frames = np.stack([pixels] * 3)
    kinds: dict[str, dict[str, Any]] = {
        "bslz4": {**hdf5plugin.Bitshuffle(cname="lz4"), "chunks": (1, *SHAPE)},
        "bszstd": {**hdf5plugin.Bitshuffle(cname="zstd"), "chunks": (2, *SHAPE)},
        "gzip": {"compression": "gzip", "shuffle": True, "chunks": (1, 10, 12)},
        "lz4": {**hdf5plugin.LZ4(), "chunks": (1, *SHAPE)},
        "zstd": {**hdf5plugin.Zstd(), "chunks": (1, *SHAPE)},
        "plain": {},
    }
    for kind, how in kinds.items():
        for libver in ("earliest", "latest"):
            with h5py.File(files / f"{kind}_{libver}.h5", "w", libver=libver) as file:
                file.create_dataset("data", data=frames, **how)
    with h5py.File(files / "links.h5", "w") as file:
        layout = h5py.VirtualLayout((3, *SHAPE), "u2")
        layout[:] = h5py.VirtualSource("bslz4_latest.h5", "data", (3, *SHAPE))
        file.create_virtual_dataset("virtual", layout)
        file["data"] = h5py.SoftLink("/virtual")


def _write_images(files: Path, pixels: np.ndarray) -> None:
    fabio.tifimage.TifImage(data=pixels).write(str(files / "strip.tif"))
    Image.fromarray(pixels).save(files / "zip.tif", compression="tiff_adobe_deflate")
    fabio.cbfimage.CbfImage(data=pixels.astype(np.int32)).write(str(files / "a.cbf"))
    fabio.edfimage.EdfImage(data=pixels).write(str(files / "a.edf"))
    np.save(files / "a.npy", pixels)
    for name in ("a.cbf", "a.edf", "strip.tif"):
        packed = gzip.compress((files / name).read_bytes(), mtime=0)
        (files / f"{name}.gz").write_bytes(packed)


def _write_patterns(files: Path) -> None:
    q = np.linspace(1, 8, 40)
    table = np.stack([q, 100 + 50 * np.sin(q), np.ones_like(q)], axis=1)
    np.savetxt(files / "a.xy", table[:, :2], fmt="%.5g")
    np.savetxt(files / "a.csv", table, fmt="%.5g", delimiter=",")
    header = '{\n"wavelength": 1.54e-10,\n"npt": 40}\n2th_deg I sigma'
    np.savetxt(files / "a.dat", table, fmt="%.5g", header=header)
    chi = "name\n2-Theta Angle (Degrees)\nIntensity\n      40\n"
    rows = "\n".join(f"{x:.5e} {y:.5e}" for x, y in table[:, :2])
    (files / "a.chi").write_text(chi + rows)
    packed = gzip.compress((files / "a.xy").read_bytes(), mtime=0)
    (files / "a.xy.gz").write_bytes(packed)

"""A scan for the benchmarks of speed: frames in a file, and their documents."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from event_model import compose_run

from ringwatch.agent.results import NamedDocument
from ringwatch.benchmarks.peers import draw_frames, experiment_of

__all__ = ["DATA_KEY", "FrameFile"]

DATA_KEY = "detector_image"
_DISTINCT = 65
"""Frames of a file that differ; one that came among the 64 before is a duplicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFile:
    """Frames in an HDF5 file as detectors write them, and the documents of their scan.

    Attributes
    ----------
    path : Path
        Bitshuffle-LZ4, one frame a chunk. After 65 frames they come again.
    poni, mask : Path
        For pyFAI, and .npy, True where a pixel is not to be used.
    frames, edge : int
        How many, and pixels along an edge.
    """

    path: Path
    poni: Path
    mask: Path
    frames: int
    edge: int

    @classmethod
    def write(cls, folder: Path, edge: int, frames: int) -> FrameFile:
        """Draw the frames, uint16, and write all files into a folder."""
        experiment = experiment_of(edge)
        mask = folder / "mask.npy"
        np.save(mask, experiment.mask())
        poni = experiment.geometry.save(folder / "detector.poni")
        drawn = draw_frames(experiment, min(frames, _DISTINCT))
        path = folder / "frames.h5"
        with h5py.File(path, "w", libver="latest") as file:
            data = file.create_dataset(
                "data",
                (frames, edge, edge),
                "u2",
                chunks=(1, edge, edge),
                compression=hdf5plugin.Bitshuffle(cname="lz4"),
            )
            for row in range(frames):
                if row < len(drawn):
                    data[row] = drawn[row]
                    continue
                again = (row % len(drawn), 0, 0)
                filters, chunk = data.id.read_direct_chunk(again)
                data.id.write_direct_chunk((row, 0, 0), chunk, filters)
        return cls(path=path, poni=poni, mask=mask, frames=frames, edge=edge)

    def documents(self) -> list[NamedDocument]:
        """Documents of a new step scan: for each frame a StreamDatum and an event."""
        run = compose_run()
        number = {"source": "benchmark", "dtype": "number", "shape": []}
        image = {
            "source": "benchmark",
            "dtype": "array",
            "dtype_numpy": "<u2",
            "shape": [1, self.edge, self.edge],
            "external": "STREAM:",
        }
        stream = run.compose_descriptor(
            name="primary", data_keys={DATA_KEY: image, "i0": number}
        )
        resource, compose_datum = run.compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost{self.path}",
            data_key=DATA_KEY,
            parameters={"dataset": "data", "chunk_shape": (1, self.edge, self.edge)},
        )
        found: list[NamedDocument] = [
            ("start", dict(run.start_doc)),
            ("descriptor", dict(stream.descriptor_doc)),
            ("stream_resource", dict(resource)),
        ]
        for index in range(self.frames):
            datum = compose_datum(
                indices={"start": index, "stop": index + 1},
                seq_nums={"start": index + 1, "stop": index + 2},
                descriptor=stream.descriptor_doc,
                validate=False,
            )
            event = stream.compose_event(
                data={"i0": 1e6}, timestamps={"i0": time.time()}, validate=False
            )
            found += [("stream_datum", dict(datum)), ("event", dict(event))]
        return [*found, ("stop", dict(run.compose_stop()))]

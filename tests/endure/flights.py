"""Documents of scans made for the purpose, and the HDF5 file that has their frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from event_model import compose_run
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.results import NamedDocument

__all__ = ["FrameStore", "small_geometry"]

DATA_KEY = "det_image"
PIXEL_M = 2e-4


def small_geometry(path: Path, side: int) -> Path:
    """A square detector with the beam in its middle."""
    AzimuthalIntegrator(
        dist=0.1,
        poni1=side / 2 * PIXEL_M,
        poni2=side / 2 * PIXEL_M,
        wavelength=2e-11,
        detector=Detector(PIXEL_M, PIXEL_M, max_shape=(side, side)),
    ).save(str(path))
    return path


@dataclass(frozen=True, slots=True)
class FrameStore:
    """A file of frames with rings; ``distinct`` different ones, again and again."""

    path: Path
    frames: int
    side: int

    @classmethod
    def make(cls, path: Path, frames: int, side: int, *, distinct: int) -> FrameStore:
        """Write the file: one compressed frame a chunk, as detectors do."""
        drawn = _rings(side, min(distinct, frames))
        with h5py.File(path, "w", libver="latest") as file:
            data = file.create_dataset(
                "data",
                (frames, side, side),
                "u2",
                chunks=(1, side, side),
                compression=hdf5plugin.Bitshuffle(cname="lz4"),
            )
            for row, frame in enumerate(drawn):
                data[row] = frame
            chunks = [
                data.id.read_direct_chunk((row, 0, 0))[1]
                for row in range(min(distinct, frames))
            ]
            for row in range(len(chunks), frames):
                data.id.write_direct_chunk((row, 0, 0), chunks[row % distinct])
        return cls(path, frames, side)

    def fly(self) -> tuple[list[NamedDocument], list[NamedDocument]]:
        """Documents of a fly scan: frame by frame, and as they are stored."""
        run, _, head, datum = self._begin({})
        stop = ("stop", run.compose_stop() | {"num_events": {"primary": self.frames}})
        live = [*head, *(datum(i, i + 1) for i in range(self.frames)), stop]
        return live, [*head, datum(0, self.frames), stop]

    def step(self) -> Iterator[NamedDocument]:
        """Documents of a step scan with a monitor: each frame, then its event."""
        monitor = {"source": "test", "dtype": "number", "shape": []}
        run, stream, head, datum = self._begin({"i0": monitor})
        yield from head
        for index in range(self.frames):
            yield datum(index, index + 1)
            event = stream.compose_event(
                data={"i0": 1000.0 + index % 7},
                timestamps={"i0": float(index)},
                validate=False,
            )
            yield "event", dict(event)
        yield "stop", dict(run.compose_stop())

    def _begin(self, scalars: dict[str, Any]) -> Any:
        run = compose_run()
        key = {
            "source": "test",
            "dtype": "array",
            "dtype_numpy": "<u2",
            "shape": [1, self.side, self.side],
            "external": "STREAM:",
        }
        keys = {DATA_KEY: key, **scalars}
        stream = run.compose_descriptor(name="primary", data_keys=keys)
        resource, compose_datum = run.compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost{self.path}",
            data_key=DATA_KEY,
            parameters={"dataset": "data", "chunk_shape": (1, self.side, self.side)},
        )
        head = [
            ("start", dict(run.start_doc)),
            ("descriptor", dict(stream.descriptor_doc)),
            ("stream_resource", dict(resource)),
        ]

        def datum(start: int, stop: int) -> NamedDocument:
            doc = compose_datum(
                indices={"start": start, "stop": stop},
                seq_nums={"start": start + 1, "stop": stop + 1},
                descriptor=stream.descriptor_doc,
                validate=False,
            )
            return "stream_datum", dict(doc)

        return run, stream, head, datum


def _rings(side: int, distinct: int) -> Any:
    """Different exposures of the same rings, (distinct, y, x) uint16."""
    y, x = np.indices((side, side)) + 0.5 - side / 2
    r = np.hypot(y, x) * 64 / side
    mean = 5.0 + sum(200.0 * np.exp(-0.5 * ((r - a) / 1.2) ** 2) for a in (9, 17, 25))
    rng = np.random.default_rng(7)
    return (rng.poisson(mean).astype(np.uint16) for _ in range(distinct))

"""What a beamline would write itself: Bluesky callbacks around pyFAI, and the floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pyFAI
from numpy.typing import NDArray

from ringwatch.agent.sinks.zmq import ZmqSink
from ringwatch.benchmarks.frame_file import FrameFile
from ringwatch.benchmarks.peers import integrate, read_floor
from ringwatch.models.classifier import Classifier

__all__ = ["BEST", "FLOOR", "NAIVE", "Callback", "callbacks"]

NAIVE, BEST, FLOOR = "naive", "best pyFAI", "floor"

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""q (n,), 1/Angstrom, and intensity and sigma (n,) of the bins that were measured."""


class Callback:
    """Reads each frame, reduces it, classifies it and publishes the label.

    Parameters
    ----------
    reduce : callable
        From the pixels (y, x) to a spectrum.
    classifier : Classifier
    sink : ZmqSink
        Where its answers are published.
    """

    def __init__(
        self,
        reduce: Callable[[NDArray[Any]], Spectrum],
        classifier: Classifier,
        sink: ZmqSink,
    ) -> None:
        self._reduce = reduce
        self._classifier, self._sink = classifier, sink
        self._file: h5py.File | None = None
        self._frames: h5py.Dataset | None = None

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take one Bluesky document, and work it off."""
        if name == "stream_resource":
            path = str(doc["uri"]).removeprefix("file://localhost")
            self._file = h5py.File(path, "r", locking=False)
            self._frames = self._file[doc["parameters"]["dataset"]]
        elif name == "stream_datum":
            for index in range(doc["indices"]["start"], doc["indices"]["stop"]):
                self._judge(index)
        elif name == "stop" and self._file is not None:
            self._file.close()
            self._sink.put("stop", doc)

    def _judge(self, index: int) -> None:
        assert self._frames is not None
        q, intensity, sigma = self._reduce(self._frames[index])
        label = self._classifier.predict(q, intensity, sigma).label
        data = {"label": label, "intensity": intensity, "sigma": sigma}
        self._sink.put("event", {"seq_num": index + 1, "data": data})


def callbacks(store: FrameFile, sink: ZmqSink, bins: int) -> dict[str, Callback]:
    """The peers and the floor, over the geometry, mask and bins that we have too."""
    integrator = pyFAI.load(str(store.poni))
    unused = np.load(store.mask).astype(np.int8)
    index = np.arange(store.edge**2).astype(np.uint16)

    def by_engine(engine: str) -> Callable[[NDArray[Any]], Spectrum]:
        def reduce(frame: NDArray[Any]) -> Spectrum:
            found = integrate(integrator, frame, unused, engine, bins)
            use = found.count > 0
            return found.radial[use], found.intensity[use], found.sigma[use]

        return reduce

    with h5py.File(store.path, "r", locking=False) as file:
        fixed = by_engine("no-csc")(file["data"][0])

    def add_up(frame: NDArray[Any]) -> Spectrum:
        read_floor(frame.reshape(-1), index)
        return fixed

    onnx = Classifier.load(backend="onnx")
    eager = Classifier.load(backend="torch", device="cpu")
    return {
        NAIVE: Callback(by_engine("bbox-csr"), eager, sink),
        BEST: Callback(by_engine("no-csc"), onnx, sink),
        FLOOR: Callback(add_up, onnx, sink),
    }

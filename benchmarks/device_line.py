"""A line of threads that keeps a GPU busy: sums, patterns, labels of many frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ringwatch.agent.device_sums import DeviceSummation, find_device
from ringwatch.agent.files.unpack import Unpack
from ringwatch.agent.nouns import Pattern
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.sums import Summation, Sums
from ringwatch.benchmarks.peers import BINS, binning_of, draw_frames, experiment_of
from ringwatch.models.classifier import Classifier
from ringwatch.models.prediction import Prediction

__all__ = ["DISTINCT", "STAGES", "Line"]

STAGES = ("decode", "transfer", "sum", "fetch", "pattern", "classify")
"""What a frame goes through, in its order."""
DISTINCT = 8
"""Frames that differ; after them they come again."""
_SLOTS = 4  # batches of frames in memory: one in each stage, and one that fills

Frames = NDArray[Any]
"""A batch (B, y * x) in memory that the device fetches from."""


class Line:
    """The line of one geometry, from frames in memory to predictions.

    Parameters
    ----------
    edge : int
        Of the square frames, pixels.
    device : str
        As torch names it.
    batch, threads : int
        Frames of a batch, and threads for what is done frame by frame.
    bins : int
        Of q.
    """

    def __init__(
        self, edge: int, device: str, batch: int, threads: int, bins: int = BINS
    ) -> None:
        experiment = experiment_of(edge)
        self.binning = binning_of(experiment, bins)
        self.batch, self.shape = batch, experiment.shape
        self.frames = [frame.ravel() for frame in draw_frames(experiment, DISTINCT)]
        self._summation = DeviceSummation(self.binning, None, find_device(device))
        self._reduction = Reduction(self.binning)
        self._classifier = Classifier.load(backend="torch", device=device)
        self._device = ThreadPoolExecutor(1, "ringwatch-device")
        self._host = ThreadPoolExecutor(1, "ringwatch-host")
        self._pool = ThreadPoolExecutor(threads, "ringwatch-frames")
        self._lock = threading.Lock()
        self.busy = dict.fromkeys(STAGES, 0.0)
        dtype = self.frames[0].dtype
        self.slots = [self._summation.staging(batch, dtype) for _ in range(_SLOTS)]
        for slot in self.slots:
            for row in range(batch):
                slot[row] = self.frames[row % DISTINCT]

    def run(
        self, batches: int, packed: tuple[list[bytes], Unpack] | None = None
    ) -> list[Prediction]:
        """Send batches down the line; what was said of each frame.

        Chunks, if given with what unpacks them, become frames in memory first.
        """
        said: list[Prediction] = []
        under_way: deque[Future[list[Pattern]]] = deque()
        for number in range(batches):
            if len(under_way) == _SLOTS:
                said += self._classify(under_way.popleft().result())
            slot = self.slots[number % _SLOTS]
            read = partial(self._decode, *packed, number) if packed else None
            sums = self._device.submit(self._sum, slot, read)
            under_way.append(self._host.submit(self._patterns, slot, sums))
        while under_way:
            said += self._classify(under_way.popleft().result())
        return said

    def _decode(
        self, chunks: list[bytes], unpack: Unpack, number: int, slot: Frames
    ) -> None:
        def one(row: int) -> None:
            at = (number * self.batch + row) % len(chunks)
            with self._timed("decode"):
                slot[row] = unpack(chunks[at]).reshape(-1)

        list(self._pool.map(one, range(self.batch)))

    def _sum(self, slot: Frames, read: Callable[[Frames], None] | None) -> list[Sums]:
        summation = self._summation
        if read is not None:
            read(slot)
        with self._timed("transfer"):
            there = summation.transfer(slot)
            self._wait()
        with self._timed("sum"):
            found = summation.add(there, slot.dtype)
            self._wait()
        with self._timed("fetch"):
            return summation.fetch(found, list(slot))

    def _patterns(self, slot: Frames, sums: Future[list[Sums]]) -> list[Pattern]:
        def one(row: int, summed: Sums) -> Pattern:
            with self._timed("pattern"):
                frame = slot[row].reshape(self.shape)
                cake = self._reduction.cake(frame, look_again=False, sums=summed)
                return self._reduction.pattern(cake)

        return list(self._pool.map(one, range(self.batch), sums.result()))

    def _classify(self, patterns: list[Pattern]) -> list[Prediction]:
        with self._timed("classify"):
            said = self._classifier.predict_all([p.measured() for p in patterns])
        return [each for each in said if isinstance(each, Prediction)]

    def check(self) -> tuple[bool, float]:
        """Whether all sums are the CPU's, and how far probabilities are from ONNX's."""
        host = Summation(self.binning, None)
        found = self._summation.by_cell(self.frames)
        equal = True
        patterns = []
        for frame, sums in zip(self.frames, found, strict=True):
            alone = host.by_cell(frame)
            for name in ("total", "squares", "maximum", "zeros", "pixels"):
                equal &= bool(np.array_equal(getattr(alone, name), getattr(sums, name)))
            whole = frame.reshape(self.shape)
            cake = self._reduction.cake(whole, look_again=False, sums=sums)
            patterns.append(self._reduction.pattern(cake).measured())
        onnx = Classifier.load(backend="onnx").predict_all(patterns)
        apart = 0.0
        for one, other in zip(
            onnx, self._classifier.predict_all(patterns), strict=True
        ):
            assert isinstance(one, Prediction)
            assert isinstance(other, Prediction)
            known = {each.number: each.probability for each in one.classes}
            apart = max(
                apart,
                *(abs(known[each.number] - each.probability) for each in other.classes),
            )
        return equal, apart

    def _wait(self) -> None:
        if self._summation.device.type == "cuda":
            torch.cuda.synchronize(self._summation.device)

    def _timed(self, stage: str) -> _Timed:
        return _Timed(self, stage)

    def took(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage was busy."""
        with self._lock:
            self.busy[stage] += seconds

    def close(self) -> None:
        """End the threads."""
        for threads in (self._device, self._host, self._pool):
            threads.shutdown(cancel_futures=True)


class _Timed:
    """Adds the time of a ``with`` block to a stage."""

    def __init__(self, line: Line, stage: str) -> None:
        self._line, self._stage = line, stage

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._line.took(self._stage, time.perf_counter() - self._began)

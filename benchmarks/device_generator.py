"""Powder patterns per second where torch draws them: lines on all cores, bins on a GPU.

`python benchmarks/generator.py --device cuda` asks for it; "cpu"
serves to try it out, at a small scale: there the numba kernels are the faster way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ringwatch.models.crystals import CrystalGenerator, Peaks
from ringwatch.models.diffraction import Grid, render
from ringwatch.models.disturbances.device_patterns import DeviceDisturbances
from ringwatch.models.disturbances.device_profiles import render_on_device
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.training.batches import Batches

LaboratoryLines = Callable[
    [Peaks, np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]
]
Arrays = list[np.ndarray]


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ahead(
    pool: ThreadPoolExecutor, draw: Callable[[int], Arrays], batches: int, most: int
) -> Iterator[Arrays]:
    """Yield what ``draw`` makes of 0 to ``batches - 1``, in order, drawn ahead."""
    waiting = [pool.submit(draw, i) for i in range(min(most, batches))]
    for i in range(batches):
        if i + most < batches:
            waiting.append(pool.submit(draw, i + most))
        yield waiting.pop(0).result()


def pattern_rates(
    laboratory_lines: LaboratoryLines,
    grid: Grid,
    device: torch.device,
    size: int,
    batches: int,
) -> tuple[float, float, float, float]:
    """Patterns per second of lines alone, drawing alone, both; and their error.

    The error is the largest difference to the kernel for a CPU, relative to the highest
    point, over the first patterns.
    """
    crystals = CrystalGenerator(seed=1, q_min=0.356, q_max=5.77, class_balance=1.0)
    threads = os.cpu_count() or 1

    def draw(batch: int) -> Arrays:
        peaks = crystals.peaks(batch * size, size)
        parts = laboratory_lines(peaks, np.random.default_rng(batch))
        return [peaks.start, peaks.q, *(np.asarray(part, np.float32) for part in parts)]

    def show(lines: Arrays) -> Tensor:
        tensors = [torch.from_numpy(part).to(device) for part in lines]
        return render_on_device(grid, *tensors)

    lines = draw(0)  # compiles
    made = show(lines)[:64].cpu().numpy()
    few = [lines[0][:65], *lines[1:4], lines[4][:64]]
    expected = render(grid, *few)
    error = float((np.abs(made - expected).max(1) / expected.max(1)).max())
    patterns = size * batches
    with ThreadPoolExecutor(threads) as pool:
        begin = time.perf_counter()
        for _ in ahead(pool, draw, batches, 2 * threads):
            pass
        alone = patterns / (time.perf_counter() - begin)
        tensors = [torch.from_numpy(part).to(device) for part in lines]
        wait_for(device)
        begin = time.perf_counter()
        for _ in range(batches):
            render_on_device(grid, *tensors)
        wait_for(device)
        drawing = patterns / (time.perf_counter() - begin)
        begin = time.perf_counter()
        for drawn in ahead(pool, draw, batches, 2 * threads):
            show(drawn)
        wait_for(device)
        both = patterns / (time.perf_counter() - begin)
    return alone, drawing, both, error


def input_rate(device: torch.device, size: int, batches: int) -> float:
    """Network inputs per second, a quarter clean, as training takes them."""
    made = DeviceDisturbances(DisturbanceSettings(), seed=1, device=device)
    threads = os.cpu_count() or 1
    source = Batches(CrystalGenerator(seed=1), made, size, threads=threads)
    try:
        source.take(0, size, 0.25)
        begin = time.perf_counter()
        for batch in range(1, batches + 1):
            source.take(batch * size, size, 0.25)
        wait_for(device)
        return size * batches / (time.perf_counter() - begin)
    finally:
        source.close()


def main(name: str, laboratory_lines: LaboratoryLines) -> None:
    """Print rates on the device of that name, one line each."""
    device = torch.device(name)
    if device.type == "cuda":
        what, size, batches = torch.cuda.get_device_name(device), 4096, 50
    else:
        what, size, batches = "torch on the CPU", 128, 8
        torch.set_num_threads(1)
    print(f"{what}, {os.cpu_count()} cores draw the lines")
    for n_bins, logarithmic in ((8501, False), (2048, True)):
        grid = Grid(n_bins=n_bins, q_min=0.356, q_max=5.77, logarithmic=logarithmic)
        alone, drawing, both, error = pattern_rates(
            laboratory_lines, grid, device, size, batches
        )
        print(
            f"{n_bins} {'log' if logarithmic else 'linear'} points: {both:10.0f}"
            f" patterns per second (lines alone {alone:.0f}, drawing alone"
            f" {drawing:.0f}); within {error:.1e} of the kernel for a CPU"
        )
    rate = input_rate(device, size // 2, 2 * batches)
    print(f"network inputs, disturbed: {rate:10.0f} per second")

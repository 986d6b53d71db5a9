"""What the benchmarks of speed share: frames, pyFAI's engines, the floor, turns."""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from pyFAI.containers import Integrate1dResult
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from rich import box
from rich.console import Console
from rich.table import Table

from ringwatch.agent.geometry import Binning
from ringwatch.simulated_beamline.counting import expose_expected, frame_key
from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import DetectorModel, Geometry
from ringwatch.simulated_beamline.sample import Mixture

__all__ = [
    "AGENT",
    "BINS",
    "CAKE",
    "ENGINES",
    "POLARIZATION",
    "SEED",
    "binning_of",
    "draw_frames",
    "edge_of",
    "experiment_of",
    "exponent",
    "integrate",
    "median_ms",
    "ratio",
    "read_floor",
    "show_json",
    "show_table",
    "take_turns",
]

BINS = 2000
POLARIZATION = 0.99
SEED = 6
"""Of the frames that are drawn."""
CAKE, AGENT = "cake", "cake, second look"
"""Ways of ours from a frame to its pattern; the second is the agent's."""

ENGINES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "no-csc": ("no", "csc", "cython"),
        "full-csc": ("full", "csc", "cython"),
        "bbox-csr": ("bbox", "csr", "cython"),
    }
)
"""pyFAI's best without pixel splitting, its best with it, and what most people use."""

_COUNTS_A_PIXEL = 20.0


def experiment_of(edge: int, dtype: str = "uint16") -> Experiment:
    """CeO2 before a photon-counting detector of ``edge`` x ``edge`` pixels.

    The detector is 205 mm wide whatever the number of its pixels, so that frames of all
    sizes hold the same rings.
    """
    model = DetectorModel(
        name=f"photon counter {edge}",
        shape=(edge, edge),
        pixel_size=0.2048 / edge,
        dtype=dtype,
        saturation_value=65_534 if dtype == "uint16" else 1_000_000,
        invalid_value=int(np.iinfo(dtype).max),
        psf_fwhm_px=1.0,
        dark_rate=0.0,
    )
    return Experiment(
        Geometry.centered(model),
        Mixture.pure("CeO2"),
        beamstop=Beamstop(),
        counts=_COUNTS_A_PIXEL * edge * edge,
        seed=SEED,
    )


def draw_frames(experiment: Experiment, count: int) -> list[NDArray[Any]]:
    """Exposures (y, x) of the same rings, each with counting noise of its own."""
    expected = experiment.expected(experiment.conditions())
    detector = experiment.geometry.detector
    return [
        expose_expected(
            expected,
            key=frame_key(experiment.seed, number),
            full=detector.saturation_value,
            invalid=detector.invalid_value,
            dtype=np.dtype(detector.dtype),
        )
        for number in range(count)
    ]


def binning_of(experiment: Experiment, bins: int = BINS) -> Binning:
    """Our map from pixels to cells, of the geometry and mask that the peers get."""
    return Binning.from_geometry(
        experiment.geometry.integrator(),
        experiment.shape,
        mask=experiment.mask(),
        npt=bins,
        polarization=POLARIZATION,
    )


def integrate(
    integrator: AzimuthalIntegrator,
    frame: NDArray[Any],
    mask: NDArray[np.int8],
    engine: str,
    bins: int = BINS,
) -> Integrate1dResult:
    """Run ``integrate1d_ng`` with mask, solid angle, polarization, Poisson errors.

    Parameters
    ----------
    integrator : AzimuthalIntegrator
    frame, mask : (y, x) array
        The mask is not 0 where a pixel is not to be used. Of int8 already: pyFAI would
        convert any other for each frame.
    engine : str
        Key of ``ENGINES``.
    bins : int
        Of q.
    """
    return integrator.integrate1d_ng(
        frame,
        bins,
        mask=mask,
        method=ENGINES[engine],
        unit="q_A^-1",
        error_model="poisson",
        polarization_factor=POLARIZATION,
        correctSolidAngle=True,
    )


@numba.njit(nogil=True, cache=True)
def read_floor(frame: NDArray[Any], index: NDArray[np.uint16]) -> np.uint64:
    """Sum of the counts of a frame and of the index of its pixels, both (y * x,).

    Whoever bins pixels has to read these two: nothing that does is faster than this.
    """
    total = np.uint64(0)
    for i in range(frame.size):
        total += np.uint64(frame[i]) + np.uint64(index[i])
    return total


def take_turns(
    ways: Mapping[str, Callable[[int], object]], repeats: int
) -> dict[str, list[float]]:
    """Seconds of each way, called once a round; who goes first changes by the round.

    What slows the machine for a while so meets all ways alike. One round before, which
    does not count, loads compiled code and fills caches.

    Parameters
    ----------
    ways : mapping of str to callable
        Called with the number of the round, from 0.
    repeats : int
        Rounds.
    """
    names = list(ways)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        ways[name](0)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            ways[name](turn)
            taken[name].append(time.perf_counter() - began)
    return taken


def median_ms(seconds: Sequence[float], each: int = 1) -> float:
    """Median of the rounds in milliseconds, of one of ``each`` frames."""
    return statistics.median(seconds) / each * 1e3


def ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """How many times longer one way takes than another: of their medians."""
    return statistics.median(slower) / statistics.median(faster)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The ``a`` of cost = c size^a: least squares through the logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)


def edge_of(pixels: float) -> int:
    """Edge of a square detector of so many Mpx (2^20 pixels)."""
    return round(math.sqrt(pixels) * 1024)


def show_json(rows: object) -> None:
    """Print rows as JSON, with the state of the machine."""
    state = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "rows": rows}
    sys.stdout.write(json.dumps(state, indent=2) + "\n")


def show_table(rows: list[dict[str, Any]], title: str, asked: str) -> None:
    """Print rows with the same keys as a table.

    Parameters
    ----------
    rows : list of dict
    title : str
    asked : str
        What the figures are held against; below the table.
    """
    # What is the same in all rows goes below: the rest fits into 80 columns.
    same = {
        key: value
        for key, value in rows[0].items()
        if len(rows) > 1 and all(row[key] == value for row in rows)
    }
    varied = [key for key in rows[0] if key not in same]
    table = Table(title=title, box=box.SIMPLE, pad_edge=False)
    for key in varied:
        cells = [_cell(row[key]) for row in rows]
        table.add_column(
            key.replace("_", " "),
            justify="left" if key in ("way", "dtype") else "right",
            overflow="fold",
            # A figure is not broken where words can be.
            min_width=max(len(word) for cell in cells for word in cell.split()),
        )
    for row in rows:
        table.add_row(*(_cell(row[key]) for key in varied))
    console = Console()
    console.print(table)
    if same:
        told = (f"{key.replace('_', ' ')} {_cell(each)}" for key, each in same.items())
        console.print(f"In all rows: {', '.join(told)}.", highlight=False)
    load = f"Load of the machine: {os.getloadavg()[0]:.1f}."
    console.print(f"{asked}\n{load}", highlight=False, markup=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)

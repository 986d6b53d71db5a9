"""Does `explain` name what went wrong: `python benchmarks/explained_runs.py`.

Simulated runs in each of which one thing goes wrong, at a frame, of a size, for a
sample and at counts that a seed draws; real RunEngine and agent. `ringwatch explain`
makes its paragraph of the same verdicts. Named: the injected cause is told, and it is
told first.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import COUNT, Parser, end_in_one_line, steps

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.agent.account import Account
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.benchmarks.attached_agents import PATIENCE_S
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.simulated_beamline.faults import (
    BeamLost,
    BeamstopLeak,
    DetectorShift,
    DetectorTilt,
    DistanceChange,
    Dropped,
    Fault,
    I0Glitch,
    SampleLost,
    Saturated,
    Shadow,
    ShutterClipped,
    Swapped,
)
from ringwatch.simulated_beamline.phases import PHASES
from ringwatch.simulated_beamline.readout_faults import (
    Duplicate,
    Flipped,
    HalfRead,
    HotPixels,
    Zingers,
)
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["FAULTS", "Explained", "explain_run", "main"]

SEED = 20261123
FRAMES = 24
_FIRST = 6, 14  # between these frames it begins
_COUNTS = 1e6, 1e7
_EDGE = 1024
_ASKED = "Asked: the injected cause is named in ten of ten."

Rng = np.random.Generator


def _shift(first: int, rng: Rng) -> Fault:
    size, way = rng.uniform(0.8, 4.0), rng.uniform(0.0, 2.0 * math.pi)
    return DetectorShift(
        first=first, dx_px=size * math.cos(way), dy_px=size * math.sin(way)
    )


def _sign(rng: Rng) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _short(first: int, rng: Rng) -> dict[str, int]:
    """For a few frames."""
    return {"first": first, "last": first + int(rng.integers(0, 6))}


FAULTS: Mapping[str, Callable[[int, Rng], Fault]] = MappingProxyType(
    {
        "beam lost": lambda n, rng: BeamLost(**_short(n, rng)),
        "shutter clipped": lambda n, rng: ShutterClipped(
            first=n, fraction=rng.uniform(0.3, 0.9)
        ),
        "monitor lies": lambda n, rng: I0Glitch(first=n, factor=rng.uniform(0.3, 0.8)),
        "attenuator out": lambda n, rng: Saturated(
            **_short(n, rng), factor=rng.uniform(200.0, 500.0)
        ),
        "sample lost": lambda n, _: SampleLost(first=n),
        "detector slipped": _shift,
        "detector tilted": lambda n, rng: DetectorTilt(
            first=n, rot1_deg=_sign(rng) * rng.uniform(0.3, 1.0)
        ),
        "distance changed": lambda n, rng: DistanceChange(
            first=n, ppm=_sign(rng) * rng.uniform(1000.0, 4000.0)
        ),
        "cable in the way": lambda n, rng: Shadow(
            first=n,
            chi_deg=rng.uniform(-180.0, 180.0),
            width_deg=rng.uniform(25.0, 90.0),
            transmission=rng.uniform(0.3, 0.8),
        ),
        "beamstop leaks": lambda n, rng: BeamstopLeak(
            first=n, share=rng.uniform(0.05, 0.2), fwhm_px=30.0, side_px=40.0
        ),
        "half read": lambda n, rng: HalfRead(**_short(n, rng)),
        "flipped": lambda n, _: Flipped(first=n),
        "stuck buffer": lambda n, rng: Duplicate(**_short(n, rng)),
        "frames lost": lambda n, rng: Dropped(
            first=n, last=n, count=int(rng.integers(1, 4))
        ),
        "frames swapped": lambda n, _: Swapped(first=n, last=n + 1),
        "hot pixels": lambda n, rng: HotPixels(
            first=n, count=int(rng.integers(200, 600))
        ),
        "cosmic rays": lambda n, rng: Zingers(
            first=n, count=int(rng.integers(300, 900))
        ),
    }
)
"""What may go wrong, by what a person would call it."""


_OTHER_NAMES = MappingProxyType({"attenuator out": "i0_suspect"})
"""Where another flag says it as well: the frame is brighter than I0 lets expect, a
filter went out. Pixels are at full scale only where the rings are bright enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One run.

    Attributes
    ----------
    fault : str
        Key of ``FAULTS``.
    flag : str
        That a perfect agent would name.
    sample : str
    first : int
        Frame at which it began.
    named : list of str
        Causes told, in order.
    paragraph : str
    """

    fault: str
    flag: str
    sample: str
    first: int
    named: list[str]
    paragraph: str

    @property
    def found(self) -> bool:
        """Whether the cause is told at all."""
        return bool(self.right & set(self.named))

    @property
    def is_first(self) -> bool:
        """Whether it is told first."""
        return bool(self.named) and self.named[0] in self.right

    @property
    def right(self) -> set[str]:
        """Flags that say what happened."""
        return {self.flag, _OTHER_NAMES.get(self.fault, self.flag)}

    def row(self) -> dict[str, Any]:
        """One line of the table."""
        return {
            "went wrong": self.fault,
            "sample": self.sample,
            "from frame": self.first,
            "flag": self.flag,
            "told": ", ".join(self.named) or "-",
            "named": "first" if self.is_first else "yes" if self.found else "NO",
        }


def explain_run(folder: Path, number: int, seed: int = SEED) -> Explained:
    """Take the run of this number, and explain it.

    Parameters
    ----------
    folder : Path
        For its frames.
    number, seed : int
        All that is drawn follows from these.
    """
    rng = np.random.default_rng([seed, number])
    names = np.random.default_rng(seed).permutation(list(FAULTS))
    name = str(names[number % len(names)])
    first = int(rng.integers(*_FIRST))
    fault = FAULTS[name](first, rng)
    sample = str(rng.choice(list(PHASES)))
    beamline = powder_beamline(
        folder,
        sample,
        detector=_EDGE,
        faults=[fault],
        seed=seed + number,
        pace=0.0,
        counts=float(np.exp(rng.uniform(*np.log(_COUNTS)))),
    )
    account, streams = Account(), dict[str, str]()

    def take(kind: str, doc: dict[str, Any]) -> None:
        if kind == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif kind == "event":
            account.count(streams[doc["descriptor"]], doc["data"])

    engine: Any = RunEngine({})
    with Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        paragraph=False,
        sinks=(MemorySink(limit=1, listener=take),),
    ) as agent:
        agent.wait_idle(PATIENCE_S)
        engine.subscribe(agent)
        engine(beamline.step_scan(FRAMES))
        agent.wait_idle(PATIENCE_S)
    return Explained(
        fault=name,
        flag=fault.flag,
        sample=sample,
        first=first,
        named=[cause.flag for cause in account.faults],
        paragraph=account.paragraph(),
    )


def main() -> None:
    """Print the table, and with --words what people are told."""
    parser = Parser(__doc__)
    parser.option("--runs", COUNT, 10, "simulated runs")
    parser.add_argument("--seed", type=int, default=SEED, help="of all that is drawn")
    parser.add_argument("--words", action="store_true", help="print each paragraph")
    parser.add_argument("--json", action="store_true", help="print an object")
    given = parser.parse_args()
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="ringwatch-explained-") as scratch,
        steps("explained runs", given.runs) as told,
    ):
        for number in range(given.runs):
            told.begin(f"run {number + 1}")
            found.append(explain_run(Path(scratch) / str(number), number, given.seed))
    if given.words and not given.json:
        for each in found:
            print(f"\n{each.fault}: {each.paragraph}")
    rows = [each.row() for each in found]
    if given.json:
        paragraphs = [each.paragraph for each in found]
        show_json([r | {"paragraph": p} for r, p in zip(rows, paragraphs, strict=True)])
        return
    show_table(rows, "What explain tells of runs in which one thing went wrong", _ASKED)


if __name__ == "__main__":
    main()

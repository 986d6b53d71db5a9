"""Growth stopped at its target: `python benchmarks/growth_stop.py`.

A glass film crystallizes exponentially (simulated beamline, simulated clock) at a rate
that the plan does not know. `stop_when(reaches("crystalline_fraction", ...), act=True)`
closes the source and ends the scan; then a hundred frames of the film as it is say
where it really stopped. Ten targets, each with a rate of its own, at 1, 5 and 20 frames
a second, with the agent in this process and with `ringwatch serve` in another.

"off" is what was reached less the target, in frames of growth (what a frame adds at the
target); "inside" counts how often it lies within the interval that the plan stated.
Beside it what stopping at the first verdict over the target would have reached, on the
same frames: the shadow mode of the same plan.

For example: `python benchmarks/growth_stop.py --targets 3 --json`.
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
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky import RunEngine
from numpy.typing import NDArray

from ringwatch.benchmarks.attached_agents import (
    PATIENCE_S,
    Attached,
    agent_here,
    agent_there,
    await_until,
)
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.conditions import Condition, Streak
from ringwatch.plans.reaching import reaches
from ringwatch.plans.stop_when import stop_when
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.growth import Growth
from ringwatch.simulated_beamline.plan_clock import PlanClock
from ringwatch.simulated_beamline.processes import FilmGrowth

__all__ = [
    "Stopped",
    "main",
    "measure",
    "row",
    "stop_growth",
]

RATES = (1.0, 5.0, 20.0)
SEED = 20261122
_START = 0.12  # crystalline share
_SPEEDS = 0.04, 0.15  # 1/s
_TARGETS = 0.12, 0.35  # crystalline fraction as the agent says it
_AFTER = 100  # frames of the film as it stopped
_MOST = 3000  # frames of a scan that is not stopped
_VALUE = "crystalline_fraction"
_ASKED = (
    "Asked: 54 of 60 errors inside the stated 95 % interval, its median half-width at "
    "most two frames of growth."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How one growth ended; values are crystalline fractions as the agent says them.

    Attributes
    ----------
    target, reached, reached_sigma : float
    low, high : float
        Interval that the plan stated.
    per_frame : float
        Growth in a frame, at the target.
    plain : float
        What stopping at the first verdict over the target would have reached.
    frames : int
        Until it stopped.
    """

    target: float
    reached: float
    reached_sigma: float
    low: float
    high: float
    per_frame: float
    plain: float
    frames: int

    @property
    def inside(self) -> bool:
        """Whether the error lies within the stated interval."""
        return self.low <= self.reached <= self.high


def stop_growth(
    beamline: Beamline, engine: Any, verdicts: Verdicts, condition: Condition
) -> tuple[Action, int]:
    """Let the film grow and stop it where the condition says so.

    Returns
    -------
    Action
        What the plan wrote into the run.
    int
        Frames until then.
    """
    log = ActionLog()
    before = len(beamline.truths)
    engine(
        stop_when(
            beamline.step_scan(_MOST),
            condition,
            verdicts,
            act=True,
            then=lambda: bps.mv(beamline.source, 0),
            log=log,
            clock=PlanClock(beamline.experiment.clock),
            max_behind=4,
            patience_s=PATIENCE_S,
        )
    )
    (action,) = (action for action in log.actions if action.what == "stop")
    return action, len(beamline.truths) - before


def look(beamline: Beamline, engine: Any, verdicts: Verdicts) -> NDArray[Any]:
    """What the agent says of the film as it is, in so many frames."""
    (uid,) = engine(beamline.step_scan(_AFTER))
    values: dict[int, float] = {}

    def all_there() -> bool:
        said = (heard for heard in verdicts if heard.run_uid == uid)
        values.update({heard.index: heard.values[_VALUE] for heard in said})
        return len(values) == _AFTER

    await_until(all_there, "verdicts are missing")
    return np.array(list(values.values()))


def measure(
    folder: Path,
    attach: Attached,
    rate: float,
    targets: int,
    seed: int = SEED,
    *,
    beside: bool = True,
) -> list[Stopped]:
    """Stop so many growths at frames of one rate; see the module.

    Parameters
    ----------
    folder : Path
    attach : callable
        ``agent_here`` or ``agent_there``.
    rate : float
        Frames a second of simulated time.
    targets : int
    seed : int
    beside : bool
        Whether to stop each without a forecast, too.

    Returns
    -------
    list of Stopped
    """
    film = FilmGrowth(frame_rate=rate, start=_START, seed=seed)
    beamline = film.beamline(folder)
    rng = np.random.default_rng([seed, round(rate * 1000)])
    engine: Any = RunEngine({})
    found = []
    with attach(beamline, engine) as verdicts:
        beamline.experiment.source_open = False
        look(beamline, engine, verdicts)  # compiled code is loaded
        for _ in range(targets):
            speed = float(np.exp(rng.uniform(*np.log(_SPEEDS))))
            target = float(rng.uniform(*_TARGETS))

            def stopped(
                condition: Condition, speed: float = speed
            ) -> tuple[Action, int, NDArray[Any]]:
                clock = beamline.experiment.clock
                beamline.experiment.growth = Growth(clock, start=_START, rate=speed)
                action, frames = stop_growth(beamline, engine, verdicts, condition)
                return action, frames, look(beamline, engine, verdicts)

            forecast = reaches(
                _VALUE, target, course="exponential", exposure_s=film.exposure_s
            )
            action, frames, after = stopped(forecast)
            without = np.array([math.nan])
            if beside:
                *_, without = stopped(_over(target))
            found.append(
                Stopped(
                    target=target,
                    reached=float(after.mean()),
                    reached_sigma=float(after.std(ddof=1) / math.sqrt(after.size)),
                    low=action.low,
                    high=action.high,
                    per_frame=target * math.expm1(speed / rate),
                    plain=float(without.mean()),
                    frames=frames,
                )
            )
    return found


def _over(target: float) -> Condition:
    """Met by the first verdict whose value is over the target."""
    return Streak(lambda heard: heard.values[_VALUE] >= target, "it is over the target")


def row(agent: str, rate: float, found: list[Stopped]) -> dict[str, Any]:
    """One line of the table."""
    return {
        "agent": agent,
        "frames_per_s": rate,
        "stopped": len(found),
        "inside": sum(one.inside for one in found),
        "half_width_frames": _median((s.high - s.low) / 2 / s.per_frame for s in found),
        "off_frames": _median(abs(s.reached - s.target) / s.per_frame for s in found),
        "without_forecast": _median((s.plain - s.target) / s.per_frame for s in found),
    }


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    """Print the table."""
    parser = Parser(__doc__)
    parser.option("--targets", COUNT, 10, "of each rate")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows, every = [], []
    with (
        steps("growth", 2 * len(RATES)) as told,
        tempfile.TemporaryDirectory(prefix="ringwatch-growth-") as scratch,
    ):
        for name, attach in (("here", agent_here), ("remote", agent_there)):
            for rate in RATES:
                told.begin(f"agent {name}, {rate:g} frames/s")
                folder = Path(scratch) / f"{name}-{rate:g}"
                found = measure(folder, attach, rate, given.targets, given.seed)
                rows.append(row(name, rate, found))
                every += [{"agent": name, "rate": rate, **asdict(s)} for s in found]
    if given.json:
        show_json({"table": rows, "each": every})
    else:
        show_table(rows, "Growth stopped at its target", _ASKED)


if __name__ == "__main__":
    main()

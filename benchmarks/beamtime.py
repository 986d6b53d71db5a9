"""New phases found, named and labelled: `python benchmarks/beamtime.py`.

A beamtime of 20 runs of the simulated beamline, with a real RunEngine, an agent and a
Tiled server: eight runs of four known phases, which count as seen; then twelve runs
with two phases that the network was never shown, pure or as what a known phase turns
into when it is heated. These two are invented (`pattern_runs.invented_phase`: a drawn
cell with atoms at drawn places), so they are in no table that training used, and
training drew no crystal twice. From what Tiled holds: the frames that are novel, their
clusters, two names, the labels of all runs by them, and the diff frame by frame.

``--drawn N`` asks the same of N beamtimes whose frames are drawn as patterns, each with
four known and two new phases of a hundred: how often exactly two clusters come out, and
the area under the ROC curve. ``--scale`` says how far patterns lie from each other.

For example: `python benchmarks/beamtime.py --frames 12 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    SILENT,
    Parser,
    Steps,
    end_in_one_line,
    steps,
    whole,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from numpy.typing import NDArray

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.learned.label_versions import newest_version, store_version
from ringwatch.agent.learned.registry import Registry
from ringwatch.agent.learned.relabelling import (
    changes,
    find_new,
    label_again,
    name_cluster,
)
from ringwatch.agent.learned.stored_frames import StoredFrames, stored_frames
from ringwatch.benchmarks.attached_agents import PATIENCE_S
from ringwatch.benchmarks.drawn_beamtimes import (
    BACKGROUND,
    COUNTS,
    auroc,
    drawn,
    scale,
)
from ringwatch.benchmarks.pattern_runs import Blend, invented_phase
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.models.clusters import seen_phases
from ringwatch.simulated_beamline.phases import PHASES, Phase
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["NEW", "Taken", "main", "relabelled", "take_runs"]

SEED = 20261124
KNOWN = ("CeO2", "rutile", "corundum", "BaTiO3 cubic")
NEW = (invented_phase(63), invented_phase(84))
_TURNS_K, _WIDTH_K = 350.0, 0.5
_ASKED = "Asked: AUROC of 0.9, two clusters, the diff right frame by frame."

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Turning:
    """A phase that turns into another when it is heated."""

    cold: Phase
    hot: Phase

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Cold, hot."""
        return self.cold, self.hot

    def fractions(self, temperature: float) -> tuple[float, ...]:
        """Volume fraction of each at a temperature in kelvin."""
        away = (temperature - _TURNS_K) / (2.0 * _WIDTH_K)
        hot = 0.5 * (1.0 + math.tanh(away))
        return 1.0 - hot, hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A run of the beamtime.

    Attributes
    ----------
    uid : str
    truth : list of str
        Name of the phase of most volume in each frame.
    """

    uid: str
    truth: list[str]


def take_runs(
    folder: Path,
    server: EmbeddedTiled,
    *,
    runs: int,
    frames: int,
    seed: int,
    told: Steps = SILENT,
) -> list[Taken]:
    """Take the beamtime; verdicts are stored when this returns.

    The first two fifths are of known phases. ``frames`` are of one run.
    """
    told.begin("the agent starts")
    rng = np.random.default_rng(seed)
    engine: Any = RunEngine({})
    taken: list[Taken] = []
    standing = powder_beamline(folder / "standing")
    with Agent(
        poni=standing.poni_path,
        mask=standing.mask_path,
        detector="detector_image",
        classifier="onnx",
        tiled=server.uri,
        api_key=server.api_key,
    ) as agent:
        engine.subscribe(agent)
        for number in range(runs):
            told.begin(f"run {number + 1}")
            sample, kelvin = _sample(number, runs, frames, rng)
            low, high = np.log(COUNTS)
            beamline = powder_beamline(
                folder / str(number),
                sample,
                pace=0.0,
                seed=seed + number,
                counts=float(np.exp(rng.uniform(low, high))),
                background=float(rng.uniform(*BACKGROUND)),
                temperature=float(kelvin[0]),
            )
            steps = [{beamline.furnace: float(t)} for t in kelvin]
            (uid,) = engine(beamline.step_scan(steps, darks=1))
            truth = [each.phase for each in beamline.truths]
            taken.append(Taken(uid=uid, truth=truth))
        if not agent.wait_idle(5.0 * PATIENCE_S):
            raise TimeoutError("the agent did not come to its verdicts")
    return taken


def _sample(
    number: int, runs: int, frames: int, rng: np.random.Generator
) -> tuple[Blend | Turning, Floats]:
    """What lies in the beam in a run, and its temperatures, kelvin."""
    first = runs * 2 // 5
    known = PHASES[KNOWN[number % len(KNOWN)]]
    warm = np.full(frames, rng.uniform(290.0, 345.0))
    kind = (number - first) % 6
    if number < first or kind == 5:
        return Blend(((known, 1.0),)), warm
    new = NEW[kind % 2]
    if kind < 4:
        return Blend(((new, 1.0),)), warm
    # Rises slowly enough that hardly a frame sees both.
    return Turning(known, NEW[(number // 6) % 2]), np.linspace(310.0, 390.0, frames)


def relabelled(
    server: EmbeddedTiled, taken: Sequence[Taken], heads: Path
) -> dict[str, Any]:
    """Find, name, label again, and compare with the truth; a row of the table."""
    root = server.client()
    runs = [stored_frames(root, "analysis", each.uid) for each in taken]
    began = time.perf_counter()
    seen = [each.uid for each in taken[: len(taken) * 2 // 5]]
    found = find_new(runs, seen, None)
    truth = {(each.uid, i): t for each in taken for i, t in enumerate(each.truth)}
    new = {phase.name: f"new_{i + 1}" for i, phase in enumerate(NEW)}
    # The person who looks at the example knows what it is.
    names = {c.number: new.get(truth[c.example[0], c.example[3]], "") for c in found}
    names = {number: name for number, name in names.items() if name}
    head, card = name_cluster(runs, found, names, seen, None)
    card |= {"by": "benchmark", "model_hash": runs[-1].start["model_hash"]}
    kept = Registry(heads).shadow("phases", head, card, "benchmark")
    number, before = newest_version(root)
    done = label_again(runs, kept, before)
    store_version(server.uri, done, kept, "benchmark", number + 1)
    changed = changes(done)
    wrong = sum(
        each.changed != (truth[each.raw_uid, each.raw_index] in new)
        or (each.changed and each.label != new[truth[each.raw_uid, each.raw_index]])
        for each in done
    )
    return {
        "runs": len(runs),
        "frames": len(done),
        "auroc": _auroc_of(runs, seen, truth, set(new)),
        "clusters": len(found),
        "named": len(names),
        "changed": f"{sum(changed.values())} frames of {len(changed)} runs",
        "wrong": wrong,
        "seconds": time.perf_counter() - began,
    }


def _auroc_of(
    runs: Sequence[StoredFrames],
    seen: Sequence[str],
    truth: dict[tuple[str, int], str],
    new: set[str],
) -> float:
    """Of the distance to the nearest seen phase, over the frames of later runs."""
    known = seen_phases([run.embedding for run in runs if run.raw_uid in seen])
    assert known is not None
    later = [run for run in runs if run.raw_uid not in seen]
    novelty = np.concatenate([known.novelty(run.embedding) for run in later])
    is_new = [truth[run.raw_uid, key[2]] in new for run in later for key in run.keys]
    return auroc(novelty, np.array(is_new))


def main() -> None:
    """Print the table."""
    parser = Parser(__doc__)
    parser.option("--runs", whole(10, 1000), 20, "of the beamtime")
    parser.option("--frames", whole(4, 1000), 16, "of a run")
    parser.option("--drawn", whole(0, 1000), 0, "beamtimes of drawn patterns instead")
    parser.option("--scale", whole(0, 100), 0, "how far so many materials lie apart")
    parser.option("--seed", whole(0, 2**31), SEED, "of all that is drawn")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.scale == 1:
        parser.error("--scale 1: one material lies far from none, give 2 or more")
    if given.drawn:
        row = drawn(given.drawn, given.seed)
    elif given.scale:
        row = scale(given.scale, given.seed)
    else:
        with (
            steps("beamtime", given.runs + 2) as told,
            tempfile.TemporaryDirectory(prefix="ringwatch-beamtime-") as scratch,
            EmbeddedTiled(Path(scratch) / "tiled") as server,
        ):
            each = {key: getattr(given, key) for key in ("runs", "frames", "seed")}
            taken = take_runs(Path(scratch), server, **each, told=told)
            told.begin("what is new is found, named and labelled")
            os.environ["TILED_API_KEY"] = server.api_key
            row = relabelled(server, taken, Path(scratch) / "heads")
    if given.json:
        show_json([row])
    else:
        show_table([row], "New phases found, named and labelled", _ASKED)


if __name__ == "__main__":
    main()

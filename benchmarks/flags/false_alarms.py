"""False alarms: millions of cakes without a fault, quiet runs and decoys.

One false alarm is one contiguous episode of the verdicts ``bad`` or ``misaligned``.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from ringwatch.agent.nouns import Word
from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.ledger import Ledger
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.benchmarks.flags.stories import STORIES
from ringwatch.simulated_beamline.bench_geometries import BENCH_SAMPLES

__all__ = ["FRAME_RATE_HZ", "Run", "draw_runs", "judge_run", "summarize"]

FRAME_RATE_HZ = 10.0
_GEOMETRIES = {
    "small": 0.3,
    "cheap": 0.1,
    "quarter": 0.2,
    "off_centre": 0.1,
    "total_scattering": 0.1,
    "one_metre": 0.1,
    "modules": 0.08,
    "reference": 0.02,
}
_DECADES = (3.0, 8.0)  # of the counts of a frame
_ALARMS = (Word.BAD, Word.MISALIGNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run to be judged.

    Attributes
    ----------
    number : int
    story : str
        Key of ``STORIES``.
    scene : Scene
    frames : int
    seed : int
        Of this run.
    """

    number: int
    story: str
    scene: Scene
    frames: int
    seed: int


def draw_runs(runs: int, frames: int, seed: int) -> Iterator[Run]:
    """Draw the stated mix; run number k is the same whatever their number."""
    names, shares = zip(*((n, s) for n, (_, s) in STORIES.items()), strict=True)
    places, weights = zip(*_GEOMETRIES.items(), strict=True)
    for number in range(runs):
        rng = np.random.default_rng([seed, number])
        scene = Scene(
            geometry=str(rng.choice(places, p=weights)),
            sample=str(rng.choice(list(BENCH_SAMPLES))),
            counts=float(10.0 ** rng.uniform(*_DECADES)),
        )
        yield Run(
            number=number,
            story=str(rng.choice(names, p=shares)),
            scene=scene,
            frames=frames,
            seed=int(rng.integers(1 << 40)),
        )


def judge_run(run: Run) -> dict[str, Any]:
    """Judge one run; words, raised flags, and each episode of an alarm."""
    rng = np.random.default_rng(run.seed)
    tell, _ = STORIES[run.story]
    stage = Stage(run.scene, run.seed ^ 0x5EED)
    fold = stage.fold()
    words: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    episodes: list[dict[str, Any]] = []
    baselines, complaining = Baselines(), set[str]()
    complaints: Counter[str] = Counter()
    within = False
    for index, moment in enumerate(tell(run.scene, run.seed, run.frames, rng)):
        cake = stage.cake(moment.rates, scale=moment.beam)
        facts = stage.facts(cake, index, moment.readbacks, scanned=moment.scanned)
        quality = fold.judge(facts)
        told = baselines.judge(facts, clip=False)
        complaints.update(told - complaining)
        complaining = told
        words[quality.word.value] += 1
        flags.update(flag.label for flag in quality.raised)
        alarm = quality.word in _ALARMS
        if alarm and not within:
            cause = quality.primary.label if quality.primary else ""
            episodes.append({"frame": index, "flag": cause, "why": quality.reason})
        elif alarm:
            episodes[-1]["frames"] = index - episodes[-1]["frame"] + 1
        within = alarm
    return {
        "story": run.story,
        **asdict(run.scene),
        "frames": run.frames,
        "words": dict(words),
        "flags": dict(flags),
        "episodes": episodes,
        "baselines": dict(complaints),
    }


def summarize(ledger: Ledger) -> dict[str, Any]:
    """Alarms per hour with their upper limit, by story, geometry, sample and counts."""
    results = [result for _, result in ledger.results()]
    frames = sum(r["frames"] for r in results)
    alarms = sum(len(r["episodes"]) for r in results)
    hours = frames / FRAME_RATE_HZ / 3600.0
    return {
        "frames": frames,
        "hours": hours,
        "alarms": alarms,
        "per_hour": alarms / hours if hours else 0.0,
        "upper_limit_per_hour": _most(alarms) / hours if hours else float("inf"),
        "by": {key: _split(results, key) for key in ("story", "geometry", "sample")}
        | {"counts": _split(results, "counts", lambda c: f"1e{int(np.log10(c))}")},
        "episodes": [
            {"story": r["story"], "geometry": r["geometry"], "sample": r["sample"]}
            | {"counts": r["counts"]}
            | episode
            for r in results
            for episode in r["episodes"]
        ],
        "digest": zlib.crc32(repr(sorted(ledger.results())).encode()),
    }


def _most(alarms: int) -> float:
    """Upper limit at 95 % (one-sided) of a Poisson mean (F. Garwood, 1936)."""
    return float(chi2.ppf(0.95, 2 * (alarms + 1)) / 2)


def _split(
    results: list[dict[str, Any]], key: str, name: Any = str
) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for result in results:
        row = table.setdefault(
            name(result[key]),
            {"frames": 0, "alarms": 0, "suspect": 0, "flags": {}, "baselines": {}},
        )
        row["frames"] += result["frames"]
        row["alarms"] += len(result["episodes"])
        for rule, count in result["baselines"].items():
            row["baselines"][rule] = row["baselines"].get(rule, 0) + count
        row["suspect"] += result["words"].get("suspect", 0)
        for flag, count in result["flags"].items():
            row["flags"][flag] = row["flags"].get(flag, 0) + count
    return dict(sorted(table.items()))

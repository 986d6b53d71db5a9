"""How an agent is, out of its metrics: numbers, a state, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

__all__ = [
    "NoAgentError",
    "Problem",
    "Report",
    "read_report",
    "report_of",
    "unreachable",
]

STUCK_S = 30.0
"""So long nothing comes of what waits before that counts as stale."""

_PREFIX = "ringwatch_"
_REMEDIES = {
    "tiled": "see whether the Tiled server runs and takes the key; results wait for it",
    "spool": "make room on the disk of the spool, or mend its folder",
    "refused": "the log says which documents; they stay in the spool",
    "lost": "replay the runs that the log names",
}
_FASTER = {
    "wait": "fewer frames a second, or a faster machine",
    "read": "bring the agent nearer to the files, or the dark run to Tiled",
    "reduce": "fewer frames a second, or a faster machine",
    "flags": "fewer frames a second, or a faster machine",
    "classify": "a GPU, or classifier = 'none' where nobody needs labels",
}

_STARTING = "compiled code is being loaded (the very first time it is made: minutes)"

Samples = Mapping[str, Mapping[tuple[str, ...], float]]
"""Values by the name of the metric and the values of its labels, in their order."""


class NoAgentError(ValueError):
    """What was read are not the metrics of an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, and the remedy."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How an agent is.

    Attributes
    ----------
    url : str
    state : str
        ``starting``, ``idle``, ``working``, ``behind``, ``stale``, ``troubled``,
        ``ending``, ``ended`` or ``unreachable``.
    problems : tuple of Problem
        None where the agent is healthy.
    numbers : dict
        What it told; empty where it could not be reached.
    """

    url: str
    state: str
    problems: tuple[Problem, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def alive(self) -> bool:
        """Whether its worker runs, or is about to."""
        return self.state not in ("ended", "unreachable")

    @property
    def moves(self) -> bool:
        """Whether something comes of what it is given, be it late."""
        return self.alive and self.state != "stale"

    @property
    def ready(self) -> bool:
        """Whether frames that come now get their verdict from this process.

        Also where it is behind or Tiled is away: both cost no verdict.
        """
        return self.moves and self.state not in ("starting", "ending")

    @property
    def why(self) -> str:
        """What is wrong or waited for, in one line; empty where nothing is."""
        if self.state == "starting":
            return _STARTING
        return "; ".join(problem.what for problem in self.problems)

    def to_object(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        problems = [{"what": p.what, "remedy": p.remedy} for p in self.problems]
        told = {"url": self.url, "state": self.state, "healthy": self.healthy}
        return {**told, "problems": problems, **self.numbers}


def unreachable(url: str, why: str) -> Report:
    """Report of an agent that does not answer."""
    remedy = (
        "start one with `ringwatch serve --config agent.toml`, with a line such as "
        'metrics = "127.0.0.1:9578" in agent.toml, or name the right address'
    )
    problem = Problem(what=f"no agent answers at {url}: {why}", remedy=remedy)
    return Report(url=url, state="unreachable", problems=(problem,))


def read_report(url: str, text: str) -> Report:
    """Report of an agent out of its metrics, in the text format of Prometheus.

    Raises
    ------
    NoAgentError
        Where they are no metrics of an agent.
    """
    return report_of(url, text_string_to_metric_families(text))


def report_of(url: str, families: Iterable[Metric]) -> Report:
    """Report of an agent out of its metrics, as they are collected or parsed.

    Raises
    ------
    NoAgentError
        Where they are no metrics of an agent.
    """
    try:
        samples = _read(families)
        numbers = _numbers(samples)
    except (ValueError, LookupError) as error:
        raise NoAgentError("what answers there are no metrics of an agent") from error
    alive, ready, ending = (
        _one(samples, f"worker_{key}") > 0 for key in ("alive", "ready", "ending")
    )
    if not ready:  # its documents wait, and it may have runs to take up
        return Report(url=url, state="starting", numbers=numbers)
    found = dict(_problems(numbers, alive=alive, ending=ending))
    busy = "working" if numbers["queue"]["age_s"] > 0 else "idle"
    order = ("ended", "stale", "ending", "behind", "troubled")
    return Report(
        url=url,
        state=next((state for state in order if found.get(state)), busy),
        problems=tuple(problem for state in order for problem in found.get(state, ())),
        numbers=numbers,
    )


def _read(families: Iterable[Metric]) -> Samples:
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    for family in families:
        for name, labels, value, *_ in family.samples:
            key = tuple(labels[label] for label in sorted(labels))
            samples.setdefault(name.removeprefix(_PREFIX), {})[key] = value
    return samples


def _one(samples: Samples, name: str) -> float:
    return samples[name][()]


def _labelled(samples: Samples, name: str) -> dict[str, float]:
    return {key[0]: value for key, value in samples.get(name, {}).items()}


def _counted(samples: Samples, name: str) -> dict[str, int]:
    return {key: int(n) for key, n in _labelled(samples, name).items()}


def _numbers(samples: Samples) -> dict[str, Any]:
    words = _counted(samples, "verdicts_total")
    final = sum(words.values())
    quantiles = samples.get("latency_seconds", {})
    stages: dict[str, dict[str, float]] = {}
    for (quantile, stage), value in samples.get("stage_seconds", {}).items():
        stages.setdefault(stage, {})[_percentile(quantile)] = round(value * 1e3, 3)
    ((analysis_id, agent_version),) = samples["agent_info"]
    sinks = {
        kind: {
            "pending": waiting,
            "failed": _counted(samples, "sink_failed_documents_total")[kind],
        }
        for kind, waiting in _counted(samples, "sink_pending_documents").items()
    }
    return {
        "version": agent_version,
        "analysis_id": analysis_id,
        "runs_open": int(_one(samples, "runs_open")),
        "frames_announced": int(_one(samples, "frames_announced_total")),
        "frames_final": final,
        "frames_analysed": final - words["unknown"],
        "frames_backfilled": int(_one(samples, "frames_backfilled_total")),
        "frames_lost": int(_one(samples, "frames_lost_total")),
        "words": words,
        "shed": _counted(samples, "shed_total"),
        "alarms": _counted(samples, "alarms_total"),
        "knob": {
            "false_alarms_per_hour": _one(samples, "budget_false_alarms_per_hour"),
            "frame_rate_hz": _one(samples, "budget_frame_rate_hertz"),
            "threshold_sigma": round(_one(samples, "threshold_sigma"), 3),
        },
        "documents_refused": int(_one(samples, "documents_refused_total")),
        "latency_ms": {
            _percentile(quantile): round(value * 1e3, 3)
            for (quantile,), value in quantiles.items()
        },
        "stages_ms": stages,
        "queue": {
            "documents": int(_one(samples, "queue_documents")),
            "bytes": int(_one(samples, "queue_bytes")),
            "age_s": round(_one(samples, "queue_age_seconds"), 3),
            "shed_after_s": _labelled(samples, "shed_after_seconds"),
        },
        "last_verdict_age_s": _finite(_one(samples, "last_verdict_age_seconds")),
        "sinks": sinks,
        "spool": {
            "bytes": int(_one(samples, "spool_bytes")),
            "refused": int(_one(samples, "spool_refused_documents")),
        },
        "troubles": sorted(_labelled(samples, "trouble")),
    }


def _percentile(quantile: str) -> str:
    return f"p{float(quantile) * 100:g}"


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _problems(
    numbers: Mapping[str, Any], *, alive: bool, ending: bool
) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    if not alive:
        what = "its worker has ended"
        yield "ended", (Problem(what=what, remedy="restart it; the log says why"),)
        return
    queue, newest = numbers["queue"], numbers["last_verdict_age_s"]
    age, bound = queue["age_s"], queue["shed_after_s"]["label"]
    slowest = _slowest(numbers["stages_ms"])
    if age > STUCK_S and (newest is None or newest > STUCK_S):
        what = f"documents wait since {age:.0f} s, and nothing comes of them"
        remedy = "a file system or a dark run may hang: see the log, then restart it"
        yield "stale", (Problem(what=what, remedy=remedy),)
    elif age > bound:
        what = (
            f"it is {age:.1f} s behind: after {bound:g} s it leaves out labels, after "
            f"{queue['shed_after_s']['frame']:g} s frames, and fills them in later"
        )
        remedy = f"most time goes into {slowest!r}: {_FASTER[slowest]}"
        yield "behind", (Problem(what=what, remedy=remedy),)
    if ending:
        what = "it is ending: it takes no more documents"
        yield "ending", (Problem(what=what, remedy="wait, then start it again"),)
    troubles = [
        Problem(
            what=f"trouble with {name!r}", remedy=_REMEDIES.get(name, "see the log")
        )
        for name in numbers["troubles"]
    ]
    if numbers["frames_lost"]:
        what = f"{numbers['frames_lost']} verdicts could not be published"
        remedy = "the log says why; report it, and replay the runs"
        troubles.append(Problem(what=what, remedy=remedy))
    yield "troubled", tuple(troubles)


def _slowest(stages: Mapping[str, Mapping[str, float]]) -> str:
    """The stage that takes most, waiting apart."""
    taken = {stage: of["p50"] for stage, of in stages.items() if stage in _FASTER}
    taken.pop("wait", None)
    return max(taken, key=lambda stage: taken[stage], default="wait")

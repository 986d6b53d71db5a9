"""What an agent tells of itself, as Prometheus takes it.

Everything is read when somebody asks, from a snapshot under short locks: the worker
pays for nothing but the counters that it keeps anyway. Times are in seconds.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Protocol, runtime_checkable

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.inbox import Inbox
from ringwatch.agent.nouns import Word
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.runs.counters import RECENT, Counters
from ringwatch.agent.sinks import Sink
from ringwatch.agent.timings import STAGES, TIMINGS
from ringwatch.agent.worker import Worker

__all__ = ["QUANTILES", "AgentCollector", "quantiles_of"]

QUANTILES = (0.5, 0.99)
"""Of latency and stages, over the newest frames."""


@runtime_checkable
class _Spools(Protocol):
    """A sink with files between it and where its documents go."""

    @property
    def file_bytes(self) -> int: ...

    @property
    def held(self) -> int: ...

    @property
    def troubles(self) -> Mapping[str, str]: ...


class AgentCollector(Collector):
    """Metrics of one agent; for a registry of its own.

    Parameters
    ----------
    analysis : Analysis
    worker : Worker
    inbox : Inbox
    sinks : sequence of Sink
        Those of one kind are counted together.
    refused : callable
        Documents that never came as far as the inbox.
    """

    def __init__(
        self,
        analysis: Analysis,
        worker: Worker,
        inbox: Inbox,
        sinks: Sequence[Sink],
        refused: Callable[[], int],
    ) -> None:
        self._analysis, self._worker = analysis, worker
        self._inbox, self._sinks = inbox, sinks
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        worker, identity = self._worker, self._analysis.analysis_id
        counters = worker.counters.snapshot()
        told = {"version": version("ringwatch"), "analysis_id": identity}
        yield InfoMetricFamily("ringwatch_agent", "Which agent it is.", value=told)
        yield _gauge("worker_alive", "Whether the worker's thread runs.", worker.alive)
        yield _gauge("worker_ready", "Whether compiled code is loaded.", worker.ready)
        ending = self._inbox.closed
        yield _gauge("worker_ending", "Whether it takes no more documents.", ending)
        open_runs = len(worker.open_runs)
        yield _gauge("runs_open", "Raw runs that are not through yet.", open_runs)
        refused = counters.malformed + self._refused()
        yield _counter("documents_refused", "Malformed documents left out.", refused)
        yield from _frames(counters)
        yield from _timings(counters)
        yield from self._queue()
        yield from _knob(self._analysis.settings.quality)
        yield from _of_sinks(self._sinks)
        yield from _of_spools(s for s in self._sinks if isinstance(s, _Spools))

    def _queue(self) -> Iterator[Metric]:
        queue, settings = self._inbox.queue, self._analysis.settings
        yield _gauge(
            "queue_documents", "Documents that wait for the worker.", queue.documents
        )
        yield _gauge("queue_bytes", "Bytes of pixels in them.", queue.nbytes)
        yield _gauge(
            "queue_age_seconds",
            "Age of the oldest document that is not worked off.",
            max(queue.age_s, self._worker.oldest_s),
        )
        yield _gauges(
            "shed_after_seconds",
            "Age from which labels, then frames are left out.",
            "what",
            {
                "label": settings.shed_labels_after_s,
                "frame": settings.shed_frames_after_s,
            },
        )


def _knob(quality: QualitySettings) -> Iterator[Metric]:
    """The one knob of the flags, and what follows from it."""
    yield _gauge(
        "budget_false_alarms_per_hour",
        "False alarms an hour that are accepted, over all flags.",
        quality.false_alarms_per_hour,
    )
    yield _gauge(
        "budget_frame_rate_hertz",
        "Frames a second for which they are.",
        quality.frame_rate_hz,
    )
    yield _gauge(
        "threshold_sigma",
        "Standard deviations from which on a flag may be raised.",
        quality.threshold,
    )


def _frames(counters: Counters) -> Iterator[Metric]:
    yield _counter("frames_announced", "Frames announced.", counters.announced)
    yield _counters(
        "verdicts",
        "Frames by the word of their final verdict.",
        "word",
        {word.value: counters.words[word.value] for word in Word},
    )
    yield _counter(
        "verdicts_provisional", "Verdicts that were not final.", counters.provisional
    )
    yield _counters(
        "shed",
        "Verdicts without a look, or without a label, because frames came too fast.",
        "what",
        {"frame": counters.shed_frames, "label": counters.shed_labels},
    )
    yield _counter(
        "frames_backfilled",
        "Frames whose final verdict came in a second pass.",
        counters.backfilled,
    )
    yield _counter(
        "frames_lost", "Frames whose verdict could not be published.", counters.lost
    )
    yield _counters("alarms", "Alarms that began.", "flag", counters.alarms)


def _timings(counters: Counters) -> Iterator[Metric]:
    age = time.monotonic() - counters.last_at
    yield _gauge(
        "last_verdict_age_seconds", "Since the newest verdict; NaN before one.", age
    )
    over = f"quantiles over the newest {RECENT} frames"
    latency = GaugeMetricFamily(
        "ringwatch_latency_seconds",
        f"From a frame's document to its verdict, {over}.",
        labels=["quantile"],
    )
    stages = GaugeMetricFamily(
        "ringwatch_stage_seconds",
        f"What stages of it took, {over} that went through them.",
        labels=["stage", "quantile"],
    )
    for name in TIMINGS:
        taken = quantiles_of(timings[name] for timings in counters.recent)
        for quantile, milliseconds in taken.items():
            if name in STAGES:
                labels = [name.removesuffix("_ms"), str(quantile)]
                stages.add_metric(labels, milliseconds * 1e-3)
            else:
                latency.add_metric([str(quantile)], milliseconds * 1e-3)
    yield latency
    yield stages


def quantiles_of(values: Iterable[float]) -> dict[float, float]:
    """``QUANTILES`` of the values, NaN left out; none where there is no value.

    The smallest value that so many of them do not exceed: definition 1 of Hyndman and
    Fan, Am. Stat. 50 (1996) 361.
    """
    ranked = sorted(value for value in values if not math.isnan(value))
    if not ranked:
        return {}
    return {q: ranked[max(0, math.ceil(q * len(ranked)) - 1)] for q in QUANTILES}


def _of_sinks(sinks: Sequence[Sink]) -> Iterator[Metric]:
    sent, failed, pending = Counter[str](), Counter[str](), Counter[str]()
    for sink in sinks:
        kind = type(sink).__name__.removesuffix("Sink").lower() or "sink"
        sent[kind] += sink.sent
        failed[kind] += sink.failed
        pending[kind] += sink.pending
    # No counter: what a Tiled has lost is handed over once more.
    told = "Documents handed over for good."
    yield _gauges("sink_sent_documents", told, "sink", sent)
    yield _counters("sink_failed_documents", "Documents given up.", "sink", failed)
    told = "Documents neither handed over nor given up."
    yield _gauges("sink_pending_documents", told, "sink", pending)


def _of_spools(sinks: Iterable[_Spools]) -> Iterator[Metric]:
    nbytes = held = 0
    troubles: dict[str, float] = {}
    for sink in sinks:
        nbytes += sink.file_bytes
        held += sink.held
        troubles |= dict.fromkeys(sink.troubles, 1.0)
    yield _gauge("spool_bytes", "Bytes of the spool's files.", nbytes)
    yield _gauge("spool_refused_documents", "Documents that Tiled refuses.", held)
    yield _gauges("trouble", "What is wrong on the way to Tiled.", "name", troubles)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ringwatch_{name}", told, value=float(value))


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(f"ringwatch_{name}", told, value=float(value))


def _gauges(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"ringwatch_{name}", told, labels=[label])
    for each, value in values.items():
        family.add_metric([each], float(value))
    return family


def _counters(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"ringwatch_{name}", told, labels=[label])
    for each, value in values.items():
        family.add_metric([each], float(value))
    return family

"""What an agent tells of itself over HTTP, while it works and when it is stuck."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from bluesky import RunEngine
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from ringwatch.agent import Agent
from ringwatch.agent.agent import Agent as RealAgent
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.metrics import quantiles_of
from ringwatch.agent.metrics_server import host_and_port, url_of
from ringwatch.agent.runs.counters import RECENT
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.timings import STAGES
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

from .derived_documents import wait_until
from .hanging import Hangs
from .service import inline_run

ANY_PORT = "127.0.0.1:0"


@pytest.fixture
def hangs() -> Iterator[Hangs]:
    classifier = Hangs()
    yield classifier
    classifier.released.set()


@pytest.fixture
def detector(ring_source: ListedFrames, tmp_path: Path) -> StreamDetector:
    return StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.001
    )


def scrape(agent: RealAgent) -> dict[tuple[str, ...], float]:
    """Values by name and labels, ``ringwatch_`` left out."""
    assert agent.metrics_url is not None
    with urlopen(agent.metrics_url, timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (
            sample.name.removeprefix("ringwatch_"),
            *(sample.labels[label] for label in sorted(sample.labels)),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_numbers_are_those_of_the_run(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    agent = Agent(poni=poni, classifier="none", sinks=(memory_sink,), metrics=ANY_PORT)
    assert agent.wait_idle(120)
    before = scrape(agent)
    assert before["frames_announced_total",] == 0
    assert math.isnan(before["last_verdict_age_seconds",])
    assert not any(key[0] == "latency_seconds" for key in before)
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 7))
    agent("event", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        agent.feed("event", None)  # type: ignore[arg-type]
    agent("descriptor", {"uid": "of no run"})
    assert agent.wait_idle(30)
    found = scrape(agent)
    assert agent.close()
    assert found["frames_announced_total",] == 7
    assert found["verdicts_total", "good"] == 7
    assert found["verdicts_total", "unknown"] == 0
    assert found["documents_refused_total",] == 3
    assert found["queue_documents",] == found["queue_age_seconds",] == 0
    assert found["runs_open",] == 0
    assert found["worker_alive",] == found["worker_ready",] == 1
    assert 0 <= found["last_verdict_age_seconds",] < 30
    assert found["sink_sent_documents", "memory"] == len(memory_sink.documents)
    events = memory_sink.events()
    for name in ("latency", "wait", "read", "reduce", "flags"):
        told = quantiles_of([event[f"{name}_ms"] for event in events])
        for quantile, milliseconds in told.items():
            key = ("latency_seconds",) if name == "latency" else ("stage_seconds",)
            labels = (str(quantile),) if name == "latency" else (str(quantile), name)
            assert found[*key, *labels] == pytest.approx(milliseconds * 1e-3)
    assert ("stage_seconds", "0.5", "classify") not in found


def test_a_stuck_worker_is_told_and_does_not_silence_the_metrics(
    hangs: Hangs, poni: Path, ring_frames: list[Any]
) -> None:
    agent = Agent(poni=poni, classifier=hangs, metrics=ANY_PORT)
    assert agent.wait_idle(120)
    hangs.warm = True
    for name, doc in inline_run(ring_frames[:5]):
        agent(name, doc)
    assert hangs.asked.wait(30)
    first = scrape(agent)
    time.sleep(0.5)
    second = scrape(agent)
    # Two frames more are on their way: one is reduced, one is read.
    assert first["queue_documents",] == second["queue_documents",] == 3
    assert second["queue_bytes",] == 2 * ring_frames[0].nbytes
    assert second["queue_age_seconds",] - first["queue_age_seconds",] >= 0.5
    assert second["frames_announced_total",] == 3
    assert second["runs_open",] == 1
    hangs.released.set()
    assert agent.wait_idle(30)
    third = scrape(agent)
    assert third["queue_age_seconds",] == third["queue_documents",] == 0
    assert third["stage_seconds", "0.99", "classify"] > 0.5
    assert agent.close()


def test_many_frames_of_one_document_wait_as_long_as_it(
    hangs: Hangs, run_engine: RunEngine, detector: Any, poni: Path
) -> None:
    """A StreamDatum of nine frames is in the worker's hands: the queue is empty."""
    documents: list[tuple[str, Any]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(step_scan(detector, 9))
    first = next(doc for name, doc in documents if name == "stream_datum")
    whole = first | {"indices": {"start": 0, "stop": 9}}
    whole |= {"seq_nums": {"start": 1, "stop": 10}}
    kept = [d for d in documents[:-1] if d[0] not in ("stream_datum", "event")]
    agent = Agent(poni=poni, classifier=hangs, metrics=ANY_PORT, hold_s=0)
    assert agent.wait_idle(120)
    hangs.warm = True
    for name, doc in [*kept, ("stream_datum", whole)]:
        agent(name, doc)
    assert hangs.asked.wait(30)
    time.sleep(0.3)
    found = scrape(agent)
    assert found["queue_documents",] == 0
    assert found["queue_age_seconds",] >= 0.3
    hangs.released.set()
    agent(*documents[-1])
    assert agent.close()
    assert agent.counters.announced == 9


def test_two_agents_of_one_process_tell_each_its_own(
    poni: Path, ring_frames: list[Any]
) -> None:
    known = {family.name for family in REGISTRY.collect()}
    with (
        Agent(poni=poni, classifier="none", metrics=ANY_PORT) as one,
        Agent(poni=poni, classifier="none", metrics=ANY_PORT) as other,
    ):
        for name, doc in inline_run(ring_frames[:2]):
            one(name, doc)
        assert one.wait_idle(120)
        assert other.wait_idle(120)
        assert scrape(one)["frames_announced_total",] == 2
        assert scrape(other)["frames_announced_total",] == 0
    assert {family.name for family in REGISTRY.collect()} == known  # nothing global


def test_the_server_ends_with_its_agent(poni: Path) -> None:
    agent = Agent(poni=poni, classifier="none", metrics=ANY_PORT)
    url = agent.metrics_url
    assert url is not None
    assert any(t.name == "ringwatch-metrics" for t in threading.enumerate())
    assert agent.close()
    with pytest.raises(URLError, match="refused"):
        urlopen(url, timeout=5)
    assert not any(t.name == "ringwatch-metrics" for t in threading.enumerate())
    assert agent.close()  # once more does no harm
    again = Agent(poni=poni, classifier="none", metrics=url[7:-8])  # the port is free
    assert again.close()


def test_an_address_that_cannot_be_had_is_told_at_the_start(poni: Path) -> None:
    def make(metrics: str, **others: Any) -> RealAgent:
        return Agent(poni=poni, classifier="none", metrics=metrics, **others)

    with make(ANY_PORT) as first:
        assert first.metrics_url is not None
        taken = first.metrics_url[7:-8]
        with pytest.raises(SettingsError, match=r"in use; give each agent .* own"):
            make(taken)
        assert scrape(first)["worker_alive",] == 1
    with pytest.raises(SettingsError, match="allow_remote"):
        make("0.0.0.0:0")
    with pytest.raises(SettingsError, match="allow_remote"):
        make("beamline.example:9578")
    with pytest.raises(SettingsError, match="cannot be served"):
        make("192.0.2.7:9578", allow_remote=True)  # of no machine
    with make("0.0.0.0:0", allow_remote=True) as open_to_all:
        assert str(open_to_all.metrics_url).startswith("http://127.0.0.1:")
        assert scrape(open_to_all)["worker_alive",] == 1
    for malformed in ("9578", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:1", ""):
        with pytest.raises(SettingsError, match="is no address; expected host:port"):
            make(malformed)


def test_a_publisher_is_closed_where_metrics_cannot_be_served(poni: Path) -> None:
    """Else its address stays taken, and the next try fails for another reason."""
    publish = "tcp://127.0.0.1:*"
    with Agent(poni=poni, classifier="none", publish=publish) as first:
        address = first.address
    with pytest.raises(SettingsError, match="is no address"):
        Agent(poni=poni, classifier="none", publish=address, metrics="nonsense")
    with Agent(poni=poni, classifier="none", publish=address) as again:
        assert again.address == address


def test_what_waits_for_an_absent_tiled_is_told(
    poni: Path, tmp_path: Path, ring_frames: list[Any]
) -> None:
    agent = Agent(
        poni=poni,
        classifier="none",
        tiled="http://127.0.0.1:9",
        state=tmp_path / "state",
        metrics=ANY_PORT,
    )
    for name, doc in inline_run(ring_frames[:3]):
        agent(name, doc)
    assert wait_until(lambda: agent.counters.analysed == 3, 120)
    assert wait_until(lambda: scrape(agent).get(("trouble", "tiled")) == 1)
    found = scrape(agent)
    assert found["sink_pending_documents", "spooled"] == 6
    files = [p for p in (tmp_path / "state").rglob("*.spool") if p.is_file()]
    assert found["spool_bytes",] == sum(p.stat().st_size for p in files) > 0
    agent.close(5)


def test_only_the_newest_frames_count(poni: Path, ring_frames: list[Any]) -> None:
    agent = Agent(poni=poni, classifier="none", metrics=ANY_PORT)
    for name, doc in inline_run(ring_frames[:1]):
        agent(name, doc)
    assert agent.wait_idle(120)
    recent = agent.counters.recent
    (timings,) = recent
    for number in range(RECENT + 10):
        recent.append(dict.fromkeys(timings, float(number)))
    found = scrape(agent)
    assert found["latency_seconds", "0.5"] == pytest.approx((10 + 499) * 1e-3)
    assert found["latency_seconds", "0.99"] == pytest.approx((10 + 989) * 1e-3)
    assert agent.close()


@pytest.mark.parametrize(
    ("values", "median", "high"),
    [
        ([3.0], 3.0, 3.0),
        ([2.0, 1.0], 1.0, 2.0),
        ([float(n) for n in range(1, 101)], 50.0, 99.0),
        ([math.nan, 5.0, math.nan, 7.0, 6.0], 6.0, 7.0),
    ],
)
def test_quantiles_by_nearest_rank(
    values: list[float], median: float, high: float
) -> None:
    assert quantiles_of(values) == {0.5: median, 0.99: high}


def test_no_values_have_no_quantiles() -> None:
    assert quantiles_of([]) == quantiles_of([math.nan]) == {}
    assert len(STAGES) == 5


def test_addresses_and_where_to_find_them() -> None:
    assert host_and_port("127.0.0.1:9578") == ("127.0.0.1", 9578)
    assert host_and_port("[::1]:9578") == ("::1", 9578)
    assert url_of("0.0.0.0", 1) == "http://127.0.0.1:1/metrics"
    assert url_of("::1", 1) == "http://[::1]:1/metrics"
    assert url_of("beamline", 1) == "http://beamline:1/metrics"

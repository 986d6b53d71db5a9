"""The whole way: a real scan, the agent beside it, the stored run replayed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine
from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, RunEngineInterrupted
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent import Agent
from ringwatch.agent.cli.compare import differences, final_verdicts
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, with_dark_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

STYLES = ("inline", "datum", "stream")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beamline")


def settings_for(beamline: Beamline) -> dict[str, Any]:
    return {
        "poni": beamline.poni_path,
        "mask": beamline.mask_path,
        "detector": "detector_image",
        "classifier": "none",
    }


def pausing(plan: Any, at: int) -> Any:
    """The plan, with a pause in the middle of a point: it rewinds to the checkpoint."""
    triggers = []

    def pause_once(msg: Msg) -> Any:
        if msg.command == "trigger":
            triggers.append(msg)
        if msg.command == "create" and len(triggers) == at and not pausing_done:
            pausing_done.append(True)
            return None, bps.pause()
        return None, None

    pausing_done: list[bool] = []
    return plan_mutator(plan, pause_once)


def pausing_flight(engine: RunEngine) -> Callable[[str, dict[str, Any]], None]:
    """A callback that pauses the RunEngine when a flight announces its first frames.

    Out of a thread of its own, as a person at a terminal does: the plan knows nothing
    of it, and the RunEngine's thread must not wait for itself.
    """
    flights: set[str] = set()

    def pause_once(name: str, doc: dict[str, Any]) -> None:
        if name == "descriptor" and doc["name"] == "primary":
            flights.add(doc["uid"])
        elif name == "stream_datum" and doc["descriptor"] in flights:
            flights.clear()
            threading.Thread(target=engine.request_pause).start()

    return pause_once


def run_live(
    engine: RunEngine,
    server: EmbeddedTiled,
    beamline: Beamline,
    plans: list[Any],
    *,
    pauses: bool = False,
    listener: Callable[[str, dict[str, Any]], None] | None = None,
) -> tuple[MemorySink, Counter[str], list[str], int]:
    """Run plans with the agent and a TiledWriter subscribed.

    Gives what the agent said, the frames announced in each stream, the runs' uids, and
    how many frames were announced when a pause came.
    """
    sink, frames, uids = MemorySink(), Counter[str](), []
    agent = Agent(sinks=(sink,), **settings_for(beamline))
    names: dict[str, str] = {}
    before_pause = 0

    def count(name: str, doc: dict[str, Any]) -> None:
        """Announced frames, counted apart from the agent."""
        if name == "start":
            uids.append(doc["uid"])
        elif name == "descriptor" and "detector_image" in doc["data_keys"]:
            names[doc["uid"]] = doc["name"]
        elif name == "stream_datum":
            indices = doc["indices"]
            frames[names[doc["descriptor"]]] += indices["stop"] - indices["start"]
        elif name == "event" and "detector_image" in doc["data"]:
            frames[names[doc["descriptor"]]] += 1

    tokens = [engine.subscribe(count), engine.subscribe(agent)]
    tokens.append(engine.subscribe(TiledWriter(server.catalog("raw"), batch_size=10)))
    if listener is not None:
        tokens.append(engine.subscribe(listener))
    for plan in plans:
        if pauses:
            with pytest.raises(RunEngineInterrupted):
                engine(plan)
            before_pause = frames["primary"]
            engine.resume()
        else:
            engine(plan)
    for token in tokens:
        engine.unsubscribe(token)
    assert agent.wait_idle(30)
    assert agent.close()
    return sink, frames, uids, before_pause


def run_replay(
    server: EmbeddedTiled, beamline: Beamline, uid: str, **options: Any
) -> MemorySink:
    sink = MemorySink()
    agent = Agent(sinks=(sink,), attempt=2, **settings_for(beamline) | options)
    runs = server.catalog("raw")
    for name, doc in with_dark_run(runs, find_run(runs, uid)):
        agent.feed(name, doc)
    assert agent.wait_idle(30)
    assert agent.close()
    return sink


def check(sink: MemorySink, frames: Counter[str], replayed: MemorySink) -> None:
    """Each frame one final verdict; live and replay agree to the last bit."""
    for stream, announced in frames.items():
        verdicts = [d for d in sink.events(stream) if d["final"]]
        assert [d["raw_index"] for d in verdicts] == list(range(announced))
    assert len(final_verdicts(sink.documents)) == sum(frames.values())
    assert differences(sink.documents, replayed.documents) == []


@pytest.mark.parametrize("style", STYLES)
def test_step_scan(
    style: str, folder: Path, server: EmbeddedTiled, run_engine: RunEngine
) -> None:
    beamline = powder_beamline(folder / f"step-{style}", detector=256, style=style)
    sink, frames, (uid,), _ = run_live(
        run_engine, server, beamline, [beamline.step_scan(8)]
    )
    assert frames == {"primary": 8}
    check(sink, frames, run_replay(server, beamline, uid))
    words = Counter(d["verdict"] for d in sink.events())
    assert words == {"good": 8}, [d["reason"] for d in sink.events()]


@pytest.mark.parametrize("style", STYLES)
def test_pause_and_resume_rewinds(
    style: str, folder: Path, server: EmbeddedTiled, run_engine: RunEngine
) -> None:
    beamline = powder_beamline(folder / f"pause-{style}", detector=256, style=style)
    sink, frames, (uid,), _ = run_live(
        run_engine,
        server,
        beamline,
        [pausing(beamline.step_scan(6), at=3)],
        pauses=True,
    )
    assert frames["primary"] >= 6
    check(sink, frames, run_replay(server, beamline, uid))
    assert {d["raw_seq_num"] for d in sink.events("primary")} == set(range(1, 7))


@pytest.mark.parametrize("style", STYLES)
def test_darks_in_their_own_stream(
    style: str, folder: Path, server: EmbeddedTiled, run_engine: RunEngine
) -> None:
    beamline = powder_beamline(folder / f"dark-{style}", detector=256, style=style)
    sink, frames, (uid,), _ = run_live(
        run_engine, server, beamline, [beamline.step_scan(5, darks=3)]
    )
    assert frames == {"dark": 3, "primary": 5}
    assert {d["verdict"] for d in sink.events("dark")} == {"unknown"}
    assert all("dark frame" in d["reason"] for d in sink.events("dark"))
    check(sink, frames, run_replay(server, beamline, uid))


@pytest.mark.parametrize("style", STYLES)
def test_dark_run_named_by_the_start(
    style: str, folder: Path, server: EmbeddedTiled, run_engine: RunEngine
) -> None:
    beamline = powder_beamline(folder / f"darkrun-{style}", detector=256, style=style)
    dark_uids: list[str] = []
    token = run_engine.subscribe(lambda n, d: dark_uids.append(d["uid"]), "start")

    def scan() -> Any:
        yield from beamline.dark_run(2)
        yield from beamline.step_scan(4, md={"sc_dk_field_uid": dark_uids[0]})

    sink, frames, uids, _ = run_live(run_engine, server, beamline, [scan()])
    run_engine.unsubscribe(token)
    assert frames["primary"] == 6  # two darks, four frames
    replayed = run_replay(server, beamline, uids[1])
    # Both runs have a stream of the same name: their frames must not be mixed up.
    assert len(final_verdicts(sink.documents)) == 6
    assert differences(sink.documents, replayed.documents) == []
    assert [d["verdict"] for d in sink.events()] == ["unknown"] * 2 + ["good"] * 4
    # Without its dark a run is not analysed as if there were none.
    alone = MemorySink()
    agent = Agent(sinks=(alone,), **settings_for(beamline))
    runs = server.catalog("raw")
    documents = list(with_dark_run(runs, find_run(runs, uids[1])))
    second = [n for n, d in documents].index("stop") + 1
    for name, doc in documents[second:]:
        agent(name, doc)
    agent.close()
    assert {d["verdict"] for d in alone.events()} == {"unknown"}
    assert all(dark_uids[0] in d["reason"] for d in alone.events())


# Only a detector that streams can fly: the RunEngine announces the frames of a flight
# by StreamDatum alone. The other two styles name a frame inside its event (the pixels,
# or a datum_id), and a flight has no events; ``Beamline.fly`` refuses them.
@pytest.mark.parametrize("darks", [0, 3])
@pytest.mark.parametrize("paused", [False, True])
def test_fly_scan(
    darks: int,
    paused: bool,
    folder: Path,
    server: EmbeddedTiled,
    run_engine: RunEngine,
) -> None:
    beamline = powder_beamline(
        folder / f"fly-{darks}-{paused}", detector=256, exposure_time=0.04
    )
    sink, frames, (uid,), before_pause = run_live(
        run_engine,
        server,
        beamline,
        [beamline.fly(24, darks=darks)],
        pauses=paused,
        listener=pausing_flight(run_engine) if paused else None,
    )
    assert frames == Counter(primary=24, dark=darks) + Counter()
    if paused:
        assert 0 < before_pause < 24  # in the middle
    check(sink, frames, run_replay(server, beamline, uid))
    assert {d["verdict"] for d in sink.events("primary")} == {"good"}
    assert {d["verdict"] for d in sink.events("dark")} == (
        {"unknown"} if darks else set()
    )


@pytest.mark.parametrize("style", ["inline", "datum"])
def test_only_streams_fly(style: str, folder: Path) -> None:
    beamline = powder_beamline(folder / f"no-fly-{style}", detector=256, style=style)
    with pytest.raises(ValueError, match=f"{style}.* cannot fly"):
        beamline.fly(3)

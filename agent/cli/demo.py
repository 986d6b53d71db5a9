"""``ringwatch demo``: a simulated experiment, watched live and replayed."""

from __future__ import annotations

import json
import logging
import socket
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from rich.console import Console
from rich.markup import escape

from ringwatch.agent.agent import Agent
from ringwatch.agent.cli.compare import BOOKKEEPING, differences
from ringwatch.agent.cli.demo_epics import (
    check_extra,
    epics_beamline,
    unlike_soft_devices,
)
from ringwatch.agent.cli.demo_summary import Outcome, summarize, tell
from ringwatch.agent.cli.present import VerdictTape
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import RingwatchError, SettingsError
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, with_dark_run
from ringwatch.simulated_beamline.scenarios import FurnaceRamp

# isort: split
# After embedded_tiled, which sets Tiled's retries before Tiled is imported.
from bluesky_tiled_plugins import TiledWriter
from tiled.queries import Key

__all__ = ["PAGE_PORT", "demo"]

PAGE_PORT = 8580


def demo(
    frames: Annotated[int, typer.Option(min=20, help="Frames of the run.")] = 50,
    style: Annotated[
        Literal["inline", "datum", "stream"],
        typer.Option(help="How frames are announced."),
    ] = "stream",
    seed: Annotated[int, typer.Option(help="Of the counting noise.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Keep data and archive here.")
    ] = None,
    epics: Annotated[
        bool,
        typer.Option("--epics", help="Scan through Channel Access, then compare."),
    ] = False,
    stay: Annotated[
        bool,
        typer.Option("--stay", help="Show it on a web page, and stay until Ctrl-C."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.")
    ] = False,
) -> None:
    """Heat BaTiO3 through its transition while things go wrong, and watch.

    The beam is lost for a while, one frame saturates, the detector slips by a pixel.
    Verdicts appear as they come; at the end they are compared with the truth, and the
    run is replayed from Tiled. Exits 0 only if every frame got its verdict, live and in
    Tiled, if live and replay agree to the last bit and if each injected fault was
    named. Labels are reported, not required.

    With `--epics` the scan goes through real Channel Access: an IOC has the experiment,
    stock ophyd classes stand before it and announce frames as areaDetector does. Then
    the same scan runs on the soft devices, in the style asked for, and the demo exits 0
    only if the verdicts of both agree to the last bit as well.

    With `--stay` a web page shows all of it while it happens, and page, agent and Tiled
    stay until Ctrl-C; the page's address is the first thing that is printed.

    For example: `ringwatch demo --stay`.
    """
    if epics:
        check_extra()
    console = Console(stderr=as_json)
    scenario = FurnaceRamp(frames=frames, style=style, seed=seed)
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"--folder {folder}: {error.strerror}") from error
        summary = _play(scenario, folder.resolve(), console, epics=epics, stay=stay)
        console.print(f"Run {summary['run']} and its archive are kept in {folder}.")
    else:
        with tempfile.TemporaryDirectory(prefix="ringwatch-demo-") as scratch:
            place = Path(scratch)
            summary = _play(scenario, place, console, epics=epics, stay=stay)
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    if not summary["ok"]:
        raise typer.Exit(1)


def _play(
    scenario: FurnaceRamp, folder: Path, console: Console, *, epics: bool, stay: bool
) -> dict[str, Any]:
    page = _page_address(console) if stay else None
    with ExitStack() as staying:
        summary = _show(scenario, folder, console, staying, epics=epics, page=page)
        if page is not None:
            console.print(f"The page stays at [bold]http://{page}/[/] until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    return summary


def _page_address(console: Console) -> str:
    """Where the page will be: the usual address, or another where that is taken."""
    for port in (PAGE_PORT, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
            console.print(f"Watch it at [bold]http://{address}/[/] (in a moment).")
            return address
    raise SettingsError("no port of 127.0.0.1 is free for the page")


def _show(
    scenario: FurnaceRamp,
    folder: Path,
    console: Console,
    staying: ExitStack,
    *,
    epics: bool,
    page: str | None,
) -> dict[str, Any]:
    began = time.monotonic()
    console.print(
        f"[bold]BaTiO3[/] from {scenario.start_k:.0f} K to {scenario.stop_k:.0f} K in "
        f"{scenario.frames} frames; tetragonal to cubic at 393 K."
    )
    with ExitStack() as running:
        tiled = EmbeddedTiled(folder / "tiled", readable_storage=[folder])
        (staying if page else running).enter_context(closing(tiled))
        beamline = _set_up(scenario, folder, tiled, console, running, epics=epics)
        live, uid, drained = _run_live(
            scenario, beamline, console, tiled, page=page, staying=staying
        )
        console.print("Replaying the stored run from Tiled ...")
        replayed, complete = _run_replay(beamline, tiled, uid, console)
        stored = _stored_verdicts(tiled, uid)
    unlike_soft = None
    if epics:
        console.print("The same scan on the soft devices ...")
        soft, _, told = _run_live(scenario, scenario.beamline(folder / "soft"), console)
        unlike_soft = unlike_soft_devices(live.documents, soft.documents)
        complete = complete and told
    outcome = Outcome(
        events=live.events("primary"),
        all_events=live.events(),
        drained=drained and complete,
        stored=stored,
        # A machine under load leaves labels out at first, and gives them later.
        unlike=differences(live.documents, replayed.documents, leaving_out=BOOKKEEPING),
        unlike_soft=unlike_soft,
        seconds=time.monotonic() - began,
    )
    summary = {"run": uid, **summarize(scenario, outcome)}
    tell(console, summary)
    return summary


def _set_up(
    scenario: FurnaceRamp,
    folder: Path,
    tiled: EmbeddedTiled,
    console: Console,
    running: ExitStack,
    *,
    epics: bool,
) -> Any:
    """The beamline, while the server starts in a process of its own."""
    place = folder / "beamline"
    with (
        console.status("Starting Tiled and the beamline ..."),
        ThreadPoolExecutor(1) as elsewhere,
    ):
        started = elsewhere.submit(tiled.start)
        beamline: Any
        if epics:
            beamline = running.enter_context(epics_beamline(scenario, place))
        else:
            beamline = scenario.beamline(place)
        started.result()
    return beamline


def _agent(beamline: Any, sink: MemorySink, **options: Any) -> Agent:
    return Agent(
        sinks=(sink,),
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        **options,
    )


def _run_live(
    scenario: FurnaceRamp,
    beamline: Any,
    console: Console,
    tiled: EmbeddedTiled | None = None,
    *,
    page: str | None = None,
    staying: ExitStack | None = None,
) -> tuple[MemorySink, str, bool]:
    """What the agent said, the run's uid, and whether all verdicts went out.

    Without a server nothing is published, and nothing is shown either. With a page the
    agent stays as long as ``staying`` does.
    """
    tape = VerdictTape(console)
    sink = MemorySink(listener=None if tiled is None else tape)
    published: dict[str, Any] = {"paragraph": tiled is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        engine: Any = RunEngine({}, call_returns_result=False)
    if tiled is not None:
        published["publish"] = "tcp://127.0.0.1:*"
        published |= {"tiled": tiled.uri, "api_key": tiled.api_key}
    agent = _agent(beamline, sink, page=page, **published)
    idle, patience_s = False, 30.0
    try:
        if tiled is not None:
            console.print(f"Verdicts are published at [bold]{agent.address}[/].")
        with console.status("Loading compiled code (the first time compiles it) ..."):
            agent.wait_idle(120)
        engine.subscribe(agent)
        if tiled is not None:
            tape.heading()
            engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1000))
        (uid,) = engine(scenario.plan(beamline))
        idle = agent.wait_idle(60)
    except RunEngineInterrupted:
        patience_s = 1.0
        logging.disable()  # Bluesky would log the abort with a traceback
        engine.abort("interrupted from the keyboard")
        raise KeyboardInterrupt from None
    finally:
        drained = idle
        if idle and page is not None and staying is not None:
            staying.callback(agent.close)
        else:
            drained = agent.close(patience_s) and idle
    return sink, str(uid), drained


def _run_replay(
    beamline: Any, tiled: EmbeddedTiled, uid: str, console: Console
) -> tuple[MemorySink, bool]:
    """What the agent said of the stored run, and whether of all of it."""
    sink = MemorySink()
    runs = tiled.catalog("raw")
    agent = _agent(beamline, sink, attempt=2, paragraph=False)
    documents = with_dark_run(runs, find_run(runs, uid))
    try:
        analyse_stored(agent, documents, console=console)
    except RingwatchError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}")
        return sink, False
    return sink, True


def _stored_verdicts(tiled: EmbeddedTiled, uid: str) -> int:
    """Final verdicts that a reader finds in Tiled, by ``raw_uid``."""
    derived = tiled.catalog("analysis").search(Key("raw_uid") == uid).values()
    return sum(
        int(np.sum(run[stream]["final"].read())) for run in derived for stream in run
    )

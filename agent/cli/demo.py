"""``ringwatch demo``: a simulated experiment, watched live and replayed."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ringwatch.agent.agent import Agent
from ringwatch.agent.cli.compare import Difference, differences
from ringwatch.agent.cli.present import VerdictTape
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, with_dark_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import FurnaceRamp

__all__ = ["demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """How one injected fault was seen."""

    fault: str
    flag: str
    first: int
    frames: int
    named: int


def demo(
    frames: Annotated[int, typer.Option(min=20, help="Frames of the run.")] = 50,
    style: Annotated[
        str, typer.Option(help="How frames are announced: inline, datum or stream.")
    ] = "stream",
    seed: Annotated[int, typer.Option(help="Of the counting noise.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Keep data and archive here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.")
    ] = False,
) -> None:
    """Heat BaTiO3 through its transition while things go wrong, and watch.

    The beam is lost for a while, one frame saturates, the detector slips by a pixel.
    Verdicts appear as they come; at the end they are compared with the truth, and the
    run is replayed from Tiled. Exits 0 only if live and replay agree to the last bit
    and each injected fault was named. Labels are reported, not required.

    For example: `ringwatch demo --style inline`.
    """
    console = Console(stderr=as_json)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        summary = _play(frames, style, seed, folder.resolve(), console)
    else:
        with tempfile.TemporaryDirectory(prefix="ringwatch-demo-") as scratch:
            summary = _play(frames, style, seed, Path(scratch), console)
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    if not summary["ok"]:
        raise typer.Exit(1)


def _play(
    frames: int, style: str, seed: int, folder: Path, console: Console
) -> dict[str, Any]:
    scenario = FurnaceRamp(frames=frames, style=style, seed=seed)
    beamline = scenario.beamline(folder / "beamline")
    console.print(
        f"[bold]BaTiO3[/] from {scenario.start_k:.0f} K to {scenario.stop_k:.0f} K in "
        f"{frames} frames; tetragonal to cubic at 393 K. Starting Tiled ..."
    )
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        began = time.monotonic()
        live, uid = _run_live(scenario, beamline, tiled, console)
        seconds = time.monotonic() - began
        console.print("Replaying the stored run from Tiled ...")
        replayed = _run_replay(beamline, tiled, uid)
        stored = _stored_verdicts(tiled, uid)
    named = _compare_with_truth(scenario, live)
    unlike = differences(live.documents, replayed.documents)
    summary = _summary(scenario, live, named, unlike, stored)
    summary["seconds"] = round(seconds, 1)
    _tell(console, summary, named)
    return summary


def _agent(beamline: Beamline, sink: MemorySink, **options: Any) -> Agent:
    return Agent(
        sinks=(sink,),
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        **options,
    )


def _run_live(
    scenario: FurnaceRamp, beamline: Beamline, tiled: EmbeddedTiled, console: Console
) -> tuple[MemorySink, str]:
    # Imported here: `ringwatch classify` needs no RunEngine.
    from bluesky import RunEngine  # noqa: PLC0415
    from bluesky_tiled_plugins import TiledWriter  # noqa: PLC0415

    tape = VerdictTape(console)
    sink = MemorySink(listener=tape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        engine: Any = RunEngine({}, call_returns_result=False)
    agent = _agent(
        beamline,
        sink,
        publish="tcp://127.0.0.1:*",
        tiled=tiled.uri,
        api_key=tiled.api_key,
    )
    try:
        console.print(f"Verdicts are published at [bold]{agent.address}[/].")
        tape.heading()
        engine.subscribe(agent)
        engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1000))
        (uid,) = engine(scenario.plan(beamline))
        agent.wait_idle(60)
    finally:
        agent.close()
    return sink, str(uid)


def _run_replay(beamline: Beamline, tiled: EmbeddedTiled, uid: str) -> MemorySink:
    sink = MemorySink()
    runs = tiled.catalog("raw")
    with _agent(beamline, sink, attempt=2) as agent:
        for name, doc in with_dark_run(runs, find_run(runs, uid)):
            agent(name, doc)
    return sink


def _stored_verdicts(tiled: EmbeddedTiled, uid: str) -> int:
    """Verdicts of the derived run as a reader finds it in Tiled, by ``raw_uid``."""
    from tiled.queries import Key  # noqa: PLC0415

    (derived,) = tiled.catalog("analysis").search(Key("raw_uid") == uid).values()
    return sum(len(derived[stream]["verdict"].read()) for stream in derived)


def _compare_with_truth(scenario: FurnaceRamp, live: MemorySink) -> list[_Named]:
    verdicts = {d["raw_index"]: d for d in live.events("primary") if d["final"]}
    named = []
    for fault in scenario.faults:
        hit = [i for i in range(scenario.frames) if fault.in_force(i)]
        seen = [
            i
            for i in hit
            if i in verdicts and verdicts[i]["primary_flag"] == fault.flag
        ]
        named.append(
            _Named(
                fault=type(fault).__name__,
                flag=fault.flag,
                first=hit[0],
                frames=len(hit),
                named=len(seen),
            )
        )
    return named


def _summary(
    scenario: FurnaceRamp,
    live: MemorySink,
    named: list[_Named],
    unlike: list[Difference],
    stored: int,
) -> dict[str, Any]:
    verdicts = [d for d in live.events("primary") if d["final"]]
    expected = scenario.expected_flags()
    alarms = [
        d["raw_index"]
        for d in verdicts
        if d["raw_index"] not in expected and d["verdict"] not in ("good", "unknown")
    ]
    labels = Counter(d["label"] for d in verdicts if d["verdict"] == "good")
    latencies = sorted(d["latency_ms"] for d in verdicts) or [0.0]
    complete = len(verdicts) == scenario.frames
    everything = sum(1 for d in live.events() if d["final"])
    return {
        "ok": complete
        and stored == everything
        and not unlike
        and all(n.named == n.frames for n in named),
        "frames": scenario.frames,
        "verdicts": len(verdicts),
        "words": dict(Counter(d["verdict"] for d in verdicts)),
        "faults": [
            {
                "fault": n.fault,
                "flag": n.flag,
                "first_frame": n.first,
                "frames": n.frames,
                "named": n.named,
            }
            for n in named
        ],
        "false_alarms": alarms,
        "labels_of_good_frames": dict(labels.most_common(5)),
        "latency_ms_median": round(latencies[len(latencies) // 2], 1),
        "stored_in_tiled": stored,
        "replay_differences": [str(d) for d in unlike[:10]],
    }


def _tell(console: Console, summary: dict[str, Any], named: list[_Named]) -> None:
    table = Table(title="Injected faults", title_justify="left", box=None)
    for column in ("fault", "flag expected", "from frame", "frames", "named"):
        table.add_column(column)
    for n in named:
        style = "green" if n.named == n.frames else "bold red"
        counts = (str(n.first), str(n.frames), f"[{style}]{n.named}[/]")
        table.add_row(n.fault, n.flag, *counts)
    console.print(table)
    words = ", ".join(f"{count} {word}" for word, count in summary["words"].items())
    alarms = summary["false_alarms"]
    labels = ", ".join(
        f"{label or '-'} x{count}"
        for label, count in summary["labels_of_good_frames"].items()
    )
    console.print(
        f"{summary['verdicts']} verdicts of {summary['frames']} frames: {words}. False "
        f"alarms: {alarms or 'none'}. Median latency {summary['latency_ms_median']} ms."
    )
    console.print(
        f"Labels of good frames (reported, not required): {labels or 'none'}."
    )
    console.print(
        f"{summary['stored_in_tiled']} verdicts, darks included, are stored in Tiled."
    )
    unlike = summary["replay_differences"]
    if unlike:
        console.print(f"[bold red]Replay differs:[/] {'; '.join(unlike)}")
    else:
        console.print("[green]Replay equals live to the last bit.[/]")
    verdict = "[green]ok[/]" if summary["ok"] else "[bold red]not ok[/]"
    console.print(f"Demo {verdict} in {summary['seconds']} s.")

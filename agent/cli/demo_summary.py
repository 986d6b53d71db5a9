"""What the demo has shown: verdicts beside the truth, live beside replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from ringwatch.agent.cli.compare import Difference
from ringwatch.simulated_beamline.scenarios import FurnaceRamp

__all__ = ["Outcome", "summarize", "tell"]

Data = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out of the demo's two passes.

    Attributes
    ----------
    events, all_events : sequence of dict
        Data of the live verdicts: of the sample's frames, and those of darks too.
    drained : bool
        Whether all that either pass had to publish went out.
    stored : int
        Final verdicts found in Tiled.
    unlike : sequence of Difference
        Between the live pass and the replay.
    unlike_soft : sequence of Difference or None
        Between the scan through Channel Access and the same on the soft devices; None
        where there was but one.
    seconds : float
        Of the whole demo.
    """

    events: Sequence[Data]
    all_events: Sequence[Data]
    drained: bool
    stored: int
    unlike: Sequence[Difference]
    unlike_soft: Sequence[Difference] | None = None
    seconds: float


def summarize(scenario: FurnaceRamp, outcome: Outcome) -> dict[str, Any]:
    """The summary as ``--json`` prints it; ``ok`` decides the exit status."""
    verdicts = [d for d in outcome.events if d["final"]]
    everything = sum(1 for d in outcome.all_events if d["final"])
    faults = _faults(scenario, verdicts)
    expected = scenario.expected_flags()
    alarms = [
        d["raw_index"]
        for d in verdicts
        if d["raw_index"] not in expected and d["verdict"] not in ("good", "unknown")
    ]
    labels = Counter(d["label"] for d in verdicts if d["verdict"] == "good")
    latencies = sorted(d["latency_ms"] for d in verdicts) or [0.0]
    complete = sorted(d["raw_index"] for d in verdicts) == list(range(scenario.frames))
    return {
        "ok": complete
        and outcome.drained
        and outcome.stored == everything
        and not outcome.unlike
        and not outcome.unlike_soft
        and all(fault["named"] == fault["frames"] for fault in faults),
        "frames": scenario.frames,
        "verdicts": len(verdicts),
        "words": dict(Counter(d["verdict"] for d in verdicts)),
        "faults": faults,
        "false_alarms": alarms,
        "labels_of_good_frames": dict(labels.most_common(5)),
        "latency_ms_median": round(latencies[len(latencies) // 2], 1),
        "all_published": outcome.drained,
        "stored_in_tiled": outcome.stored,
        "replay_differences": [str(d) for d in outcome.unlike[:10]],
        "soft_devices_differences": None
        if outcome.unlike_soft is None
        else [str(d) for d in outcome.unlike_soft[:10]],
        "seconds": round(outcome.seconds, 1),
    }


def _faults(scenario: FurnaceRamp, verdicts: Sequence[Data]) -> list[dict[str, Any]]:
    """How often each injected fault was named as the root cause."""
    primary_flags = {d["raw_index"]: d["primary_flag"] for d in verdicts}
    found = []
    for fault in scenario.faults:
        hit = [i for i in range(scenario.frames) if fault.in_force(i)]
        found.append(
            {
                "fault": type(fault).__name__,
                "flag": fault.flag,
                "first_frame": hit[0],
                "frames": len(hit),
                "named": sum(primary_flags.get(i) == fault.flag for i in hit),
            }
        )
    return found


def tell(console: Console, summary: dict[str, Any]) -> None:
    """Print a summary for people."""
    table = Table(title="Injected faults", title_justify="left", box=None)
    for column in ("fault", "flag expected", "from frame", "frames", "named"):
        table.add_column(column)
    for fault in summary["faults"]:
        style = "green" if fault["named"] == fault["frames"] else "bold red"
        *told, named = (str(value) for value in fault.values())
        table.add_row(*told, f"[{style}]{named}[/]")
    console.print(table)
    words = ", ".join(f"{count} {word}" for word, count in summary["words"].items())
    alarms = summary["false_alarms"]
    labels = ", ".join(
        f"{label or '-'} x{count}"
        for label, count in summary["labels_of_good_frames"].items()
    )
    console.print(
        f"{summary['verdicts']} verdicts of {summary['frames']} frames: {words}. "
        f"False alarms: {alarms or 'none'}. "
        f"Median latency {summary['latency_ms_median']} ms.",
        highlight=False,
    )
    console.print(
        f"Labels of good frames (reported, not required): {labels or 'none'}; the "
        "truth is P---, tetragonal and then cubic.",
        highlight=False,
    )
    console.print(
        f"{summary['stored_in_tiled']} verdicts, darks included, are stored in Tiled."
    )
    if not summary["all_published"]:
        console.print("[bold red]Not all verdicts came out in time.[/]")
    unlike = summary["replay_differences"]
    if unlike:
        console.print(f"[bold red]Replay differs:[/] {'; '.join(unlike)}")
    else:
        console.print("[green]Replay equals live to the last bit.[/]")
    unlike_soft = summary["soft_devices_differences"]
    if unlike_soft:
        console.print(f"[bold red]Soft devices differ:[/] {'; '.join(unlike_soft)}")
    elif unlike_soft is not None:
        console.print(
            "[green]Verdicts through Channel Access equal those on the soft devices to "
            "the last bit.[/]"
        )
    verdict = "[green]ok[/]" if summary["ok"] else "[bold red]not ok[/]"
    console.print(f"Demo {verdict} in {summary['seconds']} s.")

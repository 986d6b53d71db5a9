"""``ringwatch teach``: a flag of one's own, from some twenty frames."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ringwatch.agent.cli.label import who
from ringwatch.agent.cli.label_choice import Place, parse_indices
from ringwatch.agent.cli.options import (
    AsJson,
    By,
    Config,
    DataKey,
    Heads,
    Stream,
    Tiled,
)
from ringwatch.agent.errors import LearnedError, ReplayError
from ringwatch.agent.labels.opinions import said_flags
from ringwatch.agent.labels.store import LabelStore
from ringwatch.agent.learned.head_file import check_name, read_head
from ringwatch.agent.learned.lessons import Lesson, learn
from ringwatch.agent.learned.registry import Registry
from ringwatch.agent.learned.stored_frames import (
    StoredFrames,
    analysed_runs,
    stored_frames,
)
from ringwatch.agent.settings import Settings
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sources.verdict_rows import Key

__all__ = ["registry_of", "teach"]


def teach(
    name: Annotated[
        str | None, typer.Argument(help="Of the flag, such as gasket_rings.")
    ] = None,
    frames: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN:10-30", help="Frames that have it; may be repeated."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN:0-9",
            help="Frames of the same run without it [default: those before].",
        ),
    ] = None,
    from_labels: Annotated[
        bool, typer.Option("--from-labels", help="Frames that people labelled so.")
    ] = False,
    stream: Stream = "",
    data_key: DataKey = "",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--except", metavar="RUN", help="Others that have it as well."),
    ] = None,
    most: Annotated[
        int, typer.Option(min=4, max=300, help="Stored runs to learn against.")
    ] = 50,
    per_hour: Annotated[
        float, typer.Option(min=1e-3, max=60.0, help="False alarms that you accept.")
    ] = 1.0,
    rate_hz: Annotated[
        float, typer.Option(min=1e-3, max=1e4, help="Frames a second.")
    ] = 10.0,
    promote: Annotated[
        bool, typer.Option("--promote", help="Put NAME in force, from the next run on.")
    ] = False,
    although_unsure: Annotated[
        bool,
        typer.Option(
            "--although-unsure", help="With --promote: on less than an hour of frames."
        ),
    ] = False,
    roll_back: Annotated[
        bool,
        typer.Option("--roll-back", help="Give up the NAME in force for that before."),
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="What was taught, and what is in force.")
    ] = False,
    by: By = None,
    tiled: Tiled = None,
    config: Config = None,
    heads: Heads = None,
    as_json: AsJson = False,
) -> None:
    """Teach a flag from about twenty frames, try it out, switch it on, or back.

    A new flag is in shadow: each verdict then has its score as
    `taught_shadow_score_NAME`, for nobody to act on. Its false alarms were counted on
    stored runs that it had not learned from; `--promote` needs them to be no more than
    you accept, in an hour of frames or more: with fewer, `--although-unsure` is kept
    with the step. In force it stands in `taught`, as information: no verdict is worse
    for it. What changes holds from the next run on, without a restart.

    For example: `ringwatch teach gasket --frames 3f2a9c1e:30-49 --config agent.toml`,
    `ringwatch teach gasket --promote`, `ringwatch teach --list`.
    """
    settings = load_settings(config)
    registry = registry_of(settings, heads)
    if listed:
        _show_list(registry, as_json=as_json)
        return
    if name is None:
        raise LearnedError("name what you teach, or ask for --list")
    check_name(name)
    if promote:
        head = registry.promote(name, who(by), although_unsure=although_unsure)
        _tell({"name": name, "digest": head.digest, "step": "promote"}, as_json=as_json)
    elif roll_back:
        before = registry.roll_back(name, who(by))
        _tell({"name": name, "digest": before, "step": "roll_back"}, as_json=as_json)
    else:
        place = Place.of(settings, tiled)
        told: dict[str, Any] = {"per_hour": per_hour, "rate_hz": rate_hz}
        told |= {"name": name, "by": who(by)}
        _teach(
            registry, place, told, frames or [], without or [], exclude or [], most,
            (stream, data_key), from_labels=from_labels, as_json=as_json,
        )  # fmt: skip


def registry_of(settings: Settings, folder: Path | None) -> Registry:
    """The heads of a folder, or of the settings.

    Raises
    ------
    LearnedError
        Where neither names one.
    """
    found = folder or settings.heads_folder
    if found is None:
        raise LearnedError(
            "no folder for what is taught: give --heads FOLDER, or --config with "
            "settings that name heads or state"
        )
    return Registry(found)


def _teach(
    registry: Registry,
    place: Place,
    told: dict[str, Any],
    frames: list[str],
    without: list[str],
    exclude: list[str],
    most: int,
    series: tuple[str, str],
    *,
    from_labels: bool,
    as_json: bool,
) -> None:
    console = Console(stderr=as_json, highlight=False, markup=False)
    with place.root() as root, Progress(console=console, transient=True) as progress:
        chosen = _chosen(root, place, frames)
        not_chosen = _chosen(root, place, without)
        labelled = _labelled(place, str(told["name"])) if from_labels else {}
        if not chosen and not labelled:
            raise LearnedError("name frames that have it: --frames RUN:10-30")
        named = dict.fromkeys([*chosen, *labelled])
        if strange := set(not_chosen) - set(named):
            raise LearnedError(f"--without {min(strange)[:8]}: no frame there has it")
        left_out = {place.uid_of(root, asked) for asked in exclude}
        others = list(analysed_runs(root, place.verdicts))[: most + len(named)]
        wanted = dict.fromkeys([*named, *(u for u in others if u not in left_out)])
        task = progress.add_task("reading", total=len(wanted))
        runs: list[StoredFrames] = []
        for uid in wanted:
            try:
                runs.append(stored_frames(root, place.verdicts, uid))
            except ReplayError:
                if uid in named:
                    raise
            progress.advance(task)
        read = {run.raw_uid: run for run in runs}
        have = {u: read[u].keys_of(chosen.get(u, ()), *series) for u in named}
        have = {u: keys | labelled.get(u, set()) for u, keys in have.items()}
        lack = {u: read[u].keys_of(not_chosen[u], *series) for u in not_chosen}
        lesson = Lesson(frames=have, without=lack, **told)
        learning = progress.add_task("learning", total=None)
        flag, card = learn(
            lesson,
            runs,
            lambda done, of: progress.update(learning, completed=done, total=of),
        )
    head = registry.shadow(lesson.name, flag.head, card, lesson.by)
    _tell(
        {"name": head.name, "digest": head.digest, "step": "shadow", **card},
        as_json=as_json,
    )


def _chosen(root: Any, place: Place, told: list[str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for each in told:
        run, colon, indices = each.rpartition(":")
        if not colon:
            raise LearnedError(f"{each!r}: write RUN:10-30, the run and its frames")
        found.setdefault(place.uid_of(root, run), set()).update(
            parse_indices([indices])
        )
    return found


def _labelled(place: Place, name: str) -> dict[str, set[Key]]:
    found: dict[str, set[Key]] = {}
    with LabelStore(place.folder, tiled=place.uri) as store:
        store.refresh()
        for frame in said_flags(store.all(), name):
            found.setdefault(frame[0], set()).add(frame[1:])
    return found


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    console = Console(highlight=False, markup=False)
    name, step = answer["name"], answer["step"]
    if step == "promote":
        console.print(
            f"{name} is in force from the next run on ({answer['digest'][:8]})"
        )
    elif step == "roll_back":
        left = (
            f"{answer['digest'][:8]} is in force again" if answer["digest"] else "off"
        )
        console.print(f"{name}: {left}, from the next run on")
    else:
        alarms = answer["false_alarms"]
        console.print(
            f"{name} is in shadow ({answer['digest'][:8]}). On {alarms['runs']} stored "
            f"runs, {alarms['frames']} frames: {alarms['alarms']} false alarms, "
            f"{alarms['per_hour']:.2g} an hour (at most {alarms['upper_95']:.2g}, "
            f"95 %). It finds {answer['recall_taught']:.0%} of the taught frames, and "
            f"{answer['recall_added']:.0%} of stored ones with the same put on them."
        )
        if alarms["upper_95"] > answer["accepted_per_hour"]:
            console.print(
                "More stored runs would make the rate surer: --promote wants an hour "
                "of frames, or --although-unsure. In shadow it is tried out."
            )


def _show_list(registry: Registry, *, as_json: bool) -> None:
    standings = sorted(registry.standings().items())
    steps = [asdict(step) for step in registry.steps()]
    rows: list[dict[str, Any]] = []
    for name, at in standings:
        for role, digest in (("in force", at.force[-1:]), ("shadow", [at.shadow])):
            for each in filter(None, digest):
                card = dict(read_head(registry.folder, each).card)
                rows.append({"name": name, "role": role, "digest": each, "card": card})
    if as_json:
        sys.stdout.write(json.dumps({"heads": rows, "steps": steps}, indent=2) + "\n")
        return
    table = Table("name", "stands", "file", "by", "false alarms/h", "at most (95 %)")
    for row in rows:
        alarms = row["card"].get("false_alarms") or {}
        rates = [
            f"{alarms[k]:.2g}" if alarms else "?" for k in ("per_hour", "upper_95")
        ]
        who_taught = str(row["card"].get("by", ""))
        table.add_row(row["name"], row["role"], row["digest"][:8], who_taught, *rates)
    console = Console(highlight=False)
    console.print(table)
    for step in steps:
        when = datetime.fromtimestamp(step["time"]).isoformat(" ", "seconds")
        told = (when, step["by"], step["step"], step["name"], step["digest"][:8])
        console.print("  ".join(told), markup=False)

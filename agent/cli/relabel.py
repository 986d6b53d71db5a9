"""``ringwatch relabel``: what is new, its name, and stored frames labelled by it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ringwatch.agent.cli.label import who
from ringwatch.agent.cli.label_choice import Place
from ringwatch.agent.cli.options import AsJson, By, Config, Heads, Tiled
from ringwatch.agent.cli.teach import registry_of
from ringwatch.agent.errors import LearnedError, ReplayError
from ringwatch.agent.learned.head_file import Head, check_name, read_head
from ringwatch.agent.learned.label_versions import newest_version, store_version
from ringwatch.agent.learned.registry import Registry
from ringwatch.agent.learned.relabelling import (
    Found,
    changes,
    find_new,
    label_again,
    name_cluster,
)
from ringwatch.agent.learned.stored_frames import (
    StoredFrames,
    analysed_runs,
    stored_frames,
)
from ringwatch.agent.settings_file import load_settings
from ringwatch.models.class_heads import ClassHead

__all__ = ["PHASES", "relabel"]

PHASES = "phases"
"""Name of the head that holds the named phases of a beamtime."""
_MOST_BYTES = 64 << 20
_FARTHEST = 1e3  # scatters: what is told where nothing at all is known


def relabel(
    find: Annotated[
        bool, typer.Option("--find", help="Find what is like no phase seen or named.")
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER=NAME", help="Name a cluster; may be repeated."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Label stored frames by the named phases.")
    ] = False,
    seen: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="With --find: its phases count as known."),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Only these; may be repeated."),
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, max=300, help="So many runs, those analysed last.")
    ] = 100,
    by: By = None,
    tiled: Tiled = None,
    config: Config = None,
    heads: Heads = None,
    as_json: AsJson = False,
) -> None:
    """Find what is new in stored runs, name it, and label them again by it.

    All of it works on stored embeddings: no pixels are read. `--find` shows clusters of
    frames that are like no phase of the runs that count as `--seen`, nor of those named
    before, with an example of each. `--name` makes classes of them: the head `phases`,
    in shadow until `ringwatch teach phases --promote`. `--apply` writes a new version
    of labels to Tiled (container `relabelled`), beside the earlier ones and never over
    them, and says what changed.

    For example: `ringwatch relabel --find --seen 3f2a9c1e --seen 77b0d2aa`,
    `ringwatch relabel --name 1=hydrate --name 2=melt`, `ringwatch relabel --apply`.
    """
    if sum((find, bool(name), apply)) != 1:
        raise LearnedError("give one of --find, --name NUMBER=NAME and --apply")
    settings = load_settings(config)
    registry = registry_of(settings, heads)
    place = Place.of(settings, tiled)
    with place.root() as root:
        if name:
            _name(registry, root, place, _names(name), who(by), as_json=as_json)
            return
        known = [place.uid_of(root, asked) for asked in seen or []]
        asked = [place.uid_of(root, each) for each in runs or []]
        chosen = asked or list(analysed_runs(root, place.verdicts))[:most][::-1]
        stored = _load(root, place, list(dict.fromkeys([*known, *chosen])))
        if find:
            _find(registry, stored, known, as_json=as_json)
        else:
            _apply(registry, root, place, stored, who(by), as_json=as_json)


def _load(root: Any, place: Place, uids: list[str]) -> list[StoredFrames]:
    """Stored frames of runs, those of the newest network; others do not compare.

    Raises
    ------
    LearnedError
        Where none has an embedding.
    """
    found = []
    console = Console(stderr=True)
    for uid in track(
        uids,
        "reading",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        try:
            found.append(stored_frames(root, place.verdicts, uid))
        except ReplayError as error:
            console.print(f"left out: {error}", highlight=False, markup=False)
    embedded = [run for run in found if np.isfinite(run.embedding).all(axis=1).any()]
    if not embedded:
        raise LearnedError(
            f"no stored frame of {len(uids)} runs has an embedding: analyse them with "
            "a classifier (ringwatch replay)"
        )
    newest = embedded[-1].start.get("model_hash")
    return [run for run in found if run.start.get("model_hash") == newest and run.keys]


def _newest(registry: Registry) -> Head | None:
    """The newest head of named phases, in shadow or in force."""
    at = registry.standings().get(PHASES)
    digest = at and (at.shadow or (at.force[-1] if at.force else ""))
    return read_head(registry.folder, digest) if digest else None


def _classes(head: Head | None, runs: list[StoredFrames]) -> ClassHead | None:
    """What it knows, where that is of the network that saw the runs."""
    if head is None or not isinstance(head.model, ClassHead) or not runs:
        return None
    same = head.card.get("model_hash") == runs[-1].start.get("model_hash")
    return head.model if same else None


def _find(
    registry: Registry, runs: list[StoredFrames], seen: list[str], *, as_json: bool
) -> None:
    found = find_new(runs, seen, _classes(_newest(registry), runs))
    clusters = [
        asdict(each)
        | {"runs": each.runs, "novelty": min(each.novelty, _FARTHEST)}  # JSON: no inf
        for each in found
    ]
    told = {"runs": [run.raw_uid for run in runs], "seen": seen, "clusters": clusters}
    try:
        registry.folder.mkdir(parents=True, exist_ok=True)
        (registry.folder / "found.json").write_text(json.dumps(told))
    except OSError as error:
        raise LearnedError(f"{registry.folder}: {error.strerror}") from error
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    table = Table("cluster", "frames", "runs", "example", "novelty")
    for each in found:
        uid, _, _, index = each.example
        row = (each.number, len(each.frames), len(each.runs), f"{uid[:8]}:{index}")
        table.add_row(*map(str, row), f"{each.novelty:.1f}")
    console = Console(highlight=False)
    if not found:
        console.print(f"nothing new in {len(runs)} runs")
        return
    console.print(table)
    console.print(
        "novelty: distance to the nearest known phase; up to 2 is one of them"
    )


def _name(
    registry: Registry,
    root: Any,
    place: Place,
    names: dict[int, str],
    by: str,
    *,
    as_json: bool,
) -> None:
    """Name clusters of the last ``--find``; found again, since nothing is random."""
    path = registry.folder / "found.json"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise LearnedError(f"{path} is too large to be ours")
        told = json.loads(path.read_text())
        uids, seen = list(map(str, told["runs"])), list(map(str, told["seen"]))
        before = [[tuple(f) for f in each["frames"]] for each in told["clusters"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise LearnedError("nothing was found yet: ringwatch relabel --find") from error
    runs = _load(root, place, uids)
    named = _classes(_newest(registry), runs)
    found: list[Found] = find_new(runs, seen, named)
    if [each.frames for each in found] != before:
        raise LearnedError("the runs, or names, changed since --find: find once more")
    head, card = name_cluster(runs, found, names, seen, named)
    card |= {"by": by, "model_hash": str(runs[-1].start.get("model_hash", ""))}
    kept = registry.shadow(PHASES, head, card, by)
    if as_json:
        told = {"name": PHASES, "digest": kept.digest, **card}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    told_names = ", ".join(f"{n} ({card['named'][n]} frames)" for n in card["named"])
    Console(highlight=False, markup=False).print(
        f"named {told_names}; {PHASES} ({kept.digest[:8]}) is in shadow. To label "
        "stored runs: ringwatch relabel --apply; live: ringwatch teach "
        f"{PHASES} --promote"
    )


def _apply(
    registry: Registry,
    root: Any,
    place: Place,
    runs: list[StoredFrames],
    by: str,
    *,
    as_json: bool,
) -> None:
    head = _newest(registry)
    if head is None:
        raise LearnedError("no phase is named yet: ringwatch relabel --name 1=NAME")
    number, before = newest_version(root)
    done = label_again(runs, head, before)
    uid = store_version(place.uri, done, head, by, number + 1)
    changed = changes(done)
    if as_json:
        told = {
            "version": number + 1,
            "uid": uid,
            "by": by,
            "head_hash": head.digest,
            "frames": len(done),
            "frames_changed": sum(changed.values()),
            "runs_changed": changed,
            "changed": [asdict(each) for each in done if each.changed],
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    console = Console(highlight=False, markup=False)
    for run, frames in changed.items():
        console.print(f"{run[:8]}  {frames} frames changed")
    console.print(
        f"{sum(changed.values())} frames of {len(changed)} runs changed, of "
        f"{len(done)} of {len(runs)}: version {number + 1}, by {by}"
    )


def _names(told: list[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for each in told:
        number, equals, name = each.partition("=")
        if not equals or not number.isascii() or not number.isdigit():
            raise LearnedError(f"{each!r}: write NUMBER=NAME, such as 1=hydrate")
        found[int(number)] = check_name(name)
    return found

"""``ringwatch label``: what people say of frames, and what is worth a look next."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ringwatch.agent.cli.label_choice import Place, label_frames, parse_indices
from ringwatch.agent.cli.label_table import labels_object, labels_table, queue_table
from ringwatch.agent.cli.options import AsJson, By, Config, DataKey, Stream, Tiled
from ringwatch.agent.errors import LabelError, ReplayError
from ringwatch.agent.labels.label import Label
from ringwatch.agent.labels.queue import review_queue
from ringwatch.agent.labels.store import LABELS, LabelStore
from ringwatch.agent.settings_file import load_settings

__all__ = ["label", "who"]

_SEND_S = 5.0
_BEGINNING = 5  # letters of a uid, as Tiled wants them


def label(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN INDEX",
            help="Raw run; its frames, from 0: 7, 10-20 or 3,5. With --review: runs.",
        ),
    ] = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="What the machine said is right.")
    ] = False,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="What the machine said is wrong.")
    ] = False,
    word: Annotated[
        str, typer.Option(help="With --wrong: the right verdict, such as suspect.")
    ] = "",
    name: Annotated[
        str | None,
        typer.Option("--class", help="Class that the frames show, such as F---."),
    ] = None,
    flag: Annotated[
        str | None, typer.Option(help="Condition that they show, beside their class.")
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back what you said of them.")
    ] = False,
    comment: Annotated[
        str, typer.Option(help="In your words; alone, or beside one of these.")
    ] = "",
    by: By = None,
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="It settles what people dispute.")
    ] = False,
    review: Annotated[
        bool,
        typer.Option("--review", help="List the frames whose labels would teach most."),
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, max=1000, help="With --review: so many.")
    ] = 20,
    stream: Stream = "",
    data_key: DataKey = "",
    tiled: Tiled = None,
    config: Config = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where labels go first; see above.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what frames show, or ask what people said and what to look at.

    Labels are kept apart by person and never overwritten: what you say later of a frame
    counts instead of what you said before. They go to files first (--folder; by default
    labels in the agent's state folder, or ~/.local/state/ringwatch/labels), and to the
    container labels in Tiled when it answers.

    For example: `ringwatch label RUN 10-20 --class F--- --comment "CeO2, checked"`,
    `ringwatch label RUN` for what was said of a run, `ringwatch label --review`.
    """
    settings = load_settings(config)
    place = Place.of(settings, tiled, folder)
    said = _says(
        {
            "correct": correct,
            "wrong": wrong,
            "class": name is not None,
            "flag": flag is not None,
            "withdraw": withdraw,
        },
        comment,
    )
    asked = what or []
    if review:
        _review(place, asked, said, most, as_json=as_json)
    elif not asked:
        raise LabelError("name a run, or ask with --review which frames to look at")
    elif not said:
        if len(asked) > 1:
            raise LabelError(
                "say what the frames show: --correct, --wrong, --class, --flag, "
                "--comment or --withdraw"
            )
        _list(place, asked[0], as_json=as_json)
    else:
        value = {"class": name, "flag": flag, "wrong": word}.get(said) or ""
        if word and said != "wrong":
            raise LabelError("--word goes with --wrong")
        told: dict[str, Any] = {"says": said, "value": value, "comment": comment}
        told |= {"by": who(by), "adjudicated": adjudicate}
        frames = parse_indices(asked[1:])
        labels = label_frames(
            place, asked[0], frames, told, stream=stream, data_key=data_key
        )
        _add(place, labels, as_json=as_json)


def _add(place: Place, labels: list[Label], *, as_json: bool) -> None:
    with LabelStore(place.folder, tiled=place.uri) as store:
        store.add(*labels)
        sent = store.flush(_SEND_S)
        answer = {
            "run": labels[0].run_uid,
            "frames": len(labels),
            "labels": [each.to_object() for each in labels],
            "in_tiled": sent,
            "folder": str(store.folder),
            "version": store.version,
        }
        trouble = store.trouble
        store.close(0.0)  # waited for it already
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    many = "frame" if len(labels) == 1 else "frames"
    where = f"in Tiled ({LABELS})" if sent else f"kept in {place.folder}"
    console = Console(highlight=False, markup=False)
    console.print(f"{len(labels)} {many} labelled by {labels[0].by}, {where}")
    if not sent:
        why = f": {trouble}" if trouble else ""
        console.print(
            f"Tiled has not taken them yet{why}. The next `ringwatch label` or "
            "`ringwatch serve` with this folder sends them."
        )


def _list(place: Place, asked: str, *, as_json: bool) -> None:
    with LabelStore(place.folder, tiled=place.uri) as store:
        away = _refresh(store)
        known = {each.run_uid for each in store.all()}
        uid = _meant(place, asked, known, away)
        labels, version = store.of_run(uid), store.version
    if as_json:
        answer = labels_object(uid, labels) | {"version": version, "complete": not away}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    Console().print(labels_table(uid, labels), highlight=False)
    _say_away(away)


def _review(
    place: Place, runs: list[str], said: str, most: int, *, as_json: bool
) -> None:
    if said:
        raise LabelError("--review lists frames: label them in a second command")
    with LabelStore(place.folder, tiled=place.uri) as store, place.root() as root:
        away = _refresh(store)
        labels = list(store.all())
        uids = [place.uid_of(root, asked) for asked in runs]
        found = review_queue(root, place.verdicts, labels, runs=uids, most=most)
    if as_json:
        sys.stdout.write(json.dumps([x.to_object() for x in found], indent=2) + "\n")
        return
    Console().print(queue_table(found), highlight=False)
    _say_away(away)


def _refresh(store: LabelStore) -> str:
    """Look for labels from elsewhere; why that failed, '' where it did not."""
    try:
        store.refresh()
    except ReplayError as error:
        return str(error)
    return ""


def _say_away(away: str) -> None:
    if away:
        Console(stderr=True).print(
            f"Only labels that are kept here: {away}", highlight=False, markup=False
        )


def _meant(place: Place, asked: str, known: set[str], away: str) -> str:
    """The whole uid of a run that has labels, or at least is stored."""
    if asked in known:
        return asked
    found = [uid for uid in known if uid.startswith(asked)]
    if len(found) == 1 and len(asked) >= _BEGINNING:
        return found[0]
    if away:
        raise LabelError(f"no labels of one run {asked[:80]!r} are kept here; {away}")
    with place.root() as root:
        return place.uid_of(root, asked)


def _says(words: dict[str, bool], comment: str) -> str:
    """The one word that was given, ``comment`` if only that, '' if nothing."""
    given = [word for word, wanted in words.items() if wanted]
    if len(given) > 1:
        raise LabelError(
            f"--{given[0]} and --{given[1]} are two labels: give them one by one"
        )
    return given[0] if given else "comment" if comment else ""


def who(by: str | None = None) -> str:
    """The name that was given, or the login name.

    Raises
    ------
    LabelError
        Where there is neither.
    """
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise LabelError("nobody is logged in here: give --by WHO") from error

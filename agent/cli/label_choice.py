"""Which frames a person means, and what the machine had said of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringwatch.agent.cli.archive import LOCAL
from ringwatch.agent.errors import LabelError, TiledAwayError
from ringwatch.agent.labels.label import Label, machine_said
from ringwatch.agent.labels.store import labels_folder
from ringwatch.agent.settings import Settings
from ringwatch.agent.sources.derived import passes
from ringwatch.agent.sources.tiled import find_run
from ringwatch.agent.sources.tiled_server import container_of, server
from ringwatch.agent.sources.verdict_rows import Key, VerdictRow, verdict_rows
from ringwatch.agent.tiled_client import disconnect, public

__all__ = ["MOST_FRAMES", "Place", "label_frames", "parse_indices"]

MOST_FRAMES = 10_000
"""Frames that one command labels."""

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_UID = 32  # letters and digits of a whole uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where verdicts are read, and where labels go.

    Attributes
    ----------
    uri : str
        Tiled server.
    verdicts, raw : str
        Containers of the derived and of the raw runs there.
    folder : Path
        Files of labels.
    """

    uri: str
    verdicts: str
    raw: str
    folder: Path

    @classmethod
    def of(
        cls, settings: Settings, tiled: str | None, folder: Path | None = None
    ) -> Place:
        """As the settings have it, unless somebody says otherwise."""
        return cls(
            uri=tiled or settings.tiled or LOCAL,
            verdicts=settings.tiled_container,
            raw=settings.raw_container,
            folder=folder or labels_folder(settings.state),
        )

    @contextmanager
    def root(self) -> Iterator[Any]:
        """The server, connected to while the context lasts.

        Raises
        ------
        ReplayError
            If it does not answer, or refuses.
        """
        found = server(self.uri)
        try:
            yield found
        finally:
            disconnect(found)

    def uid_of(self, root: Any, asked: str) -> str:
        """The whole uid of a raw run; where that is stored its beginning will do.

        Raises
        ------
        ReplayError
            If there is none, or more than one.
        """
        if passes(root, self.verdicts, asked):
            return asked
        raw = container_of(root, self.raw, f"Tiled at {public(self.uri)}")
        return str(find_run(raw, asked).metadata["start"]["uid"])


def parse_indices(told: Iterable[str]) -> list[int]:
    """Indices of frames, sorted, each once, of words such as ``7``, ``10-20``, ``3,5``.

    Raises
    ------
    LabelError
        Where a word is none, or there are none, or too many.
    """
    found: set[int] = set()
    for word in (part for each in told for part in each.split(",")):
        match = _RANGE.fullmatch(word.strip())
        if match is None:
            raise LabelError(
                f"{word!r} is no frame: expected an index from 0, or a range as 10-20"
            )
        first = int(match[1])
        last = int(match[2] or first)
        if last < first:
            raise LabelError(f"{word!r} ends before it begins: write {last}-{first}")
        if last - first >= MOST_FRAMES or len(found) > MOST_FRAMES:
            raise LabelError(f"{word!r}: at most {MOST_FRAMES} frames at once")
        found.update(range(first, last + 1))
    if not found:
        raise LabelError("name the frames: an index from 0, or a range as 10-20")
    return sorted(found)


def label_frames(
    place: Place,
    asked: str,
    indices: list[int],
    told: dict[str, Any],
    *,
    stream: str = "",
    data_key: str = "",
) -> list[Label]:
    """Labels of frames of one run, with what the machine had said of them.

    While Tiled is away nobody knows that: then the frames must be named in full.

    Parameters
    ----------
    place : Place
    asked : str
        The run: its uid, or the beginning of it.
    indices : list of int
    told : dict
        What the person says, as arguments of ``Label``.
    stream, data_key : str
        Where the run has several.

    Raises
    ------
    LabelError
        If a frame is not there, or not the only one of its index.
    ReplayError
        If there is no such run, or no verdict of it.
    """
    try:
        with place.root() as root:
            uid = place.uid_of(root, asked)
            rows = verdict_rows(root, place.verdicts, uid)
    except TiledAwayError as error:
        if sum(letter.isalnum() for letter in asked) < _UID or not data_key:
            raise LabelError(
                f"{error}. To label without what the machine said, give the whole uid "
                "of the run and --data-key"
            ) from error
        stream = stream or "primary"
        return [
            Label(run_uid=asked, stream=stream, data_key=data_key, index=index, **told)
            for index in indices
        ]
    of = _one_series(rows, stream, data_key)
    missing = [index for index in indices if (*of, index) not in rows]
    if missing:
        last = max(index for *own, index in rows if tuple(own) == of)
        raise LabelError(
            f"run {uid} has no verdict of frame {missing[0]}; it has them up to {last}"
        )
    return [_label(rows[*of, index], told) for index in indices]


def _label(row: VerdictRow, told: dict[str, Any]) -> Label:
    return Label(**machine_said(row.start, row.stream, row.data), **told)


def _one_series(
    rows: dict[Key, VerdictRow], stream: str, data_key: str
) -> tuple[str, str]:
    """The one stream and data key that are meant."""
    every = sorted({key[:2] for key in rows})
    found = [
        each
        for each in every
        if (not stream or each[0] == stream) and (not data_key or each[1] == data_key)
    ]
    if len(found) != 1:
        names = ", ".join(f"{name} {key}" for name, key in every)
        raise LabelError(
            f"choose frames with --stream and --data-key: there are {names}"
        )
    return found[0]

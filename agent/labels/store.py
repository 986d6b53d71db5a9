"""The labels of people: where they are kept, and what is known of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from ringwatch.agent.errors import LabelError
from ringwatch.agent.labels.delivery import Delivery
from ringwatch.agent.labels.journal import Entry
from ringwatch.agent.labels.journal_folder import JournalFolder
from ringwatch.agent.labels.label import Label
from ringwatch.agent.labels.stored import stored_labels
from ringwatch.agent.sinks.archive import Archive
from ringwatch.agent.sources.tiled_server import server
from ringwatch.agent.tiled_client import disconnect

__all__ = ["LABELS", "LabelStore", "labels_folder"]

LABELS = "labels"
"""Name of the container in Tiled, and of the folder within that of an agent's state."""


class LabelStore:
    """Keeps labels: in a file first, which is on the disk at once, and then in Tiled.

    Nothing is ever overwritten: what a person says later stands beside what they said
    before (``ringwatch.agent.labels.opinions`` says what counts). Threads may share a
    store, and processes a folder; what another process adds is seen.

    Parameters
    ----------
    folder : Path
        Of the files; made if it is not there. Beside a running agent ``state/labels``.
    tiled : str, optional
        Tiled server that gets the labels, whenever it is there. None: they stay here.
    api_key : str, optional
        Secret. Without it the environment variable ``TILED_API_KEY`` counts.
    container : str
        Where on the server, a run of labels for each file.

    Raises
    ------
    LabelError
        If the folder cannot be used.
    SinkError
        If ``tiled`` is no address.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tiled: str | None = None,
        api_key: str | None = None,
        container: str = LABELS,
    ) -> None:
        self._tiled, self._api_key, self._container = tiled, api_key, container
        self._lock = threading.Lock()
        self._journals = JournalFolder(folder)
        self._of_run: dict[str, dict[str, Label]] = {}  # by run, and uid of the label
        self._places: dict[str, tuple[str, int]] = {}  # by uid of the label
        self._here: set[str] = set()  # uids of runs of labels that are files here
        self._ended: set[str] = set()  # of those elsewhere that will not grow
        self._delivery: Delivery | None = None
        if tiled is not None:
            archive = Archive(tiled, api_key=api_key, container=container)
            self._delivery = Delivery(folder, archive)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._journals.path

    @property
    def trouble(self) -> str:
        """Why labels wait in their files and are not in Tiled; '' where none does."""
        return self._delivery.trouble if self._delivery else ""

    @property
    def version(self) -> str:
        """What is known now, such as ``3fa2b1c0:120``: runs of labels, events of each.

        Every run of labels only ever grows, so a version names the same labels for
        good; ``all(version)`` gives them.
        """
        with self._lock:
            self._take(self._journals.news())
            last = _last_of(self._places)
        return ",".join(f"{uid}:{number}" for uid, number in sorted(last.items()))

    def add(self, *labels: Label) -> None:
        """Keep labels. On return they are on the disk, all of them; Tiled comes later.

        A label whose uid is known already is left out, so that a caller may repeat.

        Raises
        ------
        LabelError
            If they cannot be written.
        """
        with self._lock:
            self._take(self._journals.news())
            fresh = {each.uid: each for each in labels if each.uid not in self._places}
            if fresh:
                self._take(self._journals.append(list(fresh.values())))
        if self._delivery:
            self._delivery.wake()

    def of_run(self, run_uid: str) -> list[Label]:
        """Labels of one raw run, in the order they were said.

        Those in files here as of now, those in Tiled as of the last ``refresh``.
        """
        with self._lock:
            self._take(self._journals.news())
            return _in_order(self._of_run.get(run_uid, {}))

    def all(self, version: str | None = None) -> Iterator[Label]:
        """All labels in the order they were said, or those of a version.

        Raises
        ------
        LabelError
            If this is no version, or one of which something is not known here.
        """
        with self._lock:
            self._take(self._journals.news())
            every = {k: v for each in self._of_run.values() for k, v in each.items()}
            places = dict(self._places)
        if version is not None:
            known = _parse_version(version)
            every = {
                uid: label
                for uid, label in every.items()
                if places[uid][1] <= known.get(places[uid][0][:8], 0)
            }
            held = _last_of(places)
            if lacking := [uid for uid, n in known.items() if n > held.get(uid, 0)]:
                raise LabelError(
                    f"labels {', '.join(lacking)} of version {version!r} are not known "
                    "here: they may be in Tiled"
                )
        return iter(_in_order(every))

    def refresh(self) -> None:
        """Look in Tiled for labels from elsewhere; without a server, do nothing.

        Raises
        ------
        ReplayError
            If the server does not answer (``TiledAwayError``), or fails.
        """
        if self._tiled is None:
            return
        with self._lock:
            self._take(self._journals.news())
            known = self._here | self._ended
        root = server(self._tiled, self._api_key)
        try:
            for uid, ended, entries in stored_labels(root, self._container, known):
                with self._lock:
                    self._take(entries, here=False)
                    if ended:
                        self._ended.add(uid)
        finally:
            disconnect(root)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait up to so many seconds until Tiled has all labels; whether it has.

        Without a server there is nothing to wait for.
        """
        return self._delivery.flush(timeout) if self._delivery else True

    def close(self, timeout: float = 5.0) -> bool:
        """Send what Tiled takes within so many seconds; whether it has all labels.

        The rest waits in its file: whoever opens the folder next sends it.
        """
        return self._delivery.close(timeout) if self._delivery else True

    def _take(self, entries: list[Entry], *, here: bool = True) -> None:
        for entry in entries:
            if here:
                self._here.add(entry.labels_uid)
            label = entry.label
            if label.uid not in self._places:  # the first word under a uid stays
                self._of_run.setdefault(label.run_uid, {})[label.uid] = label
                self._places[label.uid] = entry.labels_uid, entry.seq_num


def labels_folder(state: Path | None) -> Path:
    """Where labels go first: in the state folder of an agent, or else in one's own.

    Page and command use the same, so that each sees at once what the other took.
    """
    if state is not None:
        return state / LABELS
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "ringwatch" / LABELS


def _in_order(labels: dict[str, Label]) -> list[Label]:
    return sorted(labels.values(), key=attrgetter("time", "uid"))


def _last_of(places: dict[str, tuple[str, int]]) -> dict[str, int]:
    """Number of the last label of each run of labels, by the run's first letters."""
    last: dict[str, int] = {}
    for uid, number in places.values():
        last[uid[:8]] = max(number, last.get(uid[:8], 0))
    return last


def _parse_version(version: str) -> dict[str, int]:
    known = {}
    for part in version.split(",") if version else []:
        uid, colon, number = part.partition(":")
        if not colon or not number.isascii() or not number.isdigit():
            raise LabelError(
                f"{version!r} is no version of labels: expected one such as "
                "3fa2b1c0:120"
            )
        known[uid] = int(number)
    return known

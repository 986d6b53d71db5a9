"""Labels from their files to Tiled, whenever it is there, each once."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringwatch.agent.errors import LabelError
from ringwatch.agent.labels.documents import label_event
from ringwatch.agent.labels.journal import Journal
from ringwatch.agent.labels.journal_folder import JournalFolder
from ringwatch.agent.sinks.archive import FAILURES, Archive
from ringwatch.agent.sinks.refusals import is_of_server

__all__ = ["Delivery"]

LOOK_S = 5.0  # another process may have added to the files
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0

logger = logging.getLogger(__name__)


class Delivery:
    """A thread that sends files of labels on to Tiled.

    A file goes as a run of its own. What of it is there already is looked up before,
    so that sending again after a crash, or from two processes, changes nothing.

    Parameters
    ----------
    folder : Path
        Of the files.
    archive : Archive
        Where they go; closed at the end.
    """

    def __init__(self, folder: Path, archive: Archive) -> None:
        self._journals = JournalFolder(folder)
        self._archive = archive
        self._files: dict[str, _File] = {}  # by name
        self._cond = threading.Condition()
        self._asked = self._answered = 0
        self._closing = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why labels wait here and are not in Tiled; '' where none does."""
        return self._trouble

    def wake(self) -> None:
        """Say that there is something to send."""
        with self._cond:
            self._asked += 1
            self._cond.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait up to so many seconds until Tiled has all labels; whether it has."""
        with self._cond:
            self._asked += 1
            wanted = self._asked
            self._cond.notify_all()
            self._cond.wait_for(
                lambda: self._answered >= wanted or not self._thread.is_alive(), timeout
            )
            return self._answered >= wanted

    def close(self, timeout: float) -> bool:
        """Send what is there, within so many seconds, and end; whether all of it went.

        What did not go waits in its file for the next process.
        """
        all_sent = self.flush(timeout if not self._closing else 0.0)
        with self._cond:
            self._closing = True
            self._cond.notify_all()
        self._thread.join(timeout + 1)
        return all_sent

    def _run(self) -> None:
        backoff = 0.0
        while not self._closing:
            wanted = self._asked
            done = self._send_all()
            with self._cond:
                if done:
                    self._answered, backoff = wanted, 0.0
                    self._cond.notify_all()
                    wait = LOOK_S
                else:
                    wait = backoff = min(
                        max(2 * backoff, FIRST_BACKOFF_S), LONGEST_BACKOFF_S
                    )
                # Who waits for an answer is told soon, who adds does not hurry Tiled.
                self._cond.wait_for(
                    lambda: self._closing or (done and self._asked > wanted),  # noqa: B023
                    wait,
                )
        self._archive.close()

    def _send_all(self) -> bool:
        """Send what is there; whether Tiled has all of it now."""
        try:
            with self._journals.sending() as ours:
                if not ours:  # another process does: look again when it is through
                    return False
                said = self._send_each()
        except (LabelError, OSError) as error:
            said = str(error)
        if said and not self._trouble:
            logger.warning("labels wait in %s: %s", self._journals.path, said)
        elif self._trouble and not said:
            logger.info("labels: Tiled has them all again")
        self._trouble = said
        return not said

    def _send_each(self) -> str:
        """Send each file; what went wrong, '' where nothing did."""
        said = ""
        for path in self._journals.unsent():
            try:
                self._send(path)
            except FileNotFoundError:  # another process has just sent it
                continue
            except LabelError as error:
                said = str(error)
            except FAILURES as error:
                said = self._archive.told(error)
                self._archive.close()
                if is_of_server(error):
                    break
        return said

    def _send(self, path: Path) -> None:
        file = self._files.setdefault(path.name, _File(Journal(path)))
        journal = file.journal
        documents = journal.read()
        if not (journal.start and journal.descriptor):
            raise LabelError(
                f"{path} cannot be sent to Tiled: its first two lines, start document "
                "and descriptor, cannot be read; mend them"
            )
        # Made anew: what a hand has mended need not be a whole document.
        file.waiting += [
            label_event(journal.descriptor, each.label, each.seq_num)[1]
            for each in journal.entries(documents)
        ]
        if not (file.waiting or journal.stop) and file.begun:
            return
        stored = self._archive.open(journal.start)
        stored.add_stream(journal.descriptor)
        if file.waiting:
            stored.append(file.waiting)
        if journal.stop:
            stored.stop(journal.stop)
            self._journals.sent(path)
        file.waiting, file.begun = [], True


@dataclass(slots=True)
class _File:
    """A file, as far as it was read."""

    journal: Journal
    waiting: list[dict[str, Any]] = field(default_factory=list)  # read and not sent
    begun: bool = False  # whether Tiled has its run

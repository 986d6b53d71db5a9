"""What Tiled knows of a run whose spool file does not hold all of it."""

from __future__ import annotations

import logging
import time

from ringwatch.agent.sinks.archive import FAILURES, Archive
from ringwatch.agent.spool.contents import Contents

__all__ = ["recover"]

ASK_S = 10.0
RETRY_S = 1.0

logger = logging.getLogger(__name__)


def recover(archive: Archive, runs: list[Contents]) -> None:
    """Add to what files say of runs which verdicts of other frames Tiled has.

    A run of which all streams are known can be continued then: it is ``incomplete`` no
    more. Where Tiled does not answer within ten seconds the log says so.

    Parameters
    ----------
    archive : Archive
        Used by nobody else; closed in the end.
    runs : list of Contents
        Changed in place.
    """
    deadline = time.monotonic() + ASK_S
    waiting = list(runs)
    while waiting:
        try:
            _add(archive, waiting[0])
        except FAILURES as error:
            if time.monotonic() < deadline:
                time.sleep(RETRY_S)
                continue
            logger.error(
                "the spool does not hold all of %d runs, and Tiled cannot be asked for "
                "the rest (%s): frames that are final there get another final verdict",
                len(waiting),
                archive.told(error),
            )
            break
        waiting.pop(0)
    archive.close()


def _add(archive: Archive, found: Contents) -> None:
    described = {descriptor["name"] for descriptor in found.descriptors}
    stored = archive.open(found.start).verdicts()
    known = set(found.final)
    for stream, (following, rows) in stored.items():
        numbers = found.next_seq_num
        numbers[stream] = max(numbers.get(stream, 1), following)
        for row in rows:
            if (stream, str(row["raw_data_key"]), int(row["raw_index"])) not in known:
                found.take(stream, row)
    found.incomplete = found.incomplete and not set(stored) <= described

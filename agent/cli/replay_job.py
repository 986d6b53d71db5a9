"""One run replayed as ordered: in this process, in another one, or on a Dask worker."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from rich.console import Console

from ringwatch.agent.agent import Agent, load_classifier
from ringwatch.agent.cli.compare import (
    compare_verdicts,
    final_verdicts,
    verdict_digest,
)
from ringwatch.agent.cli.replay_answer import (
    Listener,
    Said,
    diff_object,
    frame_object,
)
from ringwatch.agent.cli.replay_orders import Order
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.errors import MALFORMED, ReplayError, RingwatchError
from ringwatch.agent.labelling import Classifies
from ringwatch.agent.replay_many import is_stopped
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks import Sink
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sinks.tiled import TiledSink
from ringwatch.agent.sources.broker import documents_of, open_profile
from ringwatch.agent.sources.derived import find_pass, next_attempt, verdict_documents
from ringwatch.agent.sources.pace import Pace, paced
from ringwatch.agent.sources.tiled import (
    StoredDocuments,
    catalog,
    find_run,
    with_dark_run,
)
from ringwatch.agent.sources.tiled_server import server
from ringwatch.agent.tiled_client import disconnect

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx

__all__ = ["FAILURES", "open_runs", "replay_one", "replay_order", "trouble"]

FAILURES = (RingwatchError, httpx.HTTPError, OSError, *MALFORMED)
"""What may end the replay of a run, and of that run only."""

logger = logging.getLogger(__name__)


@contextmanager
def open_runs(order: Order) -> Iterator[Any]:
    """The catalogue that an order names; its connections end with the context."""
    if order.profile:
        runs = open_profile(order.profile, order.container)
    else:
        key = os.environ.get("TILED_API_KEY")
        runs = catalog(order.tiled, key, container=order.container)
    try:
        yield runs
    finally:
        if hasattr(runs, "context"):
            disconnect(runs)


def replay_order(text: str) -> str:
    """Carry out an order, quietly; the answer, also where it failed, as JSON."""
    order = Order.from_text(text)
    console = Console(quiet=True)
    try:
        with open_runs(order) as runs:
            return json.dumps(replay_one(order, runs, console, stopped=is_stopped))
    except FAILURES as error:  # some of them do not survive the way between processes
        return json.dumps(trouble(order, error))


def trouble(order: Order, error: Exception) -> dict[str, Any]:
    """The answer where a replay failed: ``run`` and ``error``."""
    if isinstance(error, RingwatchError):
        return {"run": order.uid, "error": str(error)}
    logger.debug("the replay of run %s failed", order.uid, exc_info=error)
    said = f"{type(error).__name__}: {str(error)[:200]}"
    told = f"run {order.uid} cannot be replayed ({said}): look at its documents"
    return {"run": order.uid, "error": told}


def replay_one(
    order: Order,
    runs: Any,
    console: Console,
    *,
    listener: Listener | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Replay one run.

    Parameters
    ----------
    order : Order
    runs : catalogue
        As ``open_runs`` gives it.
    console : rich.console.Console
        Where the progress goes.
    listener : callable, optional
        Told of each derived document.
    stopped : callable
        See ``analyse_stored``.

    Returns
    -------
    dict
        ``run``, ``frames``, ``analysed``, ``words``, ``paragraph``, ``attempt``,
        ``analysis_id``, ``digest`` of the final verdicts, ``seconds``; on demand
        ``diff`` and ``verdicts``.

    Raises
    ------
    RingwatchError, httpx.HTTPError, OSError, LookupError, TypeError, ValueError
        If anything of it fails: see ``FAILURES``.
    """
    began = time.monotonic()
    settings = order.read_settings()
    documents, uid = _documents(order, runs, settings, stopped)
    attempt, archive, stored = 2, None, None
    if order.store or order.diff:
        uri, key = _archive_of(order, runs)
        root = server(uri, key)
        try:
            into = settings.tiled_container
            if order.diff:  # before it is stored: the newest would be this one
                found = find_pass(root, into, uid, order.against)
                stored = found.metadata["start"], _verdicts(verdict_documents(found))
            if order.store:
                attempt = next_attempt(root, into, uid)
                archive = TiledSink(uri, api_key=key, container=into)
        finally:
            disconnect(root)
    said = Said(listener)
    agent = _analyse(documents, settings, attempt, archive, said, console, stopped)
    verdicts = final_verdicts(said.documents)
    summary = {
        "run": uid,
        "frames": agent.counters.announced,
        "analysed": agent.counters.analysed,
        "words": dict(said.words),
        "paragraph": said.paragraph,
        "attempt": attempt,
        "analysis_id": agent.analysis.analysis_id,
        "digest": verdict_digest(verdicts),
        "seconds": round(time.monotonic() - began, 3),
    }
    if stored is not None:
        summary["diff"] = diff_object(stored[0], compare_verdicts(stored[1], verdicts))
    if order.frames:
        summary["verdicts"] = [
            frame_object(frame.stream, data)
            for frame in sorted(verdicts)
            for data in verdicts[frame]
        ]
    return summary


def _documents(
    order: Order, runs: Any, settings: Settings, stopped: Callable[[], bool]
) -> tuple[StoredDocuments, str]:
    run = find_run(runs, order.uid)
    if hasattr(run, "include_data_sources"):
        documents = with_dark_run(
            runs, run, detector=settings.detector, roots=settings.data_roots
        )
    else:  # of a databroker catalogue, which does not count its frames
        documents = StoredDocuments(
            documents_of(run, detector=settings.detector, roots=settings.data_roots), 0
        )
    at_pace = paced(documents, Pace.parse(order.pace), wait=partial(_wait, stopped))
    return (
        StoredDocuments(at_pace, documents.frames),
        str(run.metadata["start"]["uid"]),  # asked by its first letters
    )


def _wait(stopped: Callable[[], bool], seconds: float) -> bool:
    """Wait, unless somebody wants the replay to end; whether so."""
    end = time.monotonic() + seconds
    while not stopped():
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, 0.2))
    return True


def _archive_of(order: Order, runs: Any) -> tuple[str, str | None]:
    """Address and key of the server that keeps the derived runs."""
    if order.tiled:
        return order.tiled, os.environ.get("TILED_API_KEY")
    if not hasattr(runs, "context"):
        raise ReplayError(
            f"profile {order.profile!r} is no Tiled server: say with --tiled where the "
            "verdicts are stored"
        )
    return str(runs.context.server_info.links["self"]), runs.context.api_key


def _verdicts(documents: Iterator[NamedDocument]) -> Any:
    said = Said(None)
    for name, doc in documents:
        said(name, doc)
    return final_verdicts(said.documents)


def _analyse(
    documents: StoredDocuments,
    settings: Settings,
    attempt: int,
    archive: TiledSink | None,
    said: Said,
    console: Console,
    stopped: Callable[[], bool],
) -> Agent:
    sinks: list[Sink] = [MemorySink(limit=1, listener=said)]  # a run may be long
    if archive is not None:
        sinks.append(archive)
    try:
        classifier = _classifier(settings.classifier, settings.model_dump_json())
        agent = Agent(
            settings, classifier=classifier, sinks=tuple(sinks), attempt=attempt
        )
        analyse_stored(agent, documents, console=console, stopped=stopped)
    finally:
        if archive is not None:
            archive.close(0.1)  # the agent did, if there was one
    if archive is not None and archive.failed:
        raise ReplayError(
            f"{archive.failed} documents of attempt {attempt} could not be stored; see "
            "the log, then replay again for the next attempt"
        )
    return agent


@lru_cache(maxsize=1)
def _classifier(kind: str, settings: str) -> Classifies | None:
    """The classifier of some settings; the next run of this process has the same."""
    return load_classifier(Settings.model_validate_json(settings))

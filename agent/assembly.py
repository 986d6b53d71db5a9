"""What an agent is made of, by its settings: classifier, sinks, what it may fetch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.registry import Collector

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.darks import Fetch
from ringwatch.agent.errors import RingwatchError, SettingsError
from ringwatch.agent.labelling import Classifies
from ringwatch.agent.metrics_server import MetricsServer
from ringwatch.agent.results import DerivedRun, NamedDocument
from ringwatch.agent.runs.backfill import FetchRun
from ringwatch.agent.runs.ledger import FrameKey
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks import KeepsRuns, Sink
from ringwatch.agent.sinks.paragraph import ParagraphSink
from ringwatch.agent.spool.contents import FINAL_BEFORE, Contents, ranges

if TYPE_CHECKING:
    from ringwatch.agent.dashboard.page import Page
    from ringwatch.agent.wire.security import Curve

__all__ = [
    "Fetches",
    "Unfinished",
    "curve_of",
    "fetches",
    "finished",
    "load_classifier",
    "make_sinks",
    "serve_metrics",
    "serve_page",
    "unfinished",
]


def load_classifier(settings: Settings) -> Classifies | None:
    """Load the classifier that the settings ask for; None for ``none``.

    Raises
    ------
    SettingsError
        Where weights, backend or device cannot be used.
    """
    if settings.classifier == "none":
        return None
    # Imported here: an agent without a classifier needs no inference engine.
    from ringwatch.models.classifier import Classifier  # noqa: PLC0415

    if settings.device:
        from ringwatch.agent.device_sums import find_device  # noqa: PLC0415

        find_device(settings.device)
    try:
        return Classifier.load(
            settings.weights,
            prior=settings.prior,
            backend=settings.classifier,
            device=None if settings.classifier == "onnx" else settings.device,
        )
    except (ValueError, OSError, ImportError) as error:
        raise SettingsError(f"the classifier cannot be loaded: {error}") from error


def make_sinks(settings: Settings, api_key: str | None) -> list[Sink]:
    """Make the sinks of the settings; where one cannot be made, none stays open."""
    sinks: list[Sink] = []
    try:
        if settings.publish:
            from ringwatch.agent.sinks.zmq import ZmqSink  # noqa: PLC0415

            sinks.append(
                ZmqSink(
                    settings.publish,
                    allow_remote=settings.allow_remote,
                    curve=curve_of(settings, binds=True),
                )
            )
        if settings.tiled:
            sinks.append(_tiled_sink(settings, api_key, sinks))
        if settings.paragraph:
            sinks.append(ParagraphSink(as_json=settings.log == "json"))
    except RingwatchError:
        for sink in sinks:
            sink.close(0.1)
        raise
    return sinks


def serve_metrics(
    settings: Settings, collector: Collector, sinks: list[Sink]
) -> MetricsServer | None:
    """Serve metrics where the settings say; where that fails, no sink stays open."""
    if settings.metrics is None:
        return None
    try:
        return MetricsServer(
            settings.metrics, collector, allow_remote=settings.allow_remote
        )
    except RingwatchError:
        for sink in sinks:
            sink.close(0.1)
        raise


def serve_page(
    analysis: Analysis, api_key: str | None, sinks: list[Sink]
) -> Page | None:
    """Serve the page where the settings say; where that fails, no sink stays open."""
    if analysis.settings.page is None:
        return None
    # Imported here: an agent without a page needs no web server.
    from ringwatch.agent.dashboard.page import Page  # noqa: PLC0415

    try:
        return Page(analysis, api_key=api_key)
    except RingwatchError:
        for sink in sinks:
            sink.close(0.1)
        raise


def curve_of(settings: Settings, *, binds: bool) -> Curve | None:
    """Keys for one of our 0MQ sockets; None where the settings name none.

    Parameters
    ----------
    settings : Settings
        Which has seen to it that keys of the others are named where ours is.
    binds : bool
        Whether others connect to the socket: it is the server then.
    """
    # Imported here: an agent that talks to nobody needs no 0MQ.
    from ringwatch.agent.wire.security import CurveClient, CurveServer  # noqa: PLC0415

    own = settings.curve_key
    if own is None:
        return None
    if binds:
        assert settings.curve_clients is not None
        return CurveServer(secret_key=own, allowed_keys=settings.curve_clients)
    assert settings.curve_server is not None
    return CurveClient(secret_key=own, server_key=settings.curve_server)


def _tiled_sink(
    settings: Settings, api_key: str | None, listened_to: list[Sink]
) -> Sink:
    """The way to Tiled: by a spool on disk where there is a folder for it.

    What goes wrong there is told to those ``listened_to``.
    """
    assert settings.tiled is not None
    key = api_key or os.environ.get("TILED_API_KEY")
    if settings.state is None:
        from ringwatch.agent.sinks.tiled import TiledSink  # noqa: PLC0415

        return TiledSink(
            settings.tiled, container=settings.tiled_container, api_key=key
        )
    from ringwatch.agent.sinks.service_alarms import ServiceAlarms  # noqa: PLC0415
    from ringwatch.agent.sinks.spooled import SpooledSink  # noqa: PLC0415

    return SpooledSink(
        settings.state / "spool",
        settings.tiled,
        container=settings.tiled_container,
        api_key=key,
        max_memory_bytes=settings.spool_max_memory_bytes,
        max_spool_bytes=settings.spool_max_bytes,
        look=ServiceAlarms(listened_to[0]).look if listened_to else None,
    )


class Unfinished(NamedTuple):
    """A raw run in the analysis of which an agent died.

    Attributes
    ----------
    raw_uid : str
        Of the raw run.
    final : frozenset of FrameKey
        Frames that have their final verdict.
    derived : DerivedRun
        To go on with: the one that was left, or another.
    attempt : int
        Its number.
    """

    raw_uid: str
    final: frozenset[FrameKey]
    derived: DerivedRun
    attempt: int


def finished(sinks: list[Sink]) -> list[str]:
    """Uids of raw runs whose verdicts are all out, or in the spool."""
    keepers = [sink for sink in sinks if isinstance(sink, KeepsRuns)]
    return [uid for sink in keepers for uid in sink.finished()]


def unfinished(sinks: list[Sink], analysis: Analysis) -> Iterator[Unfinished]:
    """Raw runs in the analysis of which a former process died, from the spool.

    Where what it left is of another analysis, or its file is not complete, another
    attempt takes its place, for the frames without a final verdict.
    """
    for sink in sinks:
        if not isinstance(sink, KeepsRuns):
            continue
        attempts: dict[str, list[Contents]] = {}
        for left in sink.unfinished():
            attempts.setdefault(left.raw_uid, []).append(left)
        for each in attempts.values():
            yield _gone_on_with(each, analysis)


def _gone_on_with(attempts: list[Contents], analysis: Analysis) -> Unfinished:
    """Go on with the newest attempt at a raw run, or begin the next.

    The others stop as soon as that one has something to say: by then its start document
    is in the spool, which names the frames that are final already.
    """
    attempts.sort(key=lambda left: (_attempt(left), left.start.get("time", 0.0)))
    newest, older = attempts[-1], attempts[:-1]
    final = frozenset[FrameKey]().union(*(left.final for left in attempts))
    attempt = _attempt(newest)
    if newest.incomplete:
        why = "the disk was full: the spool does not hold all of it"
    elif newest.start.get("analysis_id") != analysis.analysis_id:
        why = "the agent was restarted with another analysis"
    elif newest.final != final:
        why = "another attempt at the same raw run was left as well"
    else:
        derived = _resumed(newest, analysis)
        derived.precede(_stops(older, analysis, "a newer attempt goes on"))
        return Unfinished(newest.raw_uid, final, derived, attempt)
    told = {FINAL_BEFORE: ranges(final)} if final else {}
    derived = DerivedRun(
        newest.start | {"uid": newest.raw_uid},
        analysis_id=analysis.analysis_id,
        attempt=attempt + 1,
        metadata=analysis.hashes | told,
        q=analysis.bins,
    )
    derived.precede([*derived.start(), *_stops(attempts, analysis, why)])
    return Unfinished(newest.raw_uid, final, derived, attempt + 1)


def _attempt(left: Contents) -> int:
    return int(left.start.get("attempt", 1))


def _resumed(left: Contents, analysis: Analysis) -> DerivedRun:
    return DerivedRun.resumed(
        left.start,
        left.descriptors,
        left.next_seq_num,
        q=analysis.bins,
        account=left.account,
    )


def _stops(left: list[Contents], analysis: Analysis, why: str) -> list[NamedDocument]:
    return [doc for each in left for doc in _resumed(each, analysis).stop("abort", why)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetches:
    """What the worker may fetch.

    Attributes
    ----------
    dark : Fetch or None
        Frames of a dark run.
    run : FetchRun or None
        A whole run once more, for its second pass.
    """

    dark: Fetch | None = None
    run: FetchRun | None = None


def fetches(
    settings: Settings, api_key: str | None, fetch_dark: Fetch | None
) -> Fetches:
    """What may be fetched from Tiled; ``fetch_dark`` goes before it."""
    if not settings.tiled:
        return Fetches(dark=fetch_dark)
    from ringwatch.agent.sources.dark_runs import StoredDarkRuns  # noqa: PLC0415
    from ringwatch.agent.sources.stored_runs import StoredRuns  # noqa: PLC0415

    detector, roots = settings.detector, settings.data_roots
    runs = StoredRuns(
        settings.tiled,
        api_key or os.environ.get("TILED_API_KEY"),
        container=settings.raw_container,
        detector=detector,
        roots=roots,
    )
    darks = fetch_dark or StoredDarkRuns(runs, detector=detector, roots=roots)
    return Fetches(dark=darks, run=runs)

"""What an agent is made of, by its settings: classifier, sinks, what it may fetch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ringwatch.agent.analysis import Classifies
from ringwatch.agent.backfill import FetchRun
from ringwatch.agent.darks import Fetch
from ringwatch.agent.errors import RingwatchError, SettingsError
from ringwatch.agent.ledger import FrameKey
from ringwatch.agent.results import DerivedRun
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks import KeepsRuns, Sink

if TYPE_CHECKING:
    from ringwatch.agent.zmq_security import Curve

__all__ = [
    "Fetches",
    "Unfinished",
    "curve_of",
    "fetches",
    "load_classifier",
    "make_sinks",
    "unfinished",
]


def load_classifier(settings: Settings) -> Classifies | None:
    """Load the classifier that the settings ask for; None for ``none``.

    Raises
    ------
    SettingsError
        Where weights or backend cannot be used.
    """
    if settings.classifier == "none":
        return None
    # Imported here: an agent without a classifier needs no inference engine.
    from ringwatch.models.classifier import Classifier  # noqa: PLC0415

    try:
        return Classifier.load(
            settings.weights, prior=settings.prior, backend=settings.classifier
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
    except RingwatchError:
        for sink in sinks:
            sink.close(0.1)
        raise
    return sinks


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
    from ringwatch.agent.zmq_security import CurveClient, CurveServer  # noqa: PLC0415

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
    """A derived run whose writer died.

    Attributes
    ----------
    raw_uid : str
        Of the raw run.
    final : frozenset of FrameKey
        Frames that have their final verdict.
    derived : DerivedRun or None
        To go on with; None where another has to be begun.
    attempt : int
        Number of that other one.
    """

    raw_uid: str
    final: frozenset[FrameKey]
    derived: DerivedRun | None
    attempt: int


def unfinished(sinks: list[Sink], analysis_id: str) -> Iterator[Unfinished]:
    """Derived runs that a former process left without a stop, from the spool.

    One of another analysis, or whose file is not complete, is closed; what is left of
    its frames is for the next attempt.
    """
    for sink in sinks:
        if not isinstance(sink, KeepsRuns):
            continue
        for left in sink.unfinished():
            derived: DerivedRun | None = DerivedRun.resumed(
                left.start, left.descriptors, left.next_seq_num
            )
            assert derived is not None
            attempt = int(left.start.get("attempt", 1))
            if left.incomplete or left.start.get("analysis_id") != analysis_id:
                reason = (
                    "the disk was full: the spool does not hold all of it"
                    if left.incomplete
                    else "the agent was restarted with another analysis"
                )
                for name, doc in derived.stop("abort", reason):
                    sink.put(name, doc)
                derived, attempt = None, attempt + 1
            yield Unfinished(left.raw_uid, frozenset(left.final), derived, attempt)


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

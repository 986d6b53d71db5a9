"""What an agent is made of, by its settings: classifier, sinks, what it may fetch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from ringwatch.agent.analysis import Classifies
from ringwatch.agent.darks import Fetch
from ringwatch.agent.errors import RingwatchError, SettingsError
from ringwatch.agent.ledger import FrameKey
from ringwatch.agent.results import DerivedRun
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks import Sink

__all__ = ["Unfinished", "load_classifier", "make_sinks", "stored_runs", "unfinished"]


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
                    curve=_curve_of(settings),
                )
            )
        if settings.tiled:
            sinks.append(_tiled_sink(settings, api_key))
    except RingwatchError:
        for sink in sinks:
            sink.close(0.1)
        raise
    return sinks


def _curve_of(settings: Settings) -> Any:
    """Keys with which results are published; None without."""
    if settings.curve_key is None or settings.curve_clients is None:
        return None
    from ringwatch.agent.zmq_security import CurveServer  # noqa: PLC0415

    return CurveServer(
        secret_key=settings.curve_key, allowed_keys=settings.curve_clients
    )


def _tiled_sink(settings: Settings, api_key: str | None) -> Sink:
    """The way to Tiled: by a spool on disk where there is a folder for it."""
    assert settings.tiled is not None
    key = api_key or os.environ.get("TILED_API_KEY")
    if settings.state is None:
        from ringwatch.agent.sinks.tiled import TiledSink  # noqa: PLC0415

        return TiledSink(
            settings.tiled, container=settings.tiled_container, api_key=key
        )
    from ringwatch.agent.sinks.spooled import SpooledSink  # noqa: PLC0415

    return SpooledSink(
        settings.state / "spool",
        settings.tiled,
        container=settings.tiled_container,
        api_key=key,
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
        for left in getattr(sink, "unfinished", list)():
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


def stored_runs(
    settings: Settings, api_key: str | None, fetch_dark: Fetch | None
) -> dict[str, Any]:
    """What the worker may fetch from Tiled: dark runs, and whole runs once more."""
    if not settings.tiled:
        return {"fetch_dark": fetch_dark}
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
    darks = StoredDarkRuns(runs, detector=detector, roots=roots)
    return {
        "fetch_dark": fetch_dark or darks,
        "fetch_run": runs,
    }

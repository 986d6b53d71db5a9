"""Raw runs in the analysis of which an agent died, as its spool tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.results import DerivedRun, NamedDocument
from ringwatch.agent.runs.ledger import FrameKey
from ringwatch.agent.sinks import KeepsRuns, Sink
from ringwatch.agent.spool.contents import FINAL_BEFORE, Contents, ranges

__all__ = ["Unfinished", "finished", "unfinished"]


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
        learned=analysis.heads.fields,
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
        learned=analysis.heads.fields,  # the same id: the same heads
    )


def _stops(left: list[Contents], analysis: Analysis, why: str) -> list[NamedDocument]:
    return [doc for each in left for doc in _resumed(each, analysis).stop("abort", why)]

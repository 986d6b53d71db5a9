"""From findings to a word and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from ringwatch.agent.nouns import Flag, FlagState, Quality, Severity, Word
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised

__all__ = ["CAUSES", "NEEDED", "quality_of", "set_aside", "unread", "verdict_word"]

CAUSES = (
    Flag.PIPELINE,
    Flag.SEQUENCE,
    Flag.INVALID_VALUES,
    Flag.MISREAD,
    Flag.DUPLICATE,
    Flag.NO_BEAM,
    Flag.SATURATED,
    Flag.BEAM_CENTER,
    Flag.RADIAL_SCALE,
    Flag.LOW_COUNTS,
)
"""Order of suppression: of several raised flags the first is the root cause."""

NEEDED = frozenset(
    {
        Flag.INVALID_VALUES,
        Flag.MISREAD,
        Flag.DUPLICATE,
        Flag.NO_BEAM,
        Flag.SATURATED,
        Flag.LOW_COUNTS,
    }
)
"""Flags without which no frame is called good."""

_WORDS = (
    (Severity.BAD, Word.BAD),
    (Severity.MISALIGNED, Word.MISALIGNED),
    (Severity.SUSPECT, Word.SUSPECT),
)


def verdict_word(severities: Iterable[Severity], evaluated: Iterable[Flag]) -> Word:
    """Word for a frame.

    Parameters
    ----------
    severities : iterable of Severity
        Of the raised flags.
    evaluated : iterable of Flag
        Flags that could be evaluated.
    """
    found = set(severities)
    for severity, word in _WORDS:
        if severity in found:
            return word
    if Severity.PIPELINE in found or not set(evaluated) >= NEEDED:
        return Word.UNKNOWN
    return Word.GOOD


def quality_of(findings: Iterable[Finding]) -> Quality:
    """Put the findings together; a flag without one was not evaluated."""
    by_flag = {finding.flag: finding for finding in findings}
    every = [by_flag.get(f) or not_evaluated(f, "not checked") for f in Flag]
    up = {f.flag: f for f in every if f.state is FlagState.RAISED}
    severities = {flag: f.severity or flag.severity for flag, f in up.items()}
    evaluated = [f.flag for f in every if f.state is not FlagState.NOT_EVALUATED]
    word = verdict_word(severities.values(), evaluated)
    primary = _root(severities)
    values = {f.flag.value_key: f.value for f in every if not math.isnan(f.value)}
    for finding in every:
        values |= {k: v for k, v in finding.further.items() if not math.isnan(v)}
    return Quality(
        states={f.flag: f.state for f in every},
        why_not={
            f.flag: f.sentence for f in every if f.state is FlagState.NOT_EVALUATED
        },
        z={f.flag: f.z for f in every if not math.isnan(f.z)},
        values=values,
        severities=severities,
        primary=primary,
        word=word,
        reason=up[primary].sentence if primary else _all_clear(every, word),
    )


def unread(reason: str, flag: Flag = Flag.PIPELINE) -> Quality:
    """Quality of a frame that could not be read or reduced.

    Parameters
    ----------
    reason : str
        Why, in one sentence.
    flag : Flag
        ``PIPELINE`` where the agent failed or shed the frame: ``unknown``. ``MISREAD``
        where the frame itself is at fault (wrong shape, truncated): ``bad``.
    """
    fault = raised(flag, 1.0 if flag is Flag.MISREAD else math.nan, reason)
    rest = [clear(Flag.PIPELINE)] if flag is not Flag.PIPELINE else []
    others = [
        not_evaluated(f, reason)
        for f in Flag
        if f is not flag and f is not Flag.PIPELINE
    ]
    return quality_of([fault, *rest, *others])


def _root(severities: dict[Flag, Severity]) -> Flag | None:
    """First cause. What is only information is the root of nothing else."""
    order = [flag for flag in CAUSES if flag in severities]
    grave = [f for f in order if severities[f] is not Severity.INFORMATION]
    return next(iter(grave or order), None)


def _all_clear(every: list[Finding], word: Word) -> str:
    done = [f for f in every if f.state is not FlagState.NOT_EVALUATED]
    missing = [f for f in every if f.state is FlagState.NOT_EVALUATED]
    said = f"{len(done)} of {len(every)} checks clear"
    if word is Word.UNKNOWN:
        needed = [f for f in missing if f.flag in NEEDED]
        why = "; ".join(f"{f.flag.label}: {f.sentence}" for f in needed)
        return f"{said}, but not these that a verdict needs: {why}"
    if missing:
        said += "; not evaluated: " + ", ".join(f.flag.label for f in missing)
    return said


def set_aside(reason: str) -> Quality:
    """Quality of a frame that is not to be judged: a dark, or a pattern without pixels.

    No flag is raised and none evaluated; the word is ``unknown``.
    """
    aside = quality_of([not_evaluated(flag, reason) for flag in Flag])
    return replace(aside, reason=reason)

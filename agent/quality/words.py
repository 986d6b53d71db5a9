"""From findings to a word and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ringwatch.agent.nouns import Flag, FlagState, Quality, Severity, Word
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised

__all__ = [
    "CAUSES",
    "NEEDED",
    "amended",
    "quality_of",
    "set_aside",
    "unread",
    "verdict_word",
]

CAUSES = (
    Flag.PIPELINE,
    Flag.SEQUENCE,
    Flag.INVALID_VALUES,
    Flag.MISREAD,
    Flag.DUPLICATE,
    Flag.NO_BEAM,
    Flag.BEAM_DROP,
    Flag.I0_SUSPECT,
    Flag.NO_SAMPLE,
    Flag.SATURATED,
    Flag.COUNT_RATE_LOSS,
    Flag.MASK_MISMATCH,
    Flag.HOT_PIXELS,
    Flag.ZINGERS,
    Flag.STALE_CALIBRATION,
    Flag.SHADOW,
    Flag.BEAMSTOP_LEAK,
    Flag.BEAM_CENTER,
    Flag.TILT,
    Flag.RADIAL_SCALE,
    Flag.SAMPLE_DISPLACED,
    Flag.SPOTS,
    Flag.GRAINY,
    Flag.TEXTURE,
    Flag.STRAIN,
    Flag.LOW_COUNTS,
    Flag.ICE,
    Flag.AMORPHOUS_ONLY,
    Flag.DRIFT,
    Flag.CHANGE_POINT,
    Flag.NOVEL,
    Flag.UNSURE,
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

_NAMED = 6  # flags named in the sentence of a good frame

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
    states = {f.flag: f.state for f in every}
    why_not = {f.flag: f.sentence for f in every if f.state is FlagState.NOT_EVALUATED}
    return Quality(
        states=states,
        why_not=why_not,
        z={f.flag: f.z for f in every if not math.isnan(f.z)},
        values=values,
        severities=severities,
        primary=primary,
        word=word,
        sentences={flag: f.sentence for flag, f in up.items()},
        reason=_reason(up, primary, word) or _all_clear(states, why_not, word),
    )


def amended(quality: Quality, findings: Iterable[Finding]) -> Quality:
    """Put later findings of information into a Quality; the word stays.

    A frame without any other root cause gets its sentence from them.
    """
    states, why_not = dict(quality.states), dict(quality.why_not)
    z, values = dict(quality.z), dict(quality.values)
    sentences = dict(quality.sentences)
    severities, primary, reason = (
        dict(quality.severities),
        quality.primary,
        quality.reason,
    )
    for finding in findings:
        flag = finding.flag
        states[flag] = finding.state
        why_not.pop(flag, None)
        if not math.isnan(finding.value):
            values[flag.value_key] = finding.value
        if not math.isnan(finding.z):
            z[flag] = finding.z
        if finding.state is FlagState.NOT_EVALUATED:
            why_not[flag] = finding.sentence
        if finding.state is FlagState.RAISED:
            severities[flag] = Severity.INFORMATION
            sentences[flag] = finding.sentence
            if primary is None:
                primary = flag
                if quality.word is not Word.UNKNOWN:
                    reason = finding.sentence
    if primary is None and quality.word is Word.GOOD:
        reason = _all_clear(states, why_not, quality.word)
    return replace(
        quality,
        states=states,
        why_not=why_not,
        z=z,
        values=values,
        severities=severities,
        sentences=sentences,
        primary=primary,
        reason=reason,
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


def _reason(up: Mapping[Flag, Finding], primary: Flag | None, word: Word) -> str:
    """Sentence of the root cause; empty where another must say why it is unknown."""
    if primary is None:
        return ""
    finding = up[primary]
    severity = finding.severity or primary.severity
    if word is Word.UNKNOWN and severity is Severity.INFORMATION:
        return ""
    return finding.sentence


def _root(severities: dict[Flag, Severity]) -> Flag | None:
    """First cause. What is only information is the root of nothing else."""
    order = [flag for flag in CAUSES if flag in severities]
    grave = [f for f in order if severities[f] is not Severity.INFORMATION]
    return next(iter(grave or order), None)


def _all_clear(
    states: Mapping[Flag, FlagState], why_not: Mapping[Flag, str], word: Word
) -> str:
    done = sum(state is not FlagState.NOT_EVALUATED for state in states.values())
    said = f"{done} of {len(states)} checks clear"
    if word is Word.UNKNOWN:
        why = "; ".join(
            f"{f.label}: {why_not[f]}" for f in Flag if f in NEEDED and f in why_not
        )
        return f"{said}, but not these that a verdict needs: {why}"
    missing = [flag.label for flag in Flag if flag in why_not]
    if len(missing) > _NAMED:
        more = f" and {len(missing) - _NAMED + 1} more"
        missing = [*missing[: _NAMED - 1]]
        return f"{said}; not evaluated: {', '.join(missing)}{more}"
    if missing:
        said += "; not evaluated: " + ", ".join(missing)
    return said


def set_aside(reason: str) -> Quality:
    """Quality of a frame that is not to be judged: a dark, or a pattern without pixels.

    No flag is raised and none evaluated; the word is ``unknown``.
    """
    aside = quality_of([not_evaluated(flag, reason) for flag in Flag])
    return replace(aside, reason=reason)

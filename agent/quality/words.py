"""From findings to a word and a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isnan, nan
from operator import attrgetter

from ringwatch.agent.nouns import Flag, FlagState, Quality, Severity, Word
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised

__all__ = [
    "CAUSES",
    "NEEDED",
    "against_stored",
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

_FLAGS = tuple(Flag)  # by bit; a tuple is walked through faster than the class
_BIT = attrgetter("bit")
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
    if found:
        for severity, word in _WORDS:
            if severity in found:
                return word
    if Severity.PIPELINE in found or not NEEDED.issubset(evaluated):
        return Word.UNKNOWN
    return Word.GOOD


def quality_of(findings: Iterable[Finding]) -> Quality:
    """Put the findings together; a flag without one was not evaluated."""
    absent, up = FlagState.NOT_EVALUATED, FlagState.RAISED
    by_flag = {finding.flag: finding for finding in findings}
    states: dict[Flag, FlagState] = {}
    why_not: dict[Flag, str] = {}
    z: dict[Flag, float] = {}
    values: dict[str, float] = {}
    further: list[tuple[str, float]] = []
    severities: dict[Flag, Severity] = {}
    for flag in _FLAGS:
        finding = by_flag.get(flag)
        if finding is None:
            states[flag], why_not[flag] = absent, "not checked"
            continue
        state = states[flag] = finding.state
        if state is absent:
            why_not[flag] = finding.sentence
        else:
            if state is up:
                severities[flag] = finding.severity or flag.severity
            if not isnan(finding.z):
                z[flag] = finding.z
            if not isnan(finding.value):
                values[flag.value_key] = finding.value
        if finding.further:
            further += finding.further.items()
    if further:
        values |= {key: value for key, value in further if not isnan(value)}
    word = verdict_word(severities.values(), states.keys() - why_not.keys())
    primary = _root(severities)
    sentences = {flag: by_flag[flag].sentence for flag in severities}
    return Quality(
        states=states,
        why_not=why_not,
        z=z,
        values=values,
        severities=severities,
        primary=primary,
        word=word,
        sentences=sentences,
        reason=_reason(sentences, severities, primary, word)
        or _all_clear(why_not, word),
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
        if not isnan(finding.value):
            values[flag.value_key] = finding.value
        if not isnan(finding.z):
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
        reason = _all_clear(why_not, quality.word)
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


def against_stored(quality: Quality) -> Quality:
    """The same, in words for a reference that is not of the run itself."""

    def reworded(text: str) -> str:
        for phrase in ("the run's first frames", "the first frames"):
            text = text.replace(phrase, "the reference")
        return text

    return replace(
        quality,
        reason=reworded(quality.reason),
        why_not={flag: reworded(why) for flag, why in quality.why_not.items()},
        sentences={flag: reworded(said) for flag, said in quality.sentences.items()},
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
    fault = raised(flag, 1.0 if flag is Flag.MISREAD else nan, reason)
    rest = [clear(Flag.PIPELINE)] if flag is not Flag.PIPELINE else []
    others = [
        not_evaluated(f, reason)
        for f in Flag
        if f is not flag and f is not Flag.PIPELINE
    ]
    return quality_of([fault, *rest, *others])


def _reason(
    sentences: Mapping[Flag, str],
    severities: Mapping[Flag, Severity],
    primary: Flag | None,
    word: Word,
) -> str:
    """Sentence of the root cause; empty where another must say why it is unknown."""
    if primary is None:
        return ""
    if word is Word.UNKNOWN and severities[primary] is Severity.INFORMATION:
        return ""
    return sentences[primary]


def _root(severities: Mapping[Flag, Severity]) -> Flag | None:
    """First cause. What is only information is the root of nothing else."""
    order = [flag for flag in CAUSES if flag in severities] if severities else []
    grave = [f for f in order if severities[f] is not Severity.INFORMATION]
    return next(iter(grave or order), None)


def _all_clear(why_not: Mapping[Flag, str], word: Word) -> str:
    said = f"{len(_FLAGS) - len(why_not)} of {len(_FLAGS)} checks clear"
    missing = sorted(why_not, key=_BIT)
    if word is Word.UNKNOWN:
        why = "; ".join(f"{f.label}: {why_not[f]}" for f in missing if f in NEEDED)
        return f"{said}, but not these that a verdict needs: {why}"
    if not missing:
        return said
    named = missing if len(missing) <= _NAMED else missing[: _NAMED - 1]
    more = f" and {len(missing) - len(named)} more" if len(named) < len(missing) else ""
    return f"{said}; not evaluated: {', '.join(f.label for f in named)}{more}"


def set_aside(reason: str) -> Quality:
    """Quality of a frame that is not to be judged: a dark, or a pattern without pixels.

    No flag is raised and none evaluated; the word is ``unknown``.
    """
    aside = quality_of([not_evaluated(flag, reason) for flag in Flag])
    return replace(aside, reason=reason)

"""``novel`` and ``unsure``: what the classifier says of its own answer."""

from __future__ import annotations

from ringwatch.agent.nouns import Flag, FlagState, Quality
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.words import amended
from ringwatch.models.prediction import Prediction

__all__ = ["with_label"]


def with_label(
    quality: Quality, prediction: Prediction | None, why_not: str = "no classifier"
) -> Quality:
    """Add what the classifier says to what the flags said before it ran.

    Both flags are information: the frame is no worse for a sample that nobody knows.

    Parameters
    ----------
    quality : Quality
        Of the same frame.
    prediction : Prediction or None
    why_not : str
        Why there is no prediction.
    """
    if prediction is None:
        # A frame that is lost for another reason has that reason already.
        if quality.states[Flag.PIPELINE] is FlagState.RAISED:
            return quality
        missing = [not_evaluated(f, why_not) for f in (Flag.NOVEL, Flag.UNSURE)]
        return amended(quality, missing)
    return amended(quality, [_novel(prediction), _unsure(prediction)])


def _novel(prediction: Prediction) -> Finding:
    novelty = prediction.novelty
    if not prediction.novel:
        return clear(Flag.NOVEL, novelty)
    return raised(
        Flag.NOVEL,
        novelty,
        f"the pattern looks like a mixture or like no crystal (log odds {novelty:+.1f} "
        "that it is no single phase): read the label with care",
    )


def _unsure(prediction: Prediction) -> Finding:
    best = prediction.label_prob
    if not prediction.unsure:
        return clear(Flag.UNSURE, best)
    return raised(
        Flag.UNSURE,
        best,
        f"unsure of the symmetry: the best class, {prediction.label}, has a "
        f"probability of {best:.0%}, and {len(prediction.label_set)} classes are "
        f"needed to hold {prediction.coverage:.0%}",
    )

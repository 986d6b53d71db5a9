"""Which frames to look at next: those whose labels would teach the most.

Four things speak for a frame. Its *distance*: it is unlike all that is labelled, or
chosen before it (greedy k-centre: O. Sener, S. Savarese, ICLR 2018, algorithm 1). Its
*margin*: two classes are nearly as likely. Its *novelty*: it looks like no single
phase. Its *company*: others look like it, so that its label teaches about them too, and
a blunder of the detector does not come first (information density: B. Settles,
M. Craven, EMNLP 2008, eq. 13). They multiply: a frame that is far from everything
teaches most where the model also hesitates. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pick", "margins", "review"]

Floats = NDArray[np.floating]

_SURE = 0.3
"""What a frame counts of which the model is certain, beside 1 more where it is not."""
_NOVEL = 0.5  # what novelty adds, at most
_COMPANY = 5  # neighbours that are looked at
_LONELY = 0.5  # how far they are that halve what a frame counts, in median distances
_CLOSE = 0.2  # a margin below which two classes are nearly as likely
_FAR = 1.5  # distance, in typical ones between neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A frame to look at.

    Attributes
    ----------
    place : int
        Row among the candidates.
    score : float
        By which it was chosen; only compares within one queue.
    margin : float
        Probability of the best class less that of the second, 0 to 1.
    novelty : float
        Natural log odds that it shows no single phase.
    distance : float
        To the nearest frame that is labelled or was chosen before, in units of the
        median distance between neighbours; infinite for the first of all.
    reason : str
        In words.
    """

    place: int
    score: float
    margin: float
    novelty: float
    distance: float
    reason: str


def review(
    embedding: Floats,
    probabilities: Floats,
    novelty: Floats,
    *,
    labelled: Floats | None = None,
    most: int = 20,
) -> list[Pick]:
    """Candidates in the order in which they are worth a look.

    The score is distance x (0.3 + 1 - margin) x (1 + p / 2) / (0.5 + loneliness), p
    being the probability of no single phase and loneliness the mean distance to the
    five nearest candidates over its median. The distance is counted anew after each
    choice. Ties go to the earlier row. Candidates without an embedding (NaN) are left
    out. Memory grows with n, time with its square.

    Parameters
    ----------
    embedding : ndarray, (n, d)
        Of the candidates.
    probabilities : ndarray, (n, k)
        Of their likeliest classes by whatever is to learn, in any order, k at least 2.
    novelty : ndarray, (n,)
        Natural log odds, as ``Prediction.novelty``; NaN counts as even.
    labelled : ndarray, (m, d), optional
        Embeddings of what is labelled already.
    most : int
        So many at most.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    x = np.asarray(embedding, np.float64)
    known = np.empty((0, x.shape[-1])) if labelled is None else np.asarray(labelled)
    if x.ndim != 2 or known.ndim != 2 or known.shape[1] != x.shape[1]:
        raise ValueError(
            f"embeddings are {x.shape} and {known.shape}: expected (n, d) and (m, d)"
        )
    margin = margins(probabilities)
    odds = np.nan_to_num(np.asarray(novelty, np.float64), nan=0.0)
    if len(margin) != len(x) or odds.shape != (len(x),):
        raise ValueError(
            f"{len(x)} embeddings, {len(margin)} rows of probabilities and "
            f"{odds.shape} novelties: expected one of each for each frame"
        )
    worth = (_SURE + 1.0 - margin) * (1.0 + _NOVEL / (1.0 + np.exp(-odds)))
    open_: NDArray[np.bool_] = np.array(np.isfinite(x).all(axis=1))
    squared = _to_nearest(x, known[np.isfinite(known).all(axis=1)])
    scale, company = _neighbours(x[open_])
    worth[open_] /= _LONELY + company
    picks: list[Pick] = []
    while len(picks) < most and open_.any():
        distance = np.sqrt(squared) / scale
        score = np.where(np.isinf(distance), 1.0, distance) * worth
        place = int(np.argmax(np.where(open_, score, -1.0)))
        picks.append(
            Pick(
                place=place,
                score=float(score[place]),
                margin=float(margin[place]),
                novelty=float(odds[place]),
                distance=float(distance[place]),
                reason=_reason(margin[place], odds[place], distance[place]),
            )
        )
        open_[place] = False
        squared = np.minimum(squared, _squared(x, x[place]))
    return picks


def margins(probabilities: Floats) -> NDArray[np.float64]:
    """Probability of the best class less that of the second, (n,) of (n, k).

    0, the least, where less than two are known.
    """
    p = np.nan_to_num(np.asarray(probabilities, np.float64), nan=0.0)
    if p.ndim != 2:
        raise ValueError(f"probabilities are {p.shape}: expected (n, k)")
    if p.shape[1] < 2:
        return np.zeros(len(p))
    best = np.sort(p, axis=1)
    return np.asarray(best[:, -1] - best[:, -2])


def _to_nearest(x: Floats, known: Floats) -> NDArray[np.float64]:
    """Squared distance (n,) of each row to the nearest known one; inf without any."""
    squared = np.full(len(x), np.inf)
    for row in known:
        squared = np.minimum(squared, _squared(x, row))
    return squared


def _squared(x: Floats, row: Floats) -> NDArray[np.float64]:
    return np.asarray(((x - row) ** 2).sum(axis=1))


def _neighbours(x: Floats) -> tuple[float, NDArray[np.float64]]:
    """Median distance to the nearest other row, and the loneliness (n,) of each."""
    few = min(_COMPANY, len(x) - 1)
    if few < 1:
        return 1.0, np.ones(len(x))
    near = np.empty((len(x), few))
    for i, row in enumerate(x):  # one by one: n x n numbers may be too many
        squared = _squared(x, row)
        squared[i] = np.inf
        near[i] = np.sqrt(np.sort(np.partition(squared, few - 1)[:few]))
    mean = near.mean(axis=1)
    typical = float(np.median(mean))
    return float(np.median(near[:, 0])) or 1.0, mean / (typical or 1.0)


def _reason(margin: float, novelty: float, distance: float) -> str:
    said = []
    if np.isinf(distance):
        said.append("nothing is labelled yet")
    elif distance > _FAR:
        said.append("unlike anything labelled")
    if novelty > 0:
        said.append("no single phase by its looks")
    if margin < _CLOSE:
        said.append("two classes are nearly as likely")
    return ", ".join(said) or "between frames that are labelled"

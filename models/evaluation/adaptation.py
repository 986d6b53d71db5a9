"""Adapt a classifier to an unlabelled beamtime: its patterns tell about each other.

Lolla et al. (J. Appl. Cryst. 55 (2022) 882) train on unlabelled patterns beside
labelled ones. Here the network stays as it is, and two things are learned from the
unlabelled patterns of a beamtime, in milliseconds: which patterns look alike and so
should get like answers, and how common each powder class is.

Re-estimating the statistics of batch normalization from the patterns, and training the
last layer on the network's own surest answers, were tried on measured patterns too: the
first cost 2 to 16 points of top-5, the second gained nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ringwatch.models.calibration import sum_over
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES

__all__ = ["Adaptation", "adapt_prior", "share_between_alike", "similarity"]

Floats = NDArray[np.float64]

_BLUR = 3.0
"""Bins that patterns are blurred by before they are compared: a shift of a line by its
width, as by thermal expansion, still counts as alike."""
_ALIKE = 0.75
"""Correlation from which on patterns inform each other."""
_STRENGTH = 5.0
"""Weight of the first frequencies relative to those that the patterns show. Without
it, the errors of the network on measured patterns are taken for frequencies: on 261
measured patterns top-5 fell from 58 to 6 %."""
_ROUNDS = 500
_CONVERGED = 1e-8


@dataclass(frozen=True)
class Adaptation:
    """What a set of unlabelled patterns says about itself.

    Attributes
    ----------
    probabilities : ndarray, (B, 230)
        Of the space groups, under the adapted prior.
    shares : ndarray, (97,)
        Estimated frequencies of the powder classes.
    """

    probabilities: Floats
    shares: Floats


def adapt_prior(
    probabilities: Floats,
    prior: Floats,
    *,
    doubt: float = 0.0,
    strength: float = _STRENGTH,
) -> Adaptation:
    """Estimate how common each class is among unlabelled patterns, and use it.

    Expectation maximisation of the patterns' likelihood (Saerens, Latinne,
    Decaestecker, Neural Computation 14 (2002) 21, eq. 2.9) with a Dirichlet prior
    around the frequencies that are known. Within a class, space groups keep their
    relative frequencies.

    Parameters
    ----------
    probabilities : ndarray, (B, 230)
        Calibrated, under ``prior``.
    prior : ndarray, (230,)
        Frequencies that the probabilities were made with; positive.
    doubt : float
        Share of the probabilities that is spread evenly over the classes
        (`ringwatch.models.calibration.Calibration`), 0..1. It says nothing of
        frequencies and stays as it is: of a class that is never met it would else be
        all the evidence.
    strength : float
        Weight of these frequencies relative to the B patterns, 0 or more.

    Raises
    ------
    ValueError
        If there are no patterns, or the strength is negative.
    """
    if not len(probabilities) or strength < 0:
        raise ValueError(
            f"{len(probabilities)} patterns, strength {strength}: at least one pattern "
            "and a strength of 0 or more are needed"
        )
    index = CLASS_INDEX[1:]
    first = np.bincount(index, prior, len(POWDER_CLASSES)) / np.sum(prior)
    classes = sum_over(probabilities, index, len(POWDER_CLASSES))  # (B, 97)
    even = doubt / len(POWDER_CLASSES)
    clear = np.maximum(classes - even, 0.0) / (1 - doubt)
    shares = first
    for _ in range(_ROUNDS):
        weight = clear * (shares / first)
        seen = (weight / weight.sum(axis=1, keepdims=True)).mean(axis=0)
        moved = (seen + strength * first) / (1 + strength)
        step = float(np.abs(moved - shares).max())
        shares = moved
        if step < _CONVERGED:
            break
    adapted = clear * (shares / first)
    adapted = (1 - doubt) * adapted / adapted.sum(axis=1, keepdims=True) + even
    within = (adapted / np.maximum(classes, 1e-300))[:, index]
    return Adaptation(probabilities * within, shares)


def similarity(x: NDArray[np.float32]) -> Floats:
    """How alike patterns are: correlations of their blurred square roots, (B, B).

    Parameters
    ----------
    x : ndarray, (B, 3, n_bins)
        Network inputs.
    """
    blurred = gaussian_filter1d(x[:, 0].astype(np.float64), _BLUR, axis=1)
    blurred -= blurred.mean(axis=1, keepdims=True)
    length = np.linalg.norm(blurred, axis=1, keepdims=True)
    unit = blurred / np.maximum(length, 1e-12)
    return np.asarray(unit @ unit.T)


def share_between_alike(
    logits: NDArray[np.floating], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Average the answers of patterns that look alike.

    A pattern's own log-probabilities weigh 1, those of another one rise from 0 at a
    correlation of 0.75 to 1 at 1 (one step of label propagation: Zhou et al., NeurIPS
    16 (2003)). A series of noisy patterns of one sample so gets one better answer.

    Parameters
    ----------
    logits : ndarray, (B, 230)
        Of the network.
    x : ndarray, (B, 3, n_bins)
        What they were computed from.

    Returns
    -------
    ndarray, (B, 230), float32
        Logits again, up to a constant per pattern.
    """
    weight = np.clip((similarity(x) - _ALIKE) / (1 - _ALIKE), 0.0, 1.0)
    np.fill_diagonal(weight, 1.0)
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    mean = weight @ z / weight.sum(axis=1, keepdims=True)
    return mean.astype(np.float32)

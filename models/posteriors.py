"""From logits to probabilities: prior, sums over classes, temperature. numpy only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["flattened", "posterior", "sum_over", "tempered"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


def posterior(
    logits: NDArray[np.floating],
    temperature: float,
    training_prior: NDArray[np.floating],
    prior: NDArray[np.floating],
) -> Floats:
    """Space-group probabilities under another prior than that of training.

    The temperature comes first: it makes the training posterior honest, and only an
    honest posterior may be moved by Bayes' rule (Saerens et al., Neural Computation 14
    (2002) 21, eq. 2.4). The other order costs most of the gain.

    Parameters
    ----------
    logits : ndarray, (..., 230)
        Of the network.
    temperature : float
        Positive (Guo et al., ICML 2017, eq. 9).
    training_prior, prior : ndarray, (230,)
        Frequencies in training, and where the pattern comes from; positive.

    Returns
    -------
    ndarray, (..., 230)
        Sums to 1 over the last axis.
    """
    z = np.asarray(logits, np.float64) / temperature
    z = z + np.log(
        np.asarray(prior, np.float64) / np.asarray(training_prior, np.float64)
    )
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(p / p.sum(axis=-1, keepdims=True))


def sum_over(probabilities: Floats, index: Ints, n: int) -> Floats:
    """Sum space-group probabilities over classes.

    A matrix product would do, but rounds one pattern otherwise than many.

    Parameters
    ----------
    probabilities : ndarray, (B, 230)
        Of the space groups.
    index : ndarray, (230,)
        Class of each space group, below n.
    n : int
        Classes.

    Returns
    -------
    ndarray, (B, n)
        The same bits for a pattern, whatever others there are.
    """
    order, first, filled = _runs(np.asarray(index, np.int64).tobytes(), n)
    found = np.add.reduceat(np.take(probabilities, order, axis=1), first, axis=1)
    if len(filled) == n:
        return np.asarray(found, np.float64)
    sums = np.zeros((len(probabilities), n))
    sums[:, filled] = found
    return sums


@lru_cache(maxsize=16)
def _runs(index: bytes, n: int) -> tuple[Ints, Ints, Ints]:
    """Space groups by class, where each class begins, and the classes that have any."""
    of_group = np.frombuffer(index, np.int64)
    count = np.bincount(of_group, minlength=n)
    filled = np.flatnonzero(count)
    first = (np.cumsum(count) - count)[filled]
    return np.argsort(of_group, kind="stable"), first, filled


def tempered(
    probabilities: Floats, index: Ints, temperature: float, doubt: float = 0.0
) -> Floats:
    """Make class probabilities honest, and leave the shares within a class as they are.

    Parameters
    ----------
    probabilities : ndarray, (B, 230)
        Of the space groups.
    index : ndarray, (230,)
        Class of each space group.
    temperature, doubt : float
        As `flattened` takes them.

    Returns
    -------
    ndarray, (B, 230)
    """
    classes = sum_over(probabilities, index, int(index.max()) + 1)
    flat = flattened(classes, temperature, doubt)
    return np.asarray(
        probabilities * (flat / np.maximum(classes, 1e-300))[..., index], np.float64
    )


def flattened(classes: Floats, temperature: float, doubt: float = 0.0) -> Floats:
    """Flatten class probabilities; the order of the classes stays as it is.

    A class gets p^(1/T) of its former probability p, scaled to sum to 1 (Guo et al.,
    ICML 2017, eq. 9, applied to the posterior); a share of all is then spread evenly.

    Parameters
    ----------
    classes : ndarray, (B, n)
    temperature : float
        Positive; 1 changes nothing.
    doubt : float
        The share, 0..1.

    Returns
    -------
    ndarray, (B, n)
    """
    log = np.log(np.maximum(classes, 1e-300)) / temperature
    p = np.exp(log - log.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return np.asarray((1 - doubt) * p + doubt / p.shape[1])

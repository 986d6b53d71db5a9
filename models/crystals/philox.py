"""Counter-based random numbers for numba kernels: Philox-4x32-10.

A crystal is a pure function of (seed, index): its numbers come from its own counter, so
that neither batch size nor thread nor order can change it, and no state is kept.
Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
'11.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_ROUNDS = 10


@nb.njit(cache=True, nogil=True)
def fill_block(state: NDArray[np.uint64]) -> None:
    """Encrypt the counter ``state[0:4]`` by the key ``state[4:6]`` to ``state[6:10]``.

    Parameters
    ----------
    state : (11,) uint64
        Counter, key, block, position in the block; every word below 2**32.
    """
    c0, c1, c2, c3 = state[0], state[1], state[2], state[3]
    k0, k1 = state[4], state[5]
    for _ in range(_ROUNDS):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _WORD) ^ c1 ^ k0,
            p1 & _LOW,
            (p0 >> _WORD) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    state[6], state[7], state[8], state[9] = c0, c1, c2, c3


@nb.njit(cache=True, nogil=True)
def begin(seed: int, index: int) -> NDArray[np.uint64]:
    """Stream of random numbers of one crystal.

    Parameters
    ----------
    seed : int
        Key, 0 to 2**63 - 1.
    index : int
        Which crystal, 0 to 2**63 - 1.

    Returns
    -------
    (11,) uint64
        State for `uniform` and `normal`.
    """
    state = np.zeros(11, np.uint64)
    state[2] = np.uint64(index) & _LOW
    state[3] = np.uint64(index) >> _WORD
    state[4] = np.uint64(seed) & _LOW
    state[5] = np.uint64(seed) >> _WORD
    state[10] = np.uint64(4)
    return state


@nb.njit(cache=True, nogil=True)
def uniform(state: NDArray[np.uint64]) -> float:
    """Next number, uniform in the open interval (0, 1), a multiple of 2**-33.

    Parameters
    ----------
    state : (11,) uint64
        Stream of `begin`; advanced.

    Returns
    -------
    float
        Never 0 nor 1, so that its logarithm is finite.
    """
    if state[10] == np.uint64(4):
        fill_block(state)
        state[0] += np.uint64(1)
        state[10] = np.uint64(0)
    word = state[6 + np.int64(state[10])]
    state[10] += np.uint64(1)
    return (np.float64(word) + 0.5) * 2.0**-32


@nb.njit(cache=True, nogil=True)
def normal(state: NDArray[np.uint64]) -> float:
    """Next number of the standard normal distribution (Box and Muller, 1958).

    Parameters
    ----------
    state : (11,) uint64
        Stream of `begin`; advanced by two uniform numbers.

    Returns
    -------
    float
        Within 6.8 standard deviations.
    """
    radius = math.sqrt(-2.0 * math.log(uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


@nb.njit(cache=True, nogil=True)
def choose(
    state: NDArray[np.uint64], cumulative: NDArray[np.float64], low: int, high: int
) -> int:
    """Index from ``low`` to ``high - 1``, weighted by the steps of a running sum.

    Parameters
    ----------
    state : (11,) uint64
        Stream of `begin`; advanced by one uniform number.
    cumulative : (n,) float64
        Running sum of weights.
    low, high : int
        Slice to choose from; the step at ``low`` counts from ``cumulative[low - 1]``.

    Returns
    -------
    int
        Position in ``cumulative``.
    """
    floor = cumulative[low - 1] if low > 0 else 0.0
    target = floor + uniform(state) * (cumulative[high - 1] - floor)
    chosen = low + int(np.searchsorted(cumulative[low:high], target, side="right"))
    return chosen if chosen < high else high - 1  # rounding may overshoot the last step

"""One pattern seen several times: averaged, the answers are a little better.

On a logarithmic q grid another lattice parameter is a shift, which changes no symmetry.
Shifts by a bin or two (0.15 % in q each on the usual grid) fall differently on the
strides of the convolutions. Views with more or less background were tried, and lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ringwatch.models.inputs import Float

__all__ = ["MOST_VIEWS", "views"]

MOST_VIEWS = 9


def views(x: Float, count: int) -> Iterator[Float]:
    """Shift patterns by 0, 1, -1, 2, -2, ... bins; what comes in is not covered.

    Parameters
    ----------
    x : ndarray, (B, 3, n_bins)
        Network inputs.
    count : int
        How many views, 1 to 9.

    Yields
    ------
    ndarray, (B, 3, n_bins)
        The first one is ``x`` itself.

    Raises
    ------
    ValueError
        If the count is out of range.
    """
    if not 1 <= count <= MOST_VIEWS:
        raise ValueError(f"{count} views: choose 1 to {MOST_VIEWS}")
    yield x
    for i in range(1, count):
        by = (i + 1) // 2
        shifted = np.zeros_like(x)
        if i % 2:
            shifted[..., by:] = x[..., :-by]
        else:
            shifted[..., :-by] = x[..., by:]
        yield shifted

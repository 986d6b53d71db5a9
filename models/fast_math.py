"""The liberties that compiled kernels may take with floating point."""

from __future__ import annotations

__all__ = ["FINITE", "REASSOCIATE"]

FINITE = {"nnan", "ninf", "nsz"}
"""No NaN, no infinity, and the sign of zero does not matter: numbers stay what they
are. Not ``contract``: which products are fused into additions would depend on whether a
kernel was compiled just now or loaded from numba's cache, and one seed would no longer
give the same bits."""

REASSOCIATE = FINITE | {"reassoc"}
"""Also sums in another order, so that loops over many terms are vectorised."""

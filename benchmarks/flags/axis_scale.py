"""The scale of a figure's axis: logarithmic where the values ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

__all__ = ["scale"]


def scale(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Logarithmic where a decade is spanned; zeros stand half a decade beside it.

    The limits are set as well: the points are moved, which matplotlib's own forget.
    """
    x = which == "x"
    axis = axes.xaxis if x else axes.yaxis
    set_scale = axes.set_xscale if x else axes.set_yscale
    set_limits = axes.set_xlim if x else axes.set_ylim
    least, most = min(values), max(values)
    above = min((value for value in values if value > 0), default=0.0)
    if least < 0 or above == 0.0 or most < 10 * above:
        edge = 0.05 * (most - least or 1.0)
        set_limits(least - edge, most + edge)
        return
    steps = (1, 2, 5) if most < (200 if x else 50) * above else (1,)
    edge = (most / above) ** 0.05
    if least > 0:
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=steps))
        set_limits(least / edge, most * edge)
    else:
        set_scale("symlog", linthresh=above, linscale=0.5)
        decades = 10.0 ** np.arange(np.floor(np.log10(above)), np.log10(most) + 1)
        places = np.outer(decades, steps).ravel()
        axis.set_major_locator(FixedLocator([0.0, *places[places >= above * 0.99]]))
        axis.set_minor_locator(NullLocator())
        set_limits(-0.2 * above, most * edge)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())

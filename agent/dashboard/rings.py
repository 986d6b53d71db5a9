"""Where rings of given q lie on the picture of a frame, as curves to draw."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

__all__ = ["RingCurves"]

_STEP = 4  # pixels of the frame between the points of the map: 1024 give 256
_MOST_POINTS = 20_000  # of all curves together


class RingCurves:
    """Contours of q on a detector: true for any tilt, and any orientation.

    Parameters
    ----------
    geometry : AzimuthalIntegrator
        With a wavelength.
    shape : (int, int)
        (y, x) of the frames, pixels.
    """

    def __init__(self, geometry: AzimuthalIntegrator, shape: tuple[int, int]) -> None:
        step = max(1, min(_STEP, min(shape) // 32))
        rows, columns = (np.unique([*range(0, n, step), n - 1]) for n in shape)
        q = np.asarray(geometry.center_array(shape, unit="q_A^-1"), np.float64)
        self._map = contour_generator(
            x=columns + 0.5, y=rows + 0.5, z=q[np.ix_(rows, columns)]
        )
        self.largest = float(q.max())

    def at(self, q: Iterable[float]) -> list[list[list[float]]]:
        """Curves of rings.

        Parameters
        ----------
        q : iterable of float
            1/Angstrom.

        Returns
        -------
        list of curves
            Each flat: x, y, x, y ... in pixels of the frame from its first corner; one
            list of curves for each q.
        """
        found, points = [], 0
        for level in q:
            curves: list[NDArray[np.float64]] = self._map.lines(float(level))  # type: ignore[assignment]
            points += sum(len(curve) for curve in curves)
            kept = curves if points < _MOST_POINTS else []
            found.append([np.round(c, 1).ravel().tolist() for c in kept])
        return found

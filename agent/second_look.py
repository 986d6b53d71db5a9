"""A second look at few pixels, where the one pass says that it is worth while.

Outliers are sought in the cells whose brightest pixel is impossible given the rest; the
edges of the mask and the dark's own pattern are short lists of pixels made before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.list_kernels import (
    LEAST_STRUCTURE,
    fit_dark,
    gather,
    join_clusters,
    sum_edges,
)
from ringwatch.agent.nouns import SECTORS, Cake, DarkMatch, EdgeSums, Outliers
from ringwatch.agent.outlier_kernel import (
    count_lit,
    noise_of,
    scan_cells,
    suspicious_cells,
)
from ringwatch.agent.pixel_lists import CellPixels, DarkPattern, EdgePixels

__all__ = ["Frame", "SecondLook"]

_KEPT = 4096  # outliers listed; more are only counted
_FALSE_PIXELS = 1e-3  # sound pixels of a frame that may be taken for outliers
_NO_DARK = np.empty(0)
_NO_PIXELS = np.empty(0, np.int32)
_NO_COUNTS = np.empty(0)
_SHRINKAGE = 0.02  # how well the law of true deviations holds
_FANO_KNOWN = 0.02  # how well the Fano factor of a frame says that of a dark


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """What the second look needs of the first.

    Attributes
    ----------
    pixels : (y * x,) array
    cake : Cake
        Of the same frame.
    marker : float
        Value of an invalid pixel; NaN: none.
    signed : bool
        Whether negative values are counts.
    """

    pixels: NDArray[np.generic]
    cake: Cake
    marker: float
    signed: bool


class SecondLook:
    """Looks again at frames of one binning.

    Parameters
    ----------
    binning : Binning
    """

    def __init__(self, binning: Binning) -> None:
        self._cell = binning.cell
        self._shape = binning.shape
        self._tiles = not binning.has_geometry
        self._cells = CellPixels.of(binning)
        self._edges = None if self._tiles else EdgePixels.of(binning)
        self._odds = math.log(max(binning.cell.size, 2) / _FALSE_PIXELS)
        self._doubtful = np.empty(binning.pixels.shape[0], np.bool_)
        self._along_edges = np.empty(
            0 if self._edges is None else self._edges.place.size
        )
        self._suspects = np.empty(binning.pixels.size, np.int32)
        self._expected = np.empty(binning.pixels.size)
        self._place = np.empty(_KEPT, np.int32)
        self._value = np.empty(_KEPT)
        self._level = np.empty(_KEPT)

    def complete(
        self,
        frame: Frame,
        dark: tuple[NDArray[np.float64], DarkPattern | None, int] | None,
    ) -> Cake:
        """The cake with what a second look finds.

        Parameters
        ----------
        frame : Frame
        dark : tuple or None
            Mean dark per pixel (y * x,), its pattern, and the frames it is the mean of.
        """
        cake, noise = frame.cake, self.noise(frame)
        below, match = None, None
        if dark is not None:
            below, pattern, frames = dark
            if pattern is not None:
                match = self.dark_match(frame, noise[0], pattern, frames)
        return replace(
            cake,
            outliers=self.outliers(frame, noise, below),
            edges=self.edges(
                frame, noise[0], None if below is None else (below, cake.dark)
            ),
            dark_match=match,
        )

    def noise(self, frame: Frame) -> tuple[float, float]:
        """Fano factor, and variance of an empty pixel where counts are signed.

        Notes on the way where ``outliers`` has to look.
        """
        cake = frame.cake
        fano, floor = noise_of(
            cake.pixels,
            cake.total,
            cake.total_sq,
            cake.maximum,
            frame.signed,
            self._doubtful,
        )
        return float(fano), float(floor)

    def outliers(
        self,
        frame: Frame,
        noise: tuple[float, float],
        dark: NDArray[np.float64] | None = None,
    ) -> Outliers:
        """Find pixels that hold far more than their surroundings let expect.

        Three times the brightest mean of the cells around (two bins to either side and
        the next sectors, each without its brightest pixel), and beyond what counting
        noise of the frame's own dispersion does in one of a thousand frames. Without a
        geometry cells are tiles that rings cross: there also ten times brighter than
        all that lies 10 px away.

        Parameters
        ----------
        frame : Frame
        noise : tuple of float
            From ``noise`` of the same frame, just before.
        dark : (y * x,) float64, optional
            Mean dark: a pixel that is hot in it is no outlier.
        """
        n = suspicious_cells(
            frame.cake.pixels,
            frame.cake.total,
            frame.cake.maximum,
            *noise,
            self._odds,
            0 if self._tiles else SECTORS,
            self._doubtful,
            self._suspects,
            self._expected,
        )
        if not n:
            return _no_outliers(noise[0])
        found, counts = scan_cells(
            frame.pixels,
            self._shape,
            self._cells.first,
            self._cells.place,
            _NO_DARK if dark is None else dark,
            frame.marker,
            (*noise, self._odds),
            self._tiles,
            self._suspects[:n],
            self._expected,
            self._place,
            self._value,
            self._level,
        )
        if not found:
            return _no_outliers(noise[0])
        kept = min(found, _KEPT)
        order = np.argsort(self._place[:kept])
        place, level = self._place[:kept][order], self._level[:kept][order]
        lit = np.zeros(kept, np.int32)
        count_lit(frame.pixels, self._shape, frame.marker, *noise, place, level, lit)
        return Outliers(
            place=place,
            cell=self._cell[place].astype(np.int32),
            value=self._value[:kept][order],
            expected=level,
            size=join_clusters(place, self._shape[1], lit),
            found=found,
            counts=counts,
            fano=noise[0],
        )

    def edges(
        self,
        frame: Frame,
        fano: float,
        dark: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> EdgeSums | None:
        """Sum the counts along the mask's edges; None without a mask or a geometry.

        Expected is the mean of the ring over the cell and its two neighbours in
        azimuth. One pixel counts at most three times that, so that a hot one under the
        mask does not speak for its edge. With a dark each pixel is taken without its
        own and the ring without that of its cells: a dark may differ within a ring.

        Parameters
        ----------
        frame : Frame
        fano : float
        dark : tuple of array, optional
            Mean dark per pixel (y * x,), and its sum over the usable pixels of each
            cell (n_q, 32).
        """
        edges = self._edges
        if edges is None:
            return None
        own, below = (_NO_DARK, _NO_DARK) if dark is None else dark
        (pixels, marked), (seen, expected, variance) = sum_edges(
            frame.pixels,
            frame.marker,
            frame.signed,
            edges.place,
            edges.cell,
            edges.group,
            frame.cake.total.reshape(-1),
            frame.cake.pixels.reshape(-1),
            fano,
            own,
            below.ravel(),
            self._along_edges,
        )
        return EdgeSums(
            pixels=pixels,
            marked=marked,
            seen=seen,
            expected=expected,
            variance=variance,
        )

    def dark_match(
        self, frame: Frame, fano: float, pattern: DarkPattern, frames: int
    ) -> DarkMatch:
        """Regress the frame's pixels on the dark's, within cells.

        The strongest deviations of a dark are partly its own noise (Poisson, over
        ``frames``), which dilutes the slope: the regressor is the expectation of the
        true deviation given the measured one, ``x (1 - noise / spread)`` in the core of
        the distribution (Fuller, Measurement Error Models, 1987, section 1.1); beyond
        what its noise can do, ``x`` itself. That the dark's noise is Poisson's is known
        as well as the frame's own Fano factor follows from counting and the pattern.
        """
        noise = pattern.level / frames
        core = 1.0 - noise / pattern.spread
        values = np.empty(pattern.place.size)
        gather(frame.pixels, pattern.place, frame.marker, frame.signed, values)
        slope, sigma, inverse = fit_dark(
            values,
            pattern.cell,
            pattern.deviation,
            frame.cake.total.reshape(-1),
            frame.cake.pixels.reshape(-1),
            fano,
            (core, pattern.level, pattern.spread, float(frames)),
        )
        if core >= LEAST_STRUCTURE:
            due = 1.0 + slope**2 * core * pattern.spread * inverse
            doubt = (abs(fano - due) + _FANO_KNOWN) * (1.0 - core) / core
            sigma = math.hypot(sigma, slope * doubt)
        if math.isfinite(sigma):
            sigma = math.hypot(sigma, _SHRINKAGE * slope)
        return DarkMatch(slope=slope, sigma=sigma)


def _no_outliers(fano: float) -> Outliers:
    return Outliers(
        place=_NO_PIXELS,
        cell=_NO_PIXELS,
        value=_NO_COUNTS,
        expected=_NO_COUNTS,
        size=_NO_PIXELS,
        found=0,
        counts=0.0,
        fano=fano,
    )

"""Frames that were reduced elsewhere: I(2theta, chi) of sectors, or I(2theta) alone.

The flags that need no pixels judge them like any other frame. What such data hold are
no counts: the noise of a run's first frame is measured from point to point, and all its
frames are scaled to the counts that would have it.

Example
-------
::

    series = CakedSeries(two_theta_deg, wavelength)
    for intensity in frames:  # (sectors, n) each
        quality = series.judge(intensity, {"i0": 2e5})
        print(quality.word, quality.reason)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ringwatch.agent.geometry import MASKED_CELL, MAX_Q_BINS, Binning
from ringwatch.agent.kernel import NO_COUNT
from ringwatch.agent.nouns import SECTORS, Cake, Flag, FrameRef, Pattern, Quality
from ringwatch.agent.quality.caked_points import (
    LEAST_ANGLES,
    average_angles,
    average_points,
    check_angles,
    rows_of,
)
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.fold import QualityFold
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.quality.words import unread

__all__ = ["CakedSeries", "caked_binning", "caked_facts", "noise_unit"]

_PIXELS = 16  # of a cell; how many there really were nobody knows
_QUARTILE, _CHI2_QUARTILE = 0.25, 0.1015  # of one degree of freedom; rings bend more
_FRACTION = 0.01  # of the brightest point: dimmer ones say nothing of the noise
_EVEN = 1.5  # longest step over the shortest; one in q rises by as much to 60 degrees


class CakedSeries:
    """Judges the frames of one run that were reduced elsewhere, in their order.

    Parameters
    ----------
    two_theta_deg : (n,) array
        Scattering angles of the points, degrees; see ``caked_binning``.
        More than 2047 are averaged: neighbours in pairs, threes and so on, those of
        them that have pixels; what is left over at the end is left out.
    wavelength : float
        Angstrom; for q only.
    settings : QualitySettings, optional

    Raises
    ------
    ValueError
        Where the angles cannot be those of such frames.
    """

    def __init__(
        self,
        two_theta_deg: ArrayLike,
        wavelength: float = 1.0,
        settings: QualitySettings | None = None,
    ) -> None:
        degrees = np.asarray(two_theta_deg, np.float64)
        check_angles(degrees)
        self._points = degrees.size
        self._together = -(-degrees.size // MAX_Q_BINS)
        fewer = average_angles(degrees, self._together)
        self.binning = caked_binning(fewer, wavelength)
        self._fold = QualityFold(settings or QualitySettings(), self.binning)
        self._unit = math.nan
        self._index = 0

    def judge(
        self, intensity: ArrayLike, readbacks: Mapping[str, float] | None = None
    ) -> Quality:
        """Judge the next frame; arguments as for ``caked_facts``.

        One without any number in it is ``bad``, and the next one follows the last.
        """
        index, self._index = self._index, self._index + 1
        values = average_points(rows_of(intensity, self._points), self._together)
        numbers = _numbers(values)
        if not np.isfinite(numbers).any():
            return unread("no point holds a number", flag=Flag.MISREAD)
        if math.isnan(self._unit):
            self._unit = noise_unit(numbers)
        facts = caked_facts(values, self.binning, index, readbacks, unit=self._unit)
        return self._fold.judge(facts)


def caked_binning(two_theta_deg: ArrayLike, wavelength: float = 1.0) -> Binning:
    """Cells for such frames.

    Parameters
    ----------
    two_theta_deg : (n,) array
        Scattering angles of the points, degrees, rising evenly (or as q does) and
        below 90; 16 to 2047.
    wavelength : float
        Angstrom; for q only.

    Raises
    ------
    ValueError
        Where the angles do not rise or not evenly, or are too few or too many, or the
        wavelength is none.
    """
    degrees = np.asarray(two_theta_deg, np.float64)
    check_angles(degrees)
    angle = np.radians(degrees)
    if angle.size > MAX_Q_BINS:
        raise ValueError(
            f"{angle.size} angles: {LEAST_ANGLES} to {MAX_Q_BINS} rising ones are "
            "needed: average neighbouring points, as CakedSeries does"
        )
    if not 0 < wavelength < math.inf:
        raise ValueError(
            f"the wavelength is {wavelength:g}: give that of the photons in Angstrom, "
            "above 0"
        )
    step = np.diff(degrees)
    if degrees[0] < 0 or degrees[-1] >= 90 or step.max() > _EVEN * step.min():
        raise ValueError(
            f"angles from {degrees[0]:.4g} to {degrees[-1]:.4g} in steps of "
            f"{step.min():.3g} to {step.max():.3g}: 2 theta in degrees is needed, from "
            "0 to below 90 and rising evenly"
        )
    # A pixel is the median step, so that a bin is about as wide.
    distance = 1.0 / float(np.median(np.diff(np.tan(angle))))
    pixels = np.full((angle.size, SECTORS), _PIXELS)
    return Binning(
        shape=(angle.size, SECTORS * _PIXELS),
        cell=np.full(angle.size * SECTORS * _PIXELS, MASKED_CELL, np.uint16),
        weight=np.ones(angle.size * SECTORS * _PIXELS, np.float32),
        q=4 * math.pi * np.sin(angle / 2) / wavelength,
        chi=-math.pi + (np.arange(SECTORS) + 0.5) * 2 * math.pi / SECTORS,
        radius=distance * np.tan(angle),
        pixels=pixels,
        norm=pixels.astype(np.float64),
        masked=0,
        distance=distance,
        wavelength=wavelength,
        has_geometry=True,
    )


def caked_facts(
    intensity: ArrayLike,
    binning: Binning,
    index: int,
    readbacks: Mapping[str, float] | None = None,
    *,
    unit: float | None = None,
) -> FrameFacts:
    """One frame for ``QualityFold(settings, binning).judge``.

    Parameters
    ----------
    intensity : (n_sector, n) or (n,) array
        By azimuthal sector, the first from chi = -180 degrees on, any number of them
        (they are shared out to 32); or one pattern, which shows no azimuth: flags that
        need it are then not evaluated. NaN and exactly 0 are points without pixels;
        infinities and what is beyond 1e18 are invalid values. Points below zero are
        sound, as of any frame whose background was subtracted before.
    binning : Binning
        From ``caked_binning``.
    index : int
        Of the frame.
    readbacks : mapping, optional
    unit : float, optional
        Intensity of one count. Give all frames of a run the same one, that of the first
        (``noise_unit``): by default it is that of this frame, which says nothing of how
        bright it is.

    Raises
    ------
    ValueError
        Where the shape does not fit, nothing is finite, or a readback is no number.
    """
    values = rows_of(intensity, binning.q.size)
    points = _numbers(values)
    if not np.isfinite(points).any():
        raise ValueError("no intensity is finite")
    known = np.isfinite(points) & (points != 0.0)
    counts = np.where(known, points, 0.0) / (unit or noise_unit(points))
    share = _shares(values.shape[0])  # (sectors, 32)
    total, pixels = _share_out(counts, known, share)
    norm = pixels.astype(np.float64)
    mean = total / np.maximum(norm, 1.0)
    none = np.zeros_like(total)
    cake = Cake(
        pixels=pixels,
        total=total,
        total_sq=total * mean + total,  # the scatter of counts
        maximum=mean + 2.0 * np.sqrt(mean),  # as of so many pixels that count
        zeros=np.where(total > 0, 0, pixels),
        saturated=none.astype(np.int64),
        norm=norm,
        dark=none,
        negative=int((points < 0.0).sum()),
        non_finite=int((np.isnan(points) & ~np.isnan(values)).sum()),
        marked=0,
        masked=0,
        masked_total=0.0,
        shape=binning.shape,
        checksum=zlib.crc32(np.ascontiguousarray(values).data),
    )
    weight = norm.sum(axis=1)
    scale = np.where(weight > 0, 1.0 / np.maximum(weight, 1.0), 0.0)
    pattern = Pattern(
        q=binning.q,
        intensity=total.sum(axis=1) * scale,
        sigma=np.sqrt(np.maximum(total.sum(axis=1), 1.0)) * scale,
        coverage=(weight > 0).astype(np.float64),
    )
    numbers = {key: float(value) for key, value in (readbacks or {}).items()}
    ref = FrameRef.without_pixels("caked", index, numbers)
    return FrameFacts(ref=ref, cake=cake, pattern=pattern, dtype=np.dtype(np.float64))


def _numbers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points that hold a number of counts; NaN the others."""
    return np.where(np.abs(values) < NO_COUNT, values, np.nan)


def _share_out(
    counts: NDArray[np.float64],
    known: NDArray[np.bool_],
    share: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Counts and pixels of the 32 sectors, both (n, 32).

    A sector that is known in part has as many pixels less, in whole ones, and as many
    counts as those would hold: one that lacks light for want of a neighbour would look
    like a shadow.
    """
    whole = share.sum(axis=0)
    part = (known.T @ share) / np.where(whole > 0.0, whole, 1.0)  # (n, 32), 0..1
    pixels = np.rint(_PIXELS * part).astype(np.int64)
    kept = np.where(pixels > 0, pixels / np.maximum(_PIXELS * part, 0.5), 0.0)
    return np.maximum((counts.T @ share) * kept, 0.0), pixels


def noise_unit(intensity: NDArray[np.float64]) -> float:
    """Intensity of one count: variance over mean of the points (sectors, n).

    From second differences along the angle; 1 where they show no noise.
    """
    values = intensity
    bend = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    level = (values[:, :-2] + values[:, 1:-1] + values[:, 2:]) / 3
    with np.errstate(invalid="ignore"):
        used = level > _FRACTION * np.nanmax(values)
    ratio = (bend[used] ** 2 / 6.0) / level[used]
    ratio = ratio[np.isfinite(ratio)]
    if not ratio.size:
        return 1.0
    unit = float(np.quantile(ratio, _QUARTILE)) / _CHI2_QUARTILE
    return unit if unit > 0 else 1.0


def _shares(sectors: int) -> NDArray[np.float64]:
    """Share of each given sector that falls into each of the 32; rows sum to 1."""
    if sectors == 1:
        # Two: a ring needs as many; for a centre ten are needed, so none is claimed.
        only = np.zeros((1, SECTORS))
        only[0, :2] = 0.5
        return only
    edges = np.linspace(0.0, 1.0, sectors + 1)
    own = np.linspace(0.0, 1.0, SECTORS + 1)
    low = np.maximum(edges[:-1, None], own[None, :-1])
    high = np.minimum(edges[1:, None], own[None, 1:])
    return np.asarray(np.maximum(high - low, 0.0) * sectors)

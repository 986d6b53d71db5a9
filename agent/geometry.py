"""Where each pixel of a detector looks: pyFAI's geometry as cells of a cake."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.units import to_unit

from ringwatch.agent.errors import GeometryError
from ringwatch.agent.geometry_file import load_geometry
from ringwatch.agent.nouns import SECTORS

__all__ = ["MASKED_CELL", "MAX_Q_BINS", "Binning", "load_geometry"]

MASKED_CELL = 65535
"""Cell index of a pixel that takes part in nothing."""

MAX_Q_BINS = 2047
"""So that 2047 x 32 cells and the masked cell fit uint16."""

_TILES = (48, SECTORS)  # cells of a frame without geometry: rows x columns of tiles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binning:
    """Static map from pixels to cells, with what pyFAI says of each pixel.

    Attributes
    ----------
    shape : tuple of int
        (y, x) of the frames it fits.
    cell : (y * x,) uint16
        ``q_bin * 32 + sector``, or 65535 for a masked pixel.
    weight : (y * x,) float32
        Solid angle times polarization of each pixel, relative to normal incidence.
    q : (n_q,) float64
        Bin centres, 1/Angstrom. Without a geometry: NaN (cells are tiles of the image).
    chi : (32,) float64
        Centres of the sectors, rad; 0 points along +x (columns), pi/2 along +y (rows).
    radius : (n_q,) float64
        Distance of the bin's ring from the beam centre, in pixels on an untilted
        detector; NaN without a geometry.
    pixels : (n_q, 32) int64
        Unmasked pixels per cell.
    norm : (n_q, 32) float64
        Sum of ``weight`` per cell.
    masked : int
        Pixels under the mask.
    distance : float
        Sample to detector along the beam, in pixels; NaN without a geometry.
    wavelength : float
        Angstrom; NaN without a geometry.
    has_geometry : bool
        False: the cells are tiles; only flags that need no geometry can be evaluated.
    step : (n_q,) float64
        Width of each bin on the scale of ``radius``, pixels.
    pitch : float
        Median of ``step``.
    """

    shape: tuple[int, int]
    cell: NDArray[np.uint16]
    weight: NDArray[np.float32]
    q: NDArray[np.float64]
    chi: NDArray[np.float64]
    radius: NDArray[np.float64]
    pixels: NDArray[np.int64]
    norm: NDArray[np.float64]
    masked: int
    distance: float
    wavelength: float
    has_geometry: bool
    step: NDArray[np.float64] = field(init=False)
    pitch: float = field(init=False)

    def __post_init__(self) -> None:
        step = np.gradient(self.radius)
        object.__setattr__(self, "step", step)
        object.__setattr__(self, "pitch", float(np.median(step)))

    @classmethod
    def from_geometry(
        cls,
        geometry: AzimuthalIntegrator,
        shape: tuple[int, int],
        *,
        mask: NDArray[np.bool_] | None = None,
        npt: int | None = None,
        polarization: float | None = 0.99,
    ) -> Binning:
        """Make the map from a pyFAI geometry.

        Parameters
        ----------
        geometry : AzimuthalIntegrator
            With a wavelength.
        shape : tuple of int
            (y, x) of the frames.
        mask : (y, x) bool, optional
            True where a pixel is not to be used. The detector's own mask (gaps between
            modules, as pyFAI knows them) is added.
        npt : int, optional
            Number of q bins, at most 2047; by default about one per pixel of radius.
        polarization : float or None
            Polarization factor along the horizontal, -1..1; None for no correction.

        Raises
        ------
        GeometryError
            Where the geometry or the mask does not fit the frames.
        """
        _check_fit(geometry, shape, mask)
        # pyFAI gives a detector without a size that of the first frame, for good.
        geometry = copy.deepcopy(geometry)
        unusable = _static_mask(geometry, shape, mask)
        if unusable.all():
            raise GeometryError(
                "the mask covers every pixel: nothing is left to reduce"
            )
        bins = min(npt or _natural_bins(geometry, shape), MAX_Q_BINS)
        unit = to_unit("q_A^-1")
        engine = geometry.setup_sparse_integrator(
            shape, bins, mask=unusable, unit=unit, split="no", algo="CSR", scale=False
        )
        rows, pixels = np.asarray(engine.indptr), np.asarray(engine.indices)
        q_bin = np.full(unusable.size, -1, np.int64)
        q_bin[pixels] = np.repeat(np.arange(bins), np.diff(rows))
        chi = np.asarray(geometry.center_array(shape, unit="chi_rad"), np.float64)
        sector = np.floor((chi.ravel() + math.pi) / (2 * math.pi) * SECTORS)
        sector = np.clip(sector, 0, SECTORS - 1).astype(np.int64)
        cell = np.where(q_bin >= 0, q_bin * SECTORS + sector, MASKED_CELL)
        weight = np.asarray(geometry.solidAngleArray(shape), np.float32)
        if polarization is not None:
            weight = weight * np.asarray(
                geometry.polarization(shape, factor=polarization), np.float32
            )
        wavelength = float(geometry.wavelength) * 1e10
        fit2d = geometry.getFit2D()
        distance = float(fit2d["directDist"]) * 1e-3 / float(geometry.pixel2)
        # pyFAI's engines count in the unit's base (1/nm here).
        q = np.asarray(engine.bin_centers, np.float64) * float(unit.scale)
        sine = np.clip(q * wavelength / (4 * math.pi), 0, 0.999)
        return cls._counted(
            shape=shape,
            cell=cell.astype(np.uint16),
            weight=weight.ravel(),
            q=q,
            radius=distance * np.tan(2 * np.arcsin(sine)),
            distance=distance,
            wavelength=wavelength,
            has_geometry=True,
        )

    @classmethod
    def without_geometry(
        cls, shape: tuple[int, int], *, mask: NDArray[np.bool_] | None = None
    ) -> Binning:
        """Make a map of 48 x 32 tiles, for frames whose geometry nobody told."""
        if mask is not None and mask.shape != shape:
            raise GeometryError(
                f"the mask is {mask.shape} but the frames are {shape}: give the mask "
                "of this detector"
            )
        rows = np.arange(shape[0]) * _TILES[0] // shape[0]
        columns = np.arange(shape[1]) * _TILES[1] // shape[1]
        cell = (rows[:, None] * SECTORS + columns[None, :]).astype(np.uint16)
        if mask is not None:
            cell[mask] = MASKED_CELL
        unknown = np.full(_TILES[0], math.nan)
        return cls._counted(
            shape=shape,
            cell=cell.ravel(),
            weight=np.ones(cell.size, np.float32),
            q=unknown,
            radius=unknown,
            distance=math.nan,
            wavelength=math.nan,
            has_geometry=False,
        )

    @classmethod
    def _counted(
        cls,
        *,
        shape: tuple[int, int],
        cell: NDArray[np.uint16],
        weight: NDArray[np.float32],
        q: NDArray[np.float64],
        radius: NDArray[np.float64],
        distance: float,
        wavelength: float,
        has_geometry: bool,
    ) -> Binning:
        used = cell != MASKED_CELL
        n_cells = q.size * SECTORS
        cells = cell[used].astype(np.int64)
        pixels = np.bincount(cells, minlength=n_cells)
        norm = np.bincount(cells, weights=weight[used], minlength=n_cells).astype(
            np.float64
        )
        return cls(
            shape=shape,
            cell=cell,
            weight=weight,
            q=q,
            chi=-math.pi + (np.arange(SECTORS) + 0.5) * 2 * math.pi / SECTORS,
            radius=radius,
            pixels=pixels.reshape(-1, SECTORS),
            norm=norm.reshape(-1, SECTORS),
            masked=int(cell.size - used.sum()),
            distance=distance,
            wavelength=wavelength,
            has_geometry=has_geometry,
        )


def _check_fit(
    geometry: AzimuthalIntegrator,
    shape: tuple[int, int],
    mask: NDArray[np.bool_] | None,
) -> None:
    expected = geometry.detector.shape
    if expected and tuple(expected) != tuple(shape):
        raise GeometryError(
            f"the geometry is for {geometry.detector.name} with {tuple(expected)} "
            f"pixels (y, x) but the frames have {tuple(shape)}: give the geometry of "
            "this detector, or check binning and rotation"
        )
    if mask is not None and mask.shape != tuple(shape):
        raise GeometryError(
            f"the mask is {mask.shape} but the frames are {tuple(shape)}: give the "
            "mask of this detector"
        )


def _static_mask(
    geometry: AzimuthalIntegrator,
    shape: tuple[int, int],
    mask: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    unusable = np.zeros(shape, bool)
    gaps = geometry.detector.mask
    if gaps is not None and gaps.shape == tuple(shape):
        unusable |= gaps.astype(bool)
    if mask is not None:
        unusable |= mask
    return unusable


def _natural_bins(geometry: AzimuthalIntegrator, shape: tuple[int, int]) -> int:
    """Count one bin per pixel of radius, from the centre to the farthest corner."""
    radius = np.asarray(geometry.center_array(shape, unit="r_m"))
    pixel = min(float(geometry.pixel1), float(geometry.pixel2))
    return max(64, int((radius.max() - radius.min()) / pixel))

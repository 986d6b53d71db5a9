"""Detectors, places of the beam and samples that the flags are measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import DetectorModel, Geometry, pilatus_1m
from ringwatch.simulated_beamline.microstructure import Grains, Microstructure, Texture
from ringwatch.simulated_beamline.powder import Instrument
from ringwatch.simulated_beamline.sample import BariumTitanate, Mixture, Sample

__all__ = [
    "BENCH_GEOMETRIES",
    "BENCH_SAMPLES",
    "BenchGeometry",
    "BenchSample",
    "bench_experiment",
]

_WAVELENGTH = 0.1665e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchGeometry:
    """A photon-counting detector in a beam of 0.1665 Angstrom.

    Attributes
    ----------
    detector : DetectorModel
    distance : float
        Sample to detector, m.
    beam : (x, y)
        Where the beam meets the detector, in parts of its edges from the first pixel.
    ring_fwhm_px : float
        Full width at half maximum of a ring of large crystallites, pixels.
    stop_mm : float
        Radius of the beamstop's shadow on the detector.
    """

    detector: DetectorModel
    distance: float
    beam: tuple[float, float] = (0.5, 0.5)
    ring_fwhm_px: float = 4.0
    stop_mm: float = 8.0

    @property
    def geometry(self) -> Geometry:
        """Untilted; the beam a little off the middle of its pixel."""
        y, x = (n * self.detector.pixel_size for n in self.detector.shape)
        off = self.detector.pixel_size
        return Geometry(
            detector=self.detector,
            dist=self.distance,
            poni1=self.beam[1] * y + 0.27 * off,
            poni2=self.beam[0] * x - 0.15 * off,
            wavelength=_WAVELENGTH,
        )

    @property
    def beamstop(self) -> Beamstop:
        """Disc and arm; the arm points up, where the detector surely is."""
        two_theta = math.atan(self.stop_mm * 1e-3 / self.distance)
        q = 4.0 * math.pi / (_WAVELENGTH * 1e10) * math.sin(two_theta / 2.0)
        return Beamstop(q_radius=q, arm_width=6.0 * self.detector.pixel_size)

    def instrument(self, crystallite: float) -> Instrument:
        """A beam as wide as the rings demand of it.

        Parameters
        ----------
        crystallite : float
            Size of domains, Angstrom; small ones widen the rings beyond.
        """
        sharp = Instrument(beam_size=0.0, divergence=5e-5, bandwidth=1e-4)
        model, pixel = self.detector, self.detector.pixel_size
        box = math.sqrt(8.0 * math.log(2.0) / 12.0)
        # The Lorentzian of 0.2 um domains adds about half of its width.
        sized = 0.94 * _WAVELENGTH / 2000e-10 * self.distance / pixel
        wanted = (self.ring_fwhm_px - 0.53 * sized) ** 2
        other = model.psf_fwhm_px**2 + box**2
        other += (sharp.divergence * self.distance / pixel) ** 2
        beam_size = pixel * math.sqrt(max(wanted - other, 0.0))
        return replace(sharp, beam_size=beam_size, crystallite=crystallite)


def _counter(side: int, pixel_size: float = 0.2e-3) -> DetectorModel:
    return DetectorModel(
        name=f"photon counter {side}",
        shape=(side, side),
        pixel_size=pixel_size,
        dtype="uint32",
        saturation_value=1_000_000,
        invalid_value=4_294_967_295,
        psf_fwhm_px=1.0,
        dark_rate=0.0,
    )


BENCH_GEOMETRIES: Mapping[str, BenchGeometry] = MappingProxyType(
    {
        "reference": BenchGeometry(detector=_counter(2048), distance=1.0),
        "cheap": BenchGeometry(detector=_counter(1024), distance=0.5, stop_mm=4.0),
        "small": BenchGeometry(
            detector=_counter(512, 0.4e-3), distance=0.5, stop_mm=5.0
        ),
        "quarter": BenchGeometry(
            detector=_counter(1024), distance=0.5, beam=(0.04, 0.05), stop_mm=4.0
        ),
        "off_centre": BenchGeometry(
            detector=_counter(1024), distance=0.5, beam=(0.33, 0.42), stop_mm=4.0
        ),
        "total_scattering": BenchGeometry(
            detector=_counter(1024, 0.4e-3), distance=0.2, stop_mm=4.0
        ),
        "one_metre": BenchGeometry(detector=_counter(1024), distance=1.0),
        "modules": BenchGeometry(detector=pilatus_1m(), distance=0.4, stop_mm=4.0),
    }
)
"""The reference of the flags' figures (2048^2 pixels of 0.2 mm at 1 m), a quarter of
its pixels at half the distance, these binned two by two, the beam in the corner, off
the centre, wide angles, 1 m before a small detector, and modules with gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSample:
    """A sample and what it makes of its rings.

    Attributes
    ----------
    sample : Sample
    crystallite : float
        Size of domains, Angstrom.
    microstructure : Microstructure or None
    amorphous : float
        Share without rings, 0 to 1.
    """

    sample: Sample
    crystallite: float = 2000.0
    microstructure: Microstructure | None = None
    amorphous: float = 0.0


BENCH_SAMPLES: Mapping[str, BenchSample] = MappingProxyType(
    {
        "cubic": BenchSample(sample=Mixture.pure("LaB6")),
        "low_symmetry": BenchSample(sample=Mixture({"quartz": 2.0, "calcite": 1.0})),
        "nano": BenchSample(sample=Mixture.pure("CeO2"), crystallite=40.0),
        "textured": BenchSample(
            sample=Mixture.pure("Ni"),
            microstructure=Microstructure(texture=Texture(march=0.7)),
        ),
        "grainy": BenchSample(
            sample=Mixture.pure("Al"),
            microstructure=Microstructure(grains=Grains(per_patch=8.0)),
        ),
        "amorphous": BenchSample(sample=Mixture.pure("CeO2"), amorphous=1.0),
    }
)
"""Materials of the benchmark."""

_SAMPLES = {
    **BENCH_SAMPLES,
    "titanate": BenchSample(sample=BariumTitanate()),  # has a transition to cross
}


def bench_experiment(
    geometry: str = "reference",
    sample: str = "cubic",
    *,
    counts: float = 1e6,
    seed: int = 0,
    dark_rate: float = 0.0,
    **more: Any,
) -> Experiment:
    """An experiment of the two tables.

    Parameters
    ----------
    geometry, sample : str
        Keys of ``BENCH_GEOMETRIES`` and ``BENCH_SAMPLES``; also ``titanate``.
    counts : float
        Expected counts of a frame.
    seed : int
    dark_rate : float
        Dark counts per pixel and second; above 0 the detector integrates.
    **more
        Of ``Experiment``.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    for name, table in ((geometry, BENCH_GEOMETRIES), (sample, _SAMPLES)):
        if name not in table:
            msg = f"No {name!r} in the table; expected one of {', '.join(table)}."
            raise ValueError(msg)
    place, material = BENCH_GEOMETRIES[geometry], _SAMPLES[sample]
    stands = place.geometry
    if dark_rate:
        stands = replace(stands, detector=replace(stands.detector, dark_rate=dark_rate))
    settings: dict[str, Any] = {
        "instrument": place.instrument(material.crystallite),
        "beamstop": place.beamstop,
        "microstructure": material.microstructure,
        "amorphous": material.amorphous,
        "counts": counts,
        "seed": seed,
        "background": 0.3,
    }
    return Experiment(stands, material.sample, **{**settings, **more})

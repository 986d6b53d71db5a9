"""The faults and findings of sample, counts and series that the benchmark injects."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ringwatch.benchmarks.flags.case import Case
from ringwatch.benchmarks.flags.injections import (
    SPOTS,
    Fading,
    coarse,
    dead_time,
    found_height,
    raise_plate,
    rolled,
    speckled,
    strained,
)
from ringwatch.simulated_beamline.faults import Amorphous, Ice, ShutterClipped
from ringwatch.simulated_beamline.readout_faults import NotANumber

__all__ = ["SAMPLE_CASES"]

_BRIGHT = 1e8  # counts of the frames of which some are taken away
_COLD = {"temperature": 100.0}  # K: ice is looked for below its melting point
_WINDOW = 100  # frames in which a drift may show

SAMPLE_CASES: Mapping[str, Case] = MappingProxyType(
    {
        "invalid values": Case(
            flag="invalid_values",
            unit="usable pixels that are NaN",
            amplitudes=(1, 3, 10, 100),
            target=None,
            no_fault=0.0,
            make=lambda n, _: NotANumber(first=0, count=int(n)),
            pixels=True,
            word="bad",
        ),
        "count rate loss": Case(
            flag="count_rate_loss",
            unit="true rate of the brightest pixels times dead time",
            amplitudes=(0.007, 0.01, 0.012, 0.015, 0.02, 0.05, 0.2),
            target=None,
            no_fault=1e-4,
            make=dead_time,
            per_rate=True,
            from_start=True,
        ),
        "plate displaced": Case(
            flag="sample_displaced",
            unit="mm",
            amplitudes=(0.02, 0.04, 0.05, 0.06, 0.1, 0.2, 0.5, 1.0),
            target=None,
            no_fault=0.0,
            make=raise_plate,
            components=("displacement_um",),
            injected=found_height,
            settings={"flat_plate": True},
            word="misaligned",
            geometry="total_scattering",  # wide angles tell a height from a scale
        ),
        "spots of single crystals": Case(
            flag="spots",
            unit=f"counts of {SPOTS} spots over those of all else",
            amplitudes=(0.003, 0.01, 0.015, 0.02, 0.03, 0.1),
            target=None,
            no_fault=0.0,
            make=speckled,
            pixels=True,
            from_start=True,
        ),
        "few grains": Case(
            flag="grainy",
            unit="grains that feed a degree of a ring",
            amplitudes=(0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 3.0),
            target=None,
            no_fault=1e6,
            make=coarse,
            from_start=True,
        ),
        "texture": Case(
            flag="texture",
            unit="pole density along over across the fibre",
            amplitudes=(1.3, 2.0, 2.5, 3.0, 4.0, 10.0),
            target=None,
            no_fault=1.0,
            make=rolled,
            from_start=True,
        ),
        "strain": Case(
            flag="strain",
            unit="ppm",
            amplitudes=(50.0, 100.0, 150.0, 200.0, 300.0, 1000.0, 3000.0),
            target=None,
            no_fault=0.0,
            make=strained,
            components=("deviatoric_strain_ppm",),
            injected=lambda ppm, _: (ppm,),
        ),
        "low counts": Case(
            flag="low_counts",
            unit="counts a frame",
            amplitudes=(1e4, 3e4, 5e4, 7e4, 1e5, 2e5, 3e5, 1e6),
            target=None,
            no_fault=_BRIGHT,
            make=lambda n, _: ShutterClipped(first=0, fraction=n / _BRIGHT),
            counts=_BRIGHT,
            from_start=True,
        ),
        "ice": Case(
            flag="ice",
            unit="counts in rings of ice over those in the sample's",
            amplitudes=(0.02, 0.05, 0.07, 0.1, 0.15, 0.3, 0.6),
            target=None,
            no_fault=0.0,
            make=lambda share, _: Ice(first=0, share=share),
            readbacks=lambda _: _COLD,
            from_start=True,
        ),
        "no crystals": Case(
            flag="amorphous_only",
            unit="share of the sample that is crystalline",
            amplitudes=(0.0, 0.001, 0.003, 0.005, 0.007, 0.01, 0.03),
            target=None,
            no_fault=1.0,
            make=lambda crystalline, _: Amorphous(first=0, share=1.0 - crystalline),
            from_start=True,
        ),
        "slow loss of light": Case(
            flag="drift",
            unit=f"% lost in {_WINDOW} frames",
            amplitudes=(1.0, 3.0, 3.5, 4.0, 6.0, 10.0, 30.0),
            target=None,
            no_fault=0.0,
            make=lambda percent, _: Fading(first=0, per_frame=1e-2 * percent / _WINDOW),
            patience=_WINDOW,
            trials=24,
        ),
        "sudden change": Case(
            flag="change_point",
            unit="share of the crystals that turn amorphous",
            amplitudes=(0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.3),
            target=None,
            no_fault=0.0,
            make=lambda share, _: Amorphous(first=0, share=share),
            sound=10,
        ),
    }
)
"""By name, as ``CASES``, of which they are a part; the issue names none of these."""

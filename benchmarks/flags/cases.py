"""The faults that the benchmark injects."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ringwatch.benchmarks.flags.case import FIRST, Case
from ringwatch.benchmarks.flags.injections import (
    Doubled,
    along,
    found_ppm,
    found_tilt,
    missing_module,
    move_along_beam,
    real_distance,
    shift,
    shifted_mask,
    tilt,
)
from ringwatch.benchmarks.flags.sample_cases import SAMPLE_CASES
from ringwatch.simulated_beamline.faults import (
    BeamLost,
    Dropped,
    I0Glitch,
    SampleLost,
    ShutterClipped,
    Swapped,
    WrongDark,
)
from ringwatch.simulated_beamline.light_faults import (
    BeamstopLeak,
    Shadow,
)
from ringwatch.simulated_beamline.readout_faults import (
    Duplicate,
    Flipped,
    HalfRead,
    HotPixels,
    SaturatedPixel,
    Zingers,
)

__all__ = ["CASES"]


_STEPS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_CENTRES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0)
_CENTRE = ("beam_center_dx_px", "beam_center_dy_px")
_TILTS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.3, 1.0)

CASES: Mapping[str, Case] = MappingProxyType(
    {
        "beam centre": Case(
            flag="beam_center",
            unit="px",
            amplitudes=_CENTRES,
            target=0.4,
            no_fault=0.0,
            make=shift,
            components=_CENTRE,
            injected=along,
            word="misaligned",
        ),
        "beam centre, from the first frame": Case(
            flag="beam_center",
            unit="px",
            amplitudes=(0.2, 0.4, 0.8, 2.0, 10.0),
            target=None,
            no_fault=0.0,
            make=shift,
            components=_CENTRE,
            injected=along,
            word="misaligned",
            from_start=True,
        ),
        "tilt": Case(
            flag="tilt",
            unit="degree",
            amplitudes=_TILTS,
            target=0.15,
            no_fault=0.0,
            make=tilt,
            components=("tilt_x_deg", "tilt_y_deg"),
            injected=found_tilt,
            word="misaligned",
        ),
        "distance, no readback": Case(
            flag="radial_scale",
            unit="1",
            amplitudes=(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 2e-3, 1e-2),
            target=2e-4,
            no_fault=0.0,
            make=move_along_beam,
            components=("radial_scale_ppm",),
            injected=found_ppm,
            word="suspect",
        ),
        "distance, with its readback": Case(
            flag="radial_scale",
            unit="1",
            amplitudes=(5e-5, 1e-4, 2e-4, 5e-4, 2e-3),
            target=2e-4,
            no_fault=0.0,
            make=move_along_beam,
            components=("radial_scale_ppm",),
            injected=found_ppm,
            readbacks=real_distance,
            settings={"geometry_keys": ("detector_distance",)},
            word="misaligned",
        ),
        "beam lost": Case(
            flag="no_beam",
            unit="share left",
            amplitudes=(0.0, 0.01, 0.02, 0.04, 0.1),
            target=None,
            no_fault=1.0,
            make=lambda left, _: BeamLost(first=0, fraction=left),
            word="bad",
        ),
        "intensity against I0": Case(
            flag="beam_drop",
            unit="share lost",
            amplitudes=(0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.3),
            target=0.05,
            no_fault=0.0,
            make=lambda lost, _: ShutterClipped(first=0, fraction=1 - lost),
        ),
        "I0 alone": Case(
            flag="i0_suspect",
            unit="share lost",
            amplitudes=(0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.3),
            target=None,
            no_fault=0.0,
            make=lambda lost, _: I0Glitch(first=0, factor=1 - lost),
        ),
        "sample lost": Case(
            flag="no_sample",
            unit="share left",
            amplitudes=(0.0, 0.05, 0.1, 0.15, 0.2, 0.3),
            target=None,
            no_fault=1.0,
            make=lambda left, _: SampleLost(first=0, fraction=left),
            word="bad",
        ),
        "one saturated pixel": Case(
            flag="saturated",
            unit="pixel",
            amplitudes=(1.0,),
            target=1.0,
            make=lambda _, __: SaturatedPixel(first=0, value=1_000_000),
            pixels=True,
        ),
        "dropped frame": Case(
            flag="sequence",
            unit="frame",
            amplitudes=(1.0,),
            target=1.0,
            make=lambda n, _: Dropped(first=FIRST, last=FIRST, count=int(n)),
        ),
        "swapped frames": Case(
            flag="sequence",
            unit="frame",
            amplitudes=(1.0,),
            target=1.0,
            make=lambda _, __: Swapped(first=FIRST, last=FIRST + 1),
        ),
        "doubled frame": Case(
            flag="sequence",
            unit="frame",
            amplitudes=(1.0,),
            target=1.0,
            make=lambda _, __: Doubled(first=FIRST, last=FIRST),
            pixels=True,
        ),
        "stuck buffer": Case(
            flag="duplicate",
            unit="frame",
            amplitudes=(1.0,),
            target=None,
            make=lambda _, __: Duplicate(first=0),
            pixels=True,
            word="bad",
        ),
        "missing module": Case(
            flag="misread",
            unit="of the detector's edge, squared",
            amplitudes=(1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 1 / 2),
            target=1 / 4,
            no_fault=0.0,
            make=missing_module,
            per_edge=True,
            word="bad",
        ),
        "half-read frame": Case(
            flag="misread",
            unit="frame",
            amplitudes=(1.0,),
            target=None,
            make=lambda _, __: HalfRead(first=0),
            pixels=True,
            word="bad",
        ),
        "flipped frame": Case(
            flag="misread",
            unit="frame",
            amplitudes=(1.0,),
            target=None,
            make=lambda _, __: Flipped(first=0),
            pixels=True,
            word="bad",
            geometry="off_centre",  # a flip of a centred frame shows nothing
        ),
        "mask shifted": Case(
            flag="mask_mismatch",
            unit="px",
            amplitudes=(1, 2, 3),
            target=1,
            no_fault=0.0,
            make=shifted_mask,
            pixels=True,
            patience=16,
            stage={"margin_px": 0},
        ),
        "wrong dark": Case(
            flag="stale_calibration",
            unit="dark counts over those subtracted",
            amplitudes=(0.5, 0.8, 1.25, 2.0),
            target=2.0,
            no_fault=1.0,
            make=lambda factor, _: WrongDark(first=0, factor=factor),
            pixels=True,
            stage={"dark_rate": 400.0},  # 20 counts a pixel
            from_start=True,
        ),
        "hot pixels": Case(
            flag="hot_pixels",
            unit="pixels",
            amplitudes=(10, 30, 100, 300),
            target=None,
            no_fault=0.0,
            make=lambda n, _: HotPixels(first=0, count=int(n), value=2000),
            pixels=True,
            patience=6,
        ),
        "zingers": Case(
            flag="zingers",
            unit="pixels",
            amplitudes=(10, 30, 100, 300),
            target=None,
            no_fault=0.0,
            make=lambda n, _: Zingers(first=0, count=int(n), value=2000),
            pixels=True,
        ),
        "shadow": Case(
            flag="shadow",
            unit="share taken in 30 degrees",
            amplitudes=_STEPS[:4],
            target=None,
            no_fault=0.0,
            make=lambda share, turn: Shadow(
                first=0, chi_deg=360 * turn - 180, transmission=1 - share
            ),
        ),
        "beamstop leak": Case(
            flag="beamstop_leak",
            unit="share of the frame's counts",
            amplitudes=(0.003, 0.01, 0.03, 0.1),
            target=None,
            no_fault=0.0,
            make=lambda share, turn: BeamstopLeak(
                first=0, share=share, fwhm_px=20, side_px=24, side_deg=360 * turn
            ),
        ),
        **SAMPLE_CASES,
    }
)
"""By name; the amplitudes that the issue names are ``target``."""

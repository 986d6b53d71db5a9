"""Which readbacks excuse moved rings, and which do not."""

from __future__ import annotations

import pytest

from ringwatch.agent.nouns import Flag, Severity
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.findings import raised
from ringwatch.agent.quality.geometry.wanted import excused, moved_on_purpose

SETTINGS = QualitySettings()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("detector_x", True),
        ("pilatus_det_z", True),
        ("mono_energy", True),
        ("camera_distance", True),
        ("sample_y", False),
        ("furnace_temperature", False),
        ("details", False),
    ],
)
def test_what_moves_rings_is_known_by_its_name(name, told):
    found = moved_on_purpose((name,), {name: 2.0}, {name: 1.0}, SETTINGS)
    assert found == (name if told else "")


def test_a_named_readback_counts_whatever_its_name():
    named = QualitySettings(geometry_keys=("hexapod",))
    now, then = {"hexapod": 1.0}, {"hexapod": 0.0}
    assert moved_on_purpose(("hexapod",), now, then, named) == "hexapod"
    assert not moved_on_purpose(("hexapod",), now, then, SETTINGS)


def test_a_motor_that_stands_still_or_is_not_scanned_excuses_nothing():
    still, moved = {"detector_x": 1.0}, {"detector_x": 2.0}
    assert not moved_on_purpose(("detector_x",), still, still, SETTINGS)
    assert not moved_on_purpose((), moved, still, SETTINGS)
    assert not moved_on_purpose(("detector_x",), {}, still, SETTINGS)


def test_what_rings_do_on_a_moved_detector_is_information():
    found = [raised(flag, 1.0, "moved") for flag in (Flag.SAMPLE_DISPLACED, Flag.TILT)]
    (displaced, tilt), (spots,) = (
        excused(found, "detector_x"),
        excused([raised(Flag.SPOTS, 1.0, "spots")], "detector_x"),
    )
    assert displaced.severity is tilt.severity is Severity.INFORMATION
    assert displaced.sentence == "moved; the plan moves detector_x"
    assert spots.severity is not Severity.INFORMATION

"""``grainy``: the number of grains that was drawn comes back; nothing else raises."""

from __future__ import annotations

import math

import fabio
import numpy as np
import pytest

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality.azimuth.ring_intensity import (
    judge_grainy,
    measure_ring_light,
)
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.quality.settings import QualitySettings

SETTINGS = QualitySettings(grain_tolerance=0.02)
STEPS = 7200  # of the azimuth


@pytest.fixture
def grainy(binning, facts):
    """Judge a frame."""

    def judged(frame, where=None):
        where = where or binning
        made = facts(frame, where)
        seen = look_at(made, where)
        return judge_grainy(measure_ring_light(made, seen), SETTINGS)

    return judged


@pytest.fixture
def with_grains(rings):
    """Expected counts with ``n`` equal grains a cell on average, in spots of 1.4 px."""

    def drawn(n, rng, counts=1e7, texture=0.0):
        even = rings.mean(counts=counts, texture=texture)
        y, x = np.indices(even.shape) + 0.5
        r, chi = np.hypot(x - 256, y - 256), np.arctan2(y - 256, x - 256)
        background = 10 * (1 + np.exp(-r / 100))
        background *= even[0, 0] / background[0, 0]
        step = ((chi + math.pi) / (2 * math.pi) * STEPS).astype(int) % STEPS
        sine = 0.2 * np.sqrt(np.arange(1, 17)) / (2 * 4.157)
        radii = 1000 * np.tan(2 * np.arcsin(sine))
        nearest = np.abs(r[..., None] - radii).argmin(axis=-1)
        out = even.copy()
        for k, radius in enumerate(radii):
            hits = rng.integers(0, STEPS, rng.poisson(32 * n))
            seen = np.bincount(hits, minlength=STEPS) * STEPS / (32 * n)
            away = np.arange(STEPS)
            away = np.minimum(away, STEPS - away) * 2 * math.pi * radius / STEPS
            spot = np.exp(-0.5 * (away / 0.6) ** 2)
            spots = np.fft.irfft(np.fft.rfft(seen) * np.fft.rfft(spot / spot.sum()))
            here = nearest == k
            ring = (even - background)[here] * np.maximum(spots[step[here]], 0)
            out[here] = background[here] + ring
        return out

    return drawn


@pytest.mark.parametrize("n", [0.5, 2, 10, 40])
def test_the_number_of_grains_comes_back(grainy, with_grains, rng, n):
    finding = grainy(rng.poisson(with_grains(n, rng)))
    assert finding.state is FlagState.RAISED
    assert n / 1.5 < finding.value < n * 1.8
    assert "grains" in finding.sentence
    error = finding.further["grain_error"]
    assert error == pytest.approx(1 / math.sqrt(32 * finding.value), rel=0.1)


def test_many_grains_do_no_harm(grainy, with_grains, rng):
    finding = grainy(rng.poisson(with_grains(400, rng)))
    assert finding.state is FlagState.CLEAR
    assert 250 < finding.value < 700


def test_grains_are_seen_through_a_texture(grainy, with_grains, rng):
    finding = grainy(rng.poisson(with_grains(3, rng, texture=0.6)))
    assert finding.state is FlagState.RAISED
    assert 2 < finding.value < 5.5


@pytest.mark.parametrize("counts", [1e5, 1e6, 1e7])
def test_even_rings_are_clear(grainy, rings, rng, counts):
    for _ in range(5):
        finding = grainy(rng.poisson(rings.mean(counts=counts)))
        assert finding.state is FlagState.CLEAR
        assert finding.z < 4


def test_texture_and_strain_are_no_grains(grainy, rings, rng):
    for change in ({"texture": 0.8}, {"strain": 2e-3}, {"dx": 1.0}):
        finding = grainy(rng.poisson(rings.mean(**change)))
        assert finding.state is FlagState.CLEAR, change


def test_an_integrating_detector_is_no_grains(grainy, rings, rng):
    light = rng.poisson(rings.mean()) * 8.0 + rng.normal(300, 20, (512, 512))
    assert grainy(light.round().astype(np.int32)).state is FlagState.CLEAR


@pytest.mark.parametrize("counts", [1e3, 1e4])
def test_too_few_counts_cannot_tell(grainy, with_grains, rng, counts):
    finding = grainy(rng.poisson(with_grains(100, rng, counts=counts)))
    assert finding.state is FlagState.NOT_EVALUATED
    assert finding.sentence


def test_a_quarter_of_a_detector(rng, grainy, rings, with_grains):
    quarter = type(rings)(beam=(-20.0, -20.0))
    finding = grainy(rng.poisson(quarter.mean()), quarter.binning())
    assert finding.state is FlagState.CLEAR


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("CeO2_Pilatus1M.cbf.gz", FlagState.RAISED),  # rings that are rows of spots
        ("CeO2_Pilatus2M_61keV.cbf", FlagState.CLEAR),
        ("Fe3O4C_M1_map_1_P1_E1_001.cbf.gz", FlagState.RAISED),
    ],
)
def test_measured(measured_frame, grainy, name, state):
    assert grainy(*measured_frame(name)).state is state


@pytest.fixture
def measured_frame(shared_data):
    """A measured frame and its binning."""

    def read(name):
        folder = shared_data / "frames"
        poni = (
            "Fe3O4C_M1_map.poni" if "M1_map" in name else name.split(".")[0] + ".poni"
        )
        frame = fabio.open(str(folder / name)).data
        return frame, Binning.from_geometry(load_geometry(folder / poni), frame.shape)

    return read

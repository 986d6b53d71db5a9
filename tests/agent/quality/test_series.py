"""Drift and change: silent on noise, quick on what changes, never bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState, Severity
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.findings import clear
from ringwatch.agent.quality.geometry.rings import (
    profiles_of,
)
from ringwatch.agent.quality.geometry.scale import judge_radial_scale
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.quality.pattern.change_point import ChangePoint
from ringwatch.agent.quality.pattern.series import Drift, SeriesScores
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel
from ringwatch.simulated_beamline.sample import BariumTitanate

from .drawn_profiles import Drawn

SETTINGS = QualitySettings()
LOOSE = QualitySettings(false_alarms_per_hour=7200)  # a tail of 1 % a statistic
NOISY = np.array([10.0, 0.01, 0.01, 0.003])


def scores(index, values, *, sigmas=NOISY, tolerance=0.0):
    return SeriesScores(
        index=index,
        values=tuple(map(float, values)),
        sigmas=tuple(map(float, sigmas)),
        tolerances=(tolerance + 1e-9,) * 4,
    )


def first_alarm(rng, slope, frames, settings=SETTINGS):
    """Frame of the first alarm where the radial scale drifts by ``slope`` sigma."""
    drift = Drift()
    for index in range(frames):
        values = rng.normal(0, NOISY)
        values[0] += slope * NOISY[0] * index
        finding = drift.judge(scores(index, values), settings)
        if finding.state is FlagState.RAISED:
            return index, finding
    return None, finding


@pytest.mark.parametrize("i0", [np.inf, -np.inf, np.nan, 0.0])
def test_a_monitor_that_is_no_number_gives_no_intensity(rng, i0):
    drawn = Drawn()
    seen = drawn.seen(1e6 * drawn.halo(), rng)
    seen = replace(seen, profiles=replace(seen.profiles, counts=1e6, dark_counts=0.0))
    none = clear(Flag.RADIAL_SCALE, np.nan)
    for reading in (i0, 2e5):
        found = SeriesScores.from_findings(
            drawn.facts(i0=reading), seen, scale=none, center=none, settings=SETTINGS
        )
        known = 1e6 / reading if reading == 2e5 else np.nan
        assert found.values[3] == pytest.approx(np.log(known), nan_ok=True)


# -- drift ------------------------------------------------------------------------
def test_no_drift_in_twenty_thousand_frames_of_noise(rng):
    drift = Drift()
    for index in range(20_000):
        finding = drift.judge(scores(index, rng.normal(0, NOISY)), SETTINGS)
        assert finding.state is not FlagState.RAISED


def test_the_tail_of_drift_is_that_of_the_budget(rng):
    """At 1 % a statistic: independent windows alarm in at most that many."""
    alarms = sum(first_alarm(rng, 0.0, 16, LOOSE)[0] is not None for _ in range(250))
    # Nine overlapping looks at four numbers, of which some two are independent.
    assert 0 < alarms < 250 * 0.01 * 4 * 4


@pytest.mark.parametrize(
    ("per_ten", "delay"), [(1.0, (20, 70)), (3.0, (10, 30)), (10.0, (8, 20))]
)
def test_drifts_are_seen_after_so_many_frames(per_ten, delay, rng):
    found = [first_alarm(rng, per_ten / 10, 100) for _ in range(30)]
    late = [index for index, _ in found]
    assert None not in late
    assert delay[0] <= np.median(late) <= delay[1]
    value = np.mean([finding.value for _, finding in found])
    assert value == pytest.approx(NOISY[0] * per_ten / 10, rel=0.25)


def test_slow_drifts_show_in_the_long_window(rng):
    """0.02 sigma a frame: too little for 64 frames, plain in 512."""
    index, finding = first_alarm(rng, 0.02, 600)
    assert 64 < index < 500
    assert "over the last" in finding.sentence


def test_a_step_is_no_drift(rng):
    drift = Drift()
    for index in range(200):
        values = rng.normal(0, NOISY)
        values[0] += 30 * NOISY[0] * (index >= 40)
        finding = drift.judge(scores(index, values), SETTINGS)
        assert finding.state is not FlagState.RAISED


def test_what_drifts_is_named(rng):
    words = {1: "along the columns", 2: "along the rows", 3: "the intensity falls"}
    for number, word in words.items():
        drift = Drift()
        for index in range(30):
            values = rng.normal(0, NOISY)
            values[number] -= NOISY[number] * index
            finding = drift.judge(scores(index, values), SETTINGS)
        assert finding.state is FlagState.RAISED
        assert finding.severity is Severity.INFORMATION
        assert word in finding.sentence


def test_a_drift_below_the_tolerance_and_unknown_numbers_raise_nothing(rng):
    drift, blind = Drift(), Drift()
    for index in range(30):
        values = rng.normal(0, NOISY) + index * NOISY
        finding = drift.judge(scores(index, values, tolerance=1e6), SETTINGS)
        nothing = blind.judge(scores(index, np.full(4, np.nan)), SETTINGS)
        expected = FlagState.CLEAR if index >= 7 else FlagState.NOT_EVALUATED
        assert finding.state is expected
        assert nothing.state is FlagState.NOT_EVALUATED


# -- a furnace, and measured series ------------------------------------------------
@pytest.fixture(scope="module")
def furnace(request):
    """BaTiO3 at 1 K a frame through 393 K: (kelvin, change, drift) of each frame."""
    make_facts = request.getfixturevalue("facts")
    bench = Experiment(
        Geometry.centered(flat_panel(512)), BariumTitanate(), temperature=363.0
    )
    binning = Binning.from_geometry(
        bench.geometry.integrator(),
        bench.shape,
        mask=bench.mask(),
        polarization=bench.instrument.polarization,
    )
    bench.shutter_open = False
    dark = [bench.read_out(0.05).pixels for _ in range(2)]
    bench.shutter_open = True
    change, drift, reference = ChangePoint(), Drift(), None
    sound, found = [], []
    for index in range(50):
        frame, kelvin = bench.read_out(0.05).pixels, bench.furnace.sample
        facts = make_facts(frame, binning, index=index, dark=dark, i0=bench.i0)
        seen = look_at(facts, binning)
        scale = judge_radial_scale(facts, seen, reference, SETTINGS)
        sound.append((facts, seen))
        if index == 2:
            reference = Reference.from_frames(sound, SETTINGS)
        numbers = SeriesScores.from_findings(
            facts,
            seen,
            scale=scale,
            center=clear(Flag.BEAM_CENTER, 0.0),
            settings=SETTINGS,
        )
        found.append(
            (kelvin, change.judge(seen, SETTINGS), drift.judge(numbers, SETTINGS))
        )
        bench.furnace.ramp_to(364.0 + index)
        bench.clock.advance(1.0)
    return found


def test_a_transition_in_a_furnace_is_one_change_near_its_temperature(furnace):
    kelvin = [k for k, change, _ in furnace if change.state is FlagState.RAISED]
    assert len(kelvin) == 1
    assert kelvin[0] == pytest.approx(393.0, abs=3.0)


def test_a_ramp_is_a_drift_that_is_information(furnace):
    before = [drift for kelvin, _, drift in furnace if 380 < kelvin < 390]
    assert all(d.state is FlagState.RAISED for d in before)
    assert all(d.severity is Severity.INFORMATION for d in before)
    assert all("the cell expands" in d.sentence for d in before)
    assert np.mean([d.value for d in before]) == pytest.approx(-9.0, rel=0.3)


@pytest.mark.parametrize(
    "name", ["timeseries_lambda_P02_testasapo1", "timeseries_xrdfit_Ti7Nb_700C"]
)
def test_measured_series_without_an_event_raise_no_change(name, shared_data: Path):
    intensity = np.load(shared_data / f"{name}.npz")["y"].astype(float)
    whole = intensity.sum(axis=1) if intensity.ndim == 3 else intensity[:, ::2]
    change = ChangePoint()
    radius = 300.0 + np.arange(whole.shape[1])
    for profile in whole:
        counts = profile[:, None]
        norm = (profile > 0).astype(float)[:, None]
        seen = Seen(profiles=profiles_of(counts, counts, norm, radius), rings=None)
        assert change.judge(seen, SETTINGS).state is not FlagState.RAISED

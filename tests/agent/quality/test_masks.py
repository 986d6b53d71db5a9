"""mask_mismatch: a mask that is not where the dead pixels are, and masks that are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.readout.masks import EdgeHistory, judge_mask_mismatch
from ringwatch.agent.reduction import Reduction

SETTINGS = QualitySettings()
DEAD = np.zeros((512, 512), bool)
DEAD[100:117] = DEAD[300:317] = True
DEAD[:, 250:257] = True


@pytest.fixture(scope="module")
def masked(rings):
    """Binning with a mask, made once for each."""
    known = {}

    def made(mask):
        key = mask.tobytes()
        if key not in known:
            known[key] = Binning.from_geometry(
                rings.geometry(), mask.shape, mask=mask, polarization=None
            )
        return known[key]

    return made


@pytest.fixture
def judge_mask(facts, masked):
    def judged(frame, mask, **more):
        return judge_mask_mismatch(
            facts(frame, masked(mask), **more).cake.edges, SETTINGS
        )

    return judged


def grown(mask, by):
    wide = mask.copy()
    for axis in (0, 1):
        part = wide.copy()
        for step in range(-by, by + 1):
            wide |= np.roll(part, step, axis)
    return wide


@pytest.mark.parametrize(
    ("dy", "dx", "word"),
    [(0, 1, "right"), (0, -1, "left"), (1, 0, "down"), (-1, 0, "up")],
)
@pytest.mark.parametrize("invalid", [0, -1])
def test_a_mask_shifted_by_a_pixel(judge_mask, rings, rng, dy, dx, word, invalid):
    shifted = np.roll(DEAD, (dy, dx), (0, 1))
    for _ in range(5):
        frame = rng.poisson(rings.mean(counts=1e6)).astype(np.int32)
        frame[DEAD] = invalid
        finding = judge_mask(frame, shifted)
        assert finding.state is FlagState.RAISED
        assert f"shifted {word}" in finding.sentence
        assert finding.z > 10
        # All masked pixels of that side hold signal: one of four edges, of any length.
        assert 0.1 < finding.value < (0.5 if invalid == 0 else 1.2)


def test_a_diagonal_shift_names_both_sides(judge_mask, rings, rng):
    frame = rng.poisson(rings.mean(counts=1e6)).astype(np.int32)
    frame[DEAD] = 0
    finding = judge_mask(frame, np.roll(DEAD, (1, -1), (0, 1)))
    assert "shifted left and down" in finding.sentence


def test_a_mask_that_is_too_small(judge_mask, rings, rng):
    frame = rng.poisson(rings.mean(counts=1e6)).astype(np.int32)
    frame[grown(DEAD, 1)] = 0
    finding = judge_mask(frame, DEAD)
    assert finding.state is FlagState.RAISED
    assert "too small" in finding.sentence
    assert finding.value == 0.0


@pytest.mark.parametrize("counts", [1e3, 1e4, 1e5, 1e6, 1e8])
def test_right_and_generous_masks_stay_clear(judge_mask, rings, rng, counts):
    for mask in (DEAD, grown(DEAD, 3), np.roll(grown(DEAD, 3), (1, 1), (0, 1))):
        frame = rng.poisson(rings.mean(counts=counts)).astype(np.int32)
        frame[DEAD] = 0
        finding = judge_mask(frame, mask)
        assert finding.state is not FlagState.RAISED
        if counts >= 1e5:
            assert finding.state is FlagState.CLEAR
            assert finding.value == pytest.approx(0.0 if mask is DEAD else 1.0, abs=0.1)
        if counts <= 1e3:
            assert finding.state is FlagState.NOT_EVALUATED


def test_too_small_a_mask_where_markers_do_no_harm(judge_mask, rings, rng):
    frame = rng.poisson(rings.mean(counts=1e6)).astype(np.int32)
    frame[grown(DEAD, 1)] = -1
    finding = judge_mask(frame, DEAD)
    assert finding.state is not FlagState.RAISED


def test_a_beamstop_with_a_penumbra(judge_mask, rings, rng):
    y, x = np.indices((512, 512)) + 0.5 - 256
    r = np.hypot(x, y)
    stop = np.clip((r - 24) / 5, 0.0, 1.0)
    mask = r < 27.2  # the next pixels hold 60 % and more
    for counts in (1e6, 1e8):
        frame = rng.poisson(rings.mean(counts=counts) * stop).astype(np.int32)
        assert judge_mask(frame, mask).state is not FlagState.RAISED


def test_masked_hot_pixels_do_not_speak_for_the_edge(judge_mask, rings, rng):
    mask = np.zeros((512, 512), bool)
    hot = rng.choice(mask.size, 300, replace=False)
    mask.ravel()[hot] = True
    frame = rng.poisson(rings.mean(counts=1e6)).astype(np.int32)
    frame.ravel()[hot] = 50000
    assert judge_mask(frame, mask).state is FlagState.CLEAR


@pytest.mark.parametrize("texture", [0.0, 0.8])
def test_dark_subtracted_floats_texture_and_grains(judge_mask, rings, rng, texture):
    mean = rings.mean(counts=1e6, texture=texture)
    for scatter in (np.ones_like(mean), rng.gamma(0.25, 4.0, mean.shape)):
        frame = rng.poisson(mean * scatter + 20.0) - 20.0
        frame[DEAD] = 0.0
        finding = judge_mask(frame.astype(np.float32), DEAD)
        assert finding.state is not FlagState.RAISED


def test_a_dark_takes_the_pedestal_away(judge_mask, rings, rng):
    """Dead areas read the pedestal, too: only what is above it is lacking."""
    light = rings.mean(counts=1e6)
    light[DEAD] = 0.0
    frame = rng.poisson(light + 30.0).astype(np.uint16)
    dark = [rng.poisson(np.full((512, 512), 30.0)).astype(np.uint16) for _ in range(4)]
    assert judge_mask(frame, DEAD, dark=dark).state is FlagState.CLEAR
    finding = judge_mask(frame, np.roll(DEAD, 1, 1), dark=dark)
    assert finding.state is FlagState.RAISED


def patterned(level):
    """A dark of modules of their own level each, that glows along the gaps."""
    y, x = np.indices(DEAD.shape)
    module = np.array([[1.0, 0.5], [1.6, 2.0], [0.6, 1.3]])[y * 3 // 512, x * 2 // 512]
    beside = np.minimum(np.abs(y - 100), np.abs(y - 316))
    return level * (module + 6.0 * np.exp(-beside / 3.0))


@pytest.mark.parametrize("level", [5.0, 50.0])
@pytest.mark.parametrize("dead_reads", [True, False])
def test_a_patterned_dark_is_no_fault_of_the_mask(
    judge_mask, rings, rng, level, dead_reads
):
    light, below = rings.mean(counts=1e7), patterned(level)
    light[DEAD] = 0.0
    if not dead_reads:
        below[DEAD] = 0.0
    for _ in range(3):
        dark = [rng.poisson(below).astype(np.uint16) for _ in range(4)]
        frame = rng.poisson(light + below).astype(np.uint16)
        for mask in (DEAD, grown(DEAD, 3)):
            assert judge_mask(frame, mask, dark=dark).state is FlagState.CLEAR
        for axis in (0, 1):
            finding = judge_mask(frame, np.roll(DEAD, 1, axis), dark=dark)
            assert finding.state is FlagState.RAISED


def test_the_noise_of_one_dark_does_not_add_up_to_a_fault(facts, masked, rings, rng):
    """All frames share it: over 32 frames it is as large as in one."""
    light = rings.mean(counts=1.5e5)
    light[DEAD] = 0.0
    reduction = Reduction(masked(DEAD))
    known = facts(rng.poisson(light + 20.0).astype(np.uint16), masked(DEAD))
    for _ in range(12):
        dark = reduction.prepare_dark([rng.poisson(20.0, DEAD.shape).astype(np.uint16)])
        history = EdgeHistory()
        for _ in range(32):
            frame = rng.poisson(light + 20.0).astype(np.uint16)
            cake = reduction.cake(frame, dark)
            found = history.judge(replace(known, cake=cake, dark_frames=1), SETTINGS)
            assert found.state is not FlagState.RAISED, found.sentence


def test_without_a_mask_or_a_geometry_nobody_can_tell(facts, binning, rings, rng):
    frame = rng.poisson(rings.mean()).astype(np.int32)
    tiles = Binning.without_geometry((512, 512), mask=DEAD)
    for where in (binning, tiles):
        finding = judge_mask_mismatch(facts(frame, where).cake.edges, SETTINGS)
        assert finding.state is FlagState.NOT_EVALUATED

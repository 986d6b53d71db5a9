"""Dead time of a photon counter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality import FrameFacts, QualitySettings
from ringwatch.agent.quality.findings import Finding
from ringwatch.agent.quality.light.count_rate import (
    judge_count_rate_loss,
    paralyzable_loss,
)

DEAD_S = 2e-7


def recorded(true: NDArray[Any], exposure_s: float) -> NDArray[Any]:
    """Expected counts that a paralyzable counter records."""
    return true * np.exp(-true / exposure_s * DEAD_S)


@pytest.fixture
def loss_of(
    rings: Any,
    binning: Binning,
    facts: Callable[..., FrameFacts],
    rng: np.random.Generator,
) -> Callable[..., Finding]:
    """Finding for rings whose brightest pixels miss that share of the photons."""

    def judged(
        share: float, exposure_s: float = 0.1, hot: int = 0, **settings: Any
    ) -> Finding:
        image = rings.mean(counts=1e7)
        peak = -math.log1p(-share) / DEAD_S * exposure_s
        frame = rng.poisson(recorded(image * (peak / image.max()), exposure_s))
        y, x = rng.integers(0, frame.shape[0], (2, hot))
        frame[y, x] = 10 * frame.max()
        told = facts(frame.astype(np.uint32), binning, exposure_time=exposure_s)
        return judge_count_rate_loss(
            told, QualitySettings(**({"dead_time_s": DEAD_S} | settings))
        )

    return judged


@pytest.mark.parametrize("share", [0.002, 0.02, 0.1, 0.3])
def test_loss_is_the_injected_one(
    loss_of: Callable[..., Finding], share: float
) -> None:
    finding = loss_of(share)
    assert finding.flag is Flag.COUNT_RATE_LOSS
    assert finding.value == pytest.approx(share, rel=0.12)
    assert (finding.state is FlagState.RAISED) == (share > 0.01)


def test_few_hot_pixels_are_no_rate(loss_of: Callable[..., Finding]) -> None:
    clean, hot = loss_of(0.005), loss_of(0.005, hot=40)
    assert hot.state is FlagState.CLEAR
    assert hot.value == pytest.approx(clean.value, rel=0.05)


def test_few_counts_prove_no_loss(loss_of: Callable[..., Finding]) -> None:
    # 2 % at 1e5 photons a second are raised with 10 ms, but not with 0.1 ms: 10 counts.
    assert loss_of(0.02, exposure_s=1e-2).state is FlagState.RAISED
    finding = loss_of(0.02, exposure_s=1e-4)
    assert finding.state is FlagState.CLEAR
    assert abs(finding.z) < 5.27


def test_inverse_of_the_paralyzable_counter() -> None:
    for share in (1e-6, 0.01, 0.2, 0.6):
        true = -math.log1p(-share)
        assert paralyzable_loss(true * math.exp(-true)) == pytest.approx(share)
    assert paralyzable_loss(0.0) == 0.0
    assert paralyzable_loss(5.0) == pytest.approx(1 - math.exp(-1))
    # To first order the loss of a counter that is not paralyzable, m tau.
    assert paralyzable_loss(0.01) == pytest.approx(0.01, rel=0.01)


def test_not_evaluated_without_dead_time_or_exposure(
    loss_of: Callable[..., Finding],
) -> None:
    finding = loss_of(0.1, dead_time_s=None)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "dead_time_s" in finding.sentence
    finding = loss_of(0.1, exposure_key="nowhere")
    assert finding.state is FlagState.NOT_EVALUATED
    assert "exposure_key" in finding.sentence

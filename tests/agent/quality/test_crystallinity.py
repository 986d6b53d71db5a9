"""An upper limit on rings: right for glasses, and never a yes for a powder."""

from __future__ import annotations

from pathlib import Path

import fabio
import numpy as np
import pyFAI
import pytest

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.geometry.rings import find_rings, make_profiles
from ringwatch.agent.quality.pattern.crystallinity import (
    judge_amorphous_only,
    measure_sharp_structure,
)
from ringwatch.agent.reduction import Reduction

from .drawn_profiles import Drawn

SETTINGS = QualitySettings()
LINES = np.linspace(1.2, 5.6, 8)


def judged(drawn: Drawn, mean, rng):
    return judge_amorphous_only(drawn.facts(), drawn.seen(mean, rng), SETTINGS)


@pytest.mark.parametrize(("bins", "q_max"), [(724, 6.0), (724, 20.0), (1450, 6.0)])
def test_glass_is_amorphous_with_a_small_limit(bins, q_max, rng):
    drawn = Drawn(bins=bins, q_max=q_max)
    for counts in (1e7, 1e8):
        finding = judged(drawn, counts * drawn.halo(), rng)
        assert finding.state is FlagState.RAISED
        assert 0 < finding.value < SETTINGS.crystalline_tolerance
        assert "95 % limit" in finding.sentence


def test_few_counts_cannot_tell(rng):
    drawn = Drawn()
    finding = judged(drawn, 1e4 * drawn.halo(), rng)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "too few counts" in finding.sentence


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3, 1.0])
def test_the_limit_is_above_the_truth_and_not_far(share, rng):
    drawn = Drawn()
    rings = drawn.rings(LINES, np.ones(8))
    for _ in range(20):
        mean = 1e7 * ((1 - share) * drawn.halo() + share * rings)
        finding = judged(drawn, mean, rng)
        assert finding.state is FlagState.CLEAR
        assert 0.95 * share < finding.value < share + 0.05


def test_a_share_at_the_tolerance_is_hardly_ever_called_amorphous(rng):
    drawn = Drawn()
    rings = drawn.rings(LINES, np.ones(8))
    mean = 3e6 * (0.988 * drawn.halo() + 0.012 * rings)
    states = [judged(drawn, mean, rng).state for _ in range(200)]
    assert FlagState.RAISED not in states


def test_crystals_of_some_nanometres_are_said_to_be_beyond_it(rng):
    """Rings of 3 nm are as broad as those of a glass: the sentence says so."""
    drawn = Drawn()
    step = drawn.q[1] - drawn.q[0]
    wide = 2 * np.pi * 0.9 / 30.0 / step  # Scherrer, in bins
    rings = drawn.rings(LINES, np.ones(8), fwhm=wide)
    finding = judged(drawn, 1e7 * (0.5 * drawn.halo() + 0.5 * rings), rng)
    assert finding.value < 0.25  # half of the light is in rings, but not in sharp ones
    assert finding.further["sharp_width_q"] < 2 * np.pi * 0.9 / 30.0
    narrow = drawn.rings(LINES, np.ones(8), fwhm=wide * 3 / 12)  # 12 nm
    finding = judged(drawn, 1e7 * (0.5 * drawn.halo() + 0.5 * narrow), rng)
    assert finding.state is FlagState.CLEAR
    assert finding.value > 0.35


def test_noise_alone_has_the_energy_of_noise(rng):
    drawn = Drawn()
    mean = 1e6 * drawn.halo()
    found = []
    for _ in range(200):
        seen = drawn.seen(mean, rng)
        sharp = measure_sharp_structure(seen.profiles, drawn.q)
        found.append(sharp.energy / sharp.energy_sigma)
    assert np.mean(found) == pytest.approx(0.0, abs=0.7)
    assert np.std(found) == pytest.approx(1.0, abs=0.2)


def test_a_dark_frame_has_nothing_to_look_at(rng):
    drawn = Drawn()
    assert judged(drawn, 0.0 * drawn.halo(), rng).state is FlagState.NOT_EVALUATED


def test_a_measured_powder_is_not_amorphous(shared_data: Path):
    frames = shared_data / "frames"
    for name in ("CeO2_Pilatus1M", "CeO2_Pilatus2M_61keV"):
        image = fabio.open(next(frames.glob(f"{name}.[!pn]*"))).data
        geometry = pyFAI.load(str(frames / f"{name}.poni"))
        binning = Binning.from_geometry(geometry, image.shape, mask=image < 0)
        cake = Reduction(binning).cake(image)
        profiles = make_profiles(cake, binning)
        seen = Seen(profiles=profiles, rings=find_rings(profiles))
        sharp = measure_sharp_structure(profiles, binning.q)
        assert sharp.visible > 0.05
        facts = Drawn(bins=binning.q.size, q_max=float(binning.q[-1])).facts()
        finding = judge_amorphous_only(facts, seen, SETTINGS)
        assert finding.state is FlagState.CLEAR

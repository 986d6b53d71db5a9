"""``ringwatch replay --diff``: a replay beside the verdicts that are stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .replay_command import ReplayCommand, answers, store

RAW = "raw-diff"
FRAMES = 3
SIDE = 256


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    return powder_beamline(tmp_path_factory.mktemp("diff"), detector=SIDE)


@pytest.fixture(scope="module")
def uid(server: EmbeddedTiled, beamline: Beamline) -> str:
    """A stored run."""
    (found,) = store(server, RAW, beamline.step_scan(FRAMES))
    return found


@pytest.fixture
def replay(
    server: EmbeddedTiled, beamline: Beamline, uid: str, tmp_path: Path
) -> ReplayCommand:
    return ReplayCommand(server, RAW, beamline, tmp_path)


def test_stored_verdicts_are_compared(
    replay: ReplayCommand, uid: str, tmp_path: Path
) -> None:
    result = replay(uid, "--diff")
    assert result.exit_code == 2
    assert "ringwatch replay --store" in " ".join(result.output.split())
    before = answers(replay(uid, "--store", "--json"))[0]["attempt"]
    (same,) = answers(replay(uid, "--diff", "--json"))
    assert (same["diff"]["differ"], same["diff"]["frames"]) == (0, FRAMES)
    assert same["diff"]["attempt"] == before
    assert same["diff"]["not_compared"] == []
    # Through Tiled and back, an empty difference is only worth something if patterns
    # and probabilities were among what was compared: a mask that hides rings shows.
    mask = tmp_path / "mask.npy"
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[:, :100] = True
    np.save(mask, hidden)
    result = replay(uid, "--diff", "--json", "--mask", mask, "--store")
    assert result.exit_code == 1
    (answer,) = json.loads(result.stdout)
    assert answer["diff"]["differ"] == FRAMES
    assert answer["diff"]["fields"]["intensity"] == FRAMES
    # The newest is that one now; the first can still be asked for.
    assert replay(uid, "--diff", "--json").exit_code == 1
    result = replay(uid, "--attempt", before, "--json")
    assert answers(result)[0]["diff"]["differ"] == 0
    assert replay(uid, "--attempt", 99, "--json").exit_code == 2


def test_a_changed_word_is_told_with_both_reasons(
    replay: ReplayCommand, uid: str, tmp_path: Path
) -> None:
    stored = replay(uid, "--store")
    assert stored.exit_code == 0, stored.output
    dark = tmp_path / "dark.npy"
    np.save(dark, np.full((SIDE, SIDE), 1000, np.uint16))
    result = replay(uid, "--diff", "--dark", dark)
    assert result.exit_code == 1, result.output
    told = " ".join(result.output.split())
    assert f"{FRAMES} of {FRAMES} frames differ from attempt 1" in told
    assert "The analysis id was" in told
    assert "was is frames" in told
    assert "was good:" in told

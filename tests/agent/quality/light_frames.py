"""Frames with known shares of rings and of the scattering between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality import FrameFacts, QualitySettings
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.findings import Finding
from ringwatch.agent.quality.light.monitor import LightHistory
from ringwatch.agent.quality.look import look_at

__all__ = ["Bench", "judged", "split_light"]


def split_light(rings: Any, counts: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Expected counts of the rings, and of what is between them, both (y, x)."""
    whole = rings.mean(counts=counts)
    alone = rings.mean(counts=1.0, lines=())
    between = alone * (whole[0, 0] / alone[0, 0])  # no ring reaches the corner
    return np.maximum(whole - between, 0.0), between


@dataclass(frozen=True)
class Bench:
    """Draws frames with counting noise and looks at them as the fold does."""

    binning: Binning
    facts: Any
    rng: np.random.Generator
    settings: QualitySettings = field(default_factory=QualitySettings)

    def look(
        self,
        expected: NDArray[Any],
        index: int = 0,
        reference: Reference | None = None,
        **more: Any,
    ) -> tuple[FrameFacts, Seen]:
        """One frame of these expected counts, (y, x)."""
        frame = self.rng.poisson(expected).astype(np.uint32)
        facts = self.facts(frame, self.binning, index=index, **more)
        return facts, look_at(facts, self.binning, reference)

    def reference(self, *expected: NDArray[Any], **more: Any) -> Reference:
        """Mean of three frames; of the same expected counts where only one is given."""
        frames = expected if len(expected) == 3 else expected * 3
        looked = [self.look(e, i, **more) for i, e in enumerate(frames)]
        return Reference.from_frames(looked, self.settings)


def judged(
    bench: Bench,
    reference: Any,
    expected: NDArray[Any],
    history: LightHistory | None = None,
    settings: QualitySettings | None = None,
    **readbacks: float,
) -> tuple[Finding, Finding]:
    """``beam_drop`` and ``i0_suspect`` of one frame."""
    facts, seen = bench.look(expected, 3, reference, **readbacks)
    history = history or LightHistory()
    drop, suspect = history.judge(facts, seen, reference, settings or bench.settings)
    assert (drop.flag, suspect.flag) == (Flag.BEAM_DROP, Flag.I0_SUSPECT)
    return drop, suspect

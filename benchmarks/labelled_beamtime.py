"""A simulated beamtime whose truth is known, as embeddings, for what learns from it.

Runs of some frames, each of a sample of its own: one of eight phases, a mixture of two,
or a glass, some of them often and some hardly ever; with counts, background, cell and
amorphous share of its own. Frames are drawn by the simulated detector (small), reduced
as the agent does, and embedded by the shipped classifier, which knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.reduction import Reduction
from ringwatch.models.classifier import Classifier
from ringwatch.models.prediction import Prediction
from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel
from ringwatch.simulated_beamline.phases import PHASES
from ringwatch.simulated_beamline.sample import Mixture

__all__ = ["Frames", "draw_beamtime"]

_PHASES = 8
_MIXTURES = 2
_COUNTS = 1e5, 1e7
_BACKGROUND = 0.2, 0.8
_TEMPERATURES_K = 298.0, 385.0
_HALF_AMORPHOUS = 0.5
_EXPOSURE_S = 0.05
_TOP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Frames with their truth.

    Attributes
    ----------
    embedding : (n, 64) float32
    probabilities : (n, 5) float64
        Of the likeliest of the classifier's own classes.
    novelty : (n,) float64
        Natural log odds.
    truth : (n,) int64
        Number of the kind of sample.
    """

    embedding: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    novelty: NDArray[np.float64]
    truth: NDArray[np.int64]


def draw_beamtime(
    classifier: Classifier,
    runs: tuple[int, int],
    frames: int,
    seed: int,
    *,
    edge: int = 512,
) -> tuple[Frames, Frames]:
    """Frames to choose from, and frames of other runs to score by.

    Parameters
    ----------
    classifier : Classifier
    runs : (int, int)
        Of the former and of the latter; each kind of sample has at least one of both.
    frames : int
        Of each run.
    seed : int
        Of everything.
    edge : int
        Pixels along an edge of the detector.

    Raises
    ------
    ValueError
        If there are fewer runs than kinds.
    """
    rng = np.random.default_rng(seed)
    kinds = _draw_kinds(rng)
    if min(runs) < len(kinds):
        raise ValueError(f"{runs} runs: at least {len(kinds)}, one of each kind")
    often = 1.0 / np.arange(1, len(kinds) + 1)
    bench = _Bench(classifier, edge, rng)
    drawn = []
    for number in runs:
        more = rng.choice(len(kinds), number - len(kinds), p=often / often.sum())
        order = rng.permutation(np.concatenate([np.arange(len(kinds)), more]))
        seen = [each for kind in order for each in bench.run(kinds[kind], frames)]
        drawn.append(_as_frames(seen, np.repeat(order, frames)))
    return drawn[0], drawn[1]


Kind = tuple[Mapping[str, float], bool]
"""Volume parts by phase, and whether it is a glass of that composition."""


def _draw_kinds(rng: np.random.Generator) -> list[Kind]:
    names = [str(name) for name in rng.permutation(list(PHASES))]
    kinds: list[Kind] = [({name: 1.0}, False) for name in names[:_PHASES]]
    for i in range(_MIXTURES):
        first, second = names[2 * i : 2 * i + 2]
        kinds.append(({first: 0.6, second: 0.4}, False))
    kinds.append(({names[0]: 1.0}, True))
    return [kinds[i] for i in rng.permutation(len(kinds))]


def _as_frames(seen: list[Prediction], truth: NDArray[np.int64]) -> Frames:
    return Frames(
        embedding=np.stack([each.embedding for each in seen]),
        probabilities=np.array(
            [[c.probability for c in each.classes[:_TOP]] for each in seen]
        ),
        novelty=np.array([each.novelty for each in seen]),
        truth=truth,
    )


class _Bench:
    """Detector, reduction and classifier."""

    def __init__(
        self, classifier: Classifier, edge: int, rng: np.random.Generator
    ) -> None:
        self._classifier, self._rng = classifier, rng
        self._geometry = Geometry.centered(flat_panel(edge))
        mask = self._experiment(({next(iter(PHASES)): 1.0}, False)).mask()
        shape = self._geometry.detector.shape
        binning = Binning.from_geometry(self._geometry.integrator(), shape, mask=mask)
        self._reduction = Reduction(binning)

    def run(self, kind: Kind, frames: int) -> list[Prediction]:
        """So many frames of one sample of this kind."""
        experiment = self._experiment(kind)
        patterns = []
        for _ in range(frames):
            pixels = experiment.read_out(_EXPOSURE_S).pixels
            cake = self._reduction.cake(pixels, look_again=False)
            patterns.append(self._reduction.pattern(cake))
        seen: Any = self._classifier.predict(
            np.stack([each.q for each in patterns]),
            np.stack([each.intensity for each in patterns]),
            np.stack([each.sigma for each in patterns]),
        )
        return list(seen)

    def _experiment(self, kind: Kind) -> Experiment:
        """A sample of this kind, and what it is measured in."""
        parts, glass = kind
        rng = self._rng
        partly = float(rng.uniform(0.0, _HALF_AMORPHOUS) * (rng.random() < 0.5))
        return Experiment(
            self._geometry,
            Mixture(parts),
            beamstop=Beamstop(),
            seed=int(rng.integers(2**31)),
            counts=float(np.exp(rng.uniform(*np.log(_COUNTS)))),
            background=float(rng.uniform(*_BACKGROUND)),
            temperature=float(rng.uniform(*_TEMPERATURES_K)),
            amorphous=1.0 if glass else partly,
        )

"""The shipped network on one thread: `python benchmarks/network.py`.

Patterns of CeO2 reduced from frames, one at a time and in batches. In turns, median of
the rounds, milliseconds a pattern:

- ONNX, predict: all of `Classifier.predict`, from I(q) to probabilities, in ONNX
  Runtime as the agent calls it on a CPU; torch, predict: the same in eager torch;
- ONNX, network, and torch, network: the layers alone, input made beforehand;
- floor: the network's multiply-adds (convolutions and dense layers, all views) over the
  multiply-adds a second that a float32 matrix product reaches in the same rounds.

"faster than torch" compares predict with predict and network with network. "same label"
is the share of patterns to which both backends give one label.

For example: `python benchmarks/network.py --batch 1 16 64 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import REPEATS, Parser, end_in_one_line, steps, whole

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and torch read once.
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ringwatch.agent.reduction import Reduction
from ringwatch.benchmarks.peers import (
    binning_of,
    draw_frames,
    experiment_of,
    median_ms,
    ratio,
    show_json,
    show_table,
    take_turns,
)
from ringwatch.models.classifier import Classifier
from ringwatch.models.inputs import N_CHANNELS, network_input
from ringwatch.models.network import Network
from ringwatch.models.weight_files import SHIPPED, WeightsFile, read_weights

ONNX, TORCH, FLOOR = "ONNX", "torch", "floor"
_EDGE = 512  # pixels: the network sees patterns, whatever the frames were
_DISTINCT = 8
_PRODUCT = 1024  # edge of the matrices
_ASKED = "Nothing is asked of the network alone; end_to_end.py holds it to its share."

Patterns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""q, 1/Angstrom, intensity and sigma, (B, n) each; NaN where nothing was measured."""


def draw_patterns(count: int) -> Patterns:
    """Patterns as the agent reduces them; after the eighth they come again."""
    experiment = experiment_of(_EDGE)
    reduction = Reduction(binning_of(experiment))
    frames = draw_frames(experiment, min(count, _DISTINCT))
    drawn = [reduction.pattern(reduction.cake(f, look_again=False)) for f in frames]
    every = [drawn[row % len(drawn)] for row in range(count)]
    q, intensity, sigma = (
        np.stack([np.asarray(getattr(one, name), np.float64) for one in every])
        for name in ("q", "intensity", "sigma")
    )
    return q, intensity, sigma


def multiply_adds(weights: WeightsFile) -> int:
    """Multiply-adds of one pattern in the convolutions and dense layers.

    Counted while torch runs the networks over zeros, each as many times as the card
    asks for views.
    """
    counted: list[int] = []

    def count(layer: nn.Module, _: Any, out: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv1d | nn.Linear)
        # Each number of the output is a sum over the weights of its row.
        counted.append(out.numel() * layer.weight[0].numel())

    for config, _ in weights.members():
        network = Network(config).eval()
        for layer in network.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                layer.register_forward_hook(count)
        with torch.inference_mode():
            network(torch.zeros(1, N_CHANNELS, config.n_bins))
    return sum(counted) * int(weights.card.get("views", 1))


def measure(batches: Sequence[int], *, repeats: int = 25) -> list[dict[str, Any]]:
    """Both backends over patterns one at a time and together, in turns.

    Parameters
    ----------
    batches : sequence of int
        Patterns of a call.
    repeats : int
        Rounds.

    Returns
    -------
    list of dict
        One row a batch and way: milliseconds a pattern, ratios, equality of labels.
    """
    torch.set_num_threads(1)
    classifiers = {
        ONNX: Classifier.load(backend="onnx"),
        TORCH: Classifier.load(backend="torch", device="cpu"),
    }
    needed = multiply_adds(read_weights(SHIPPED))
    q, intensity, sigma = draw_patterns(max(batches))
    rows = []
    for batch in batches:
        patterns = q[:batch], intensity[:batch], sigma[:batch]
        taken = take_turns(_ways(classifiers, patterns), repeats)
        per_s = _PRODUCT**3 / statistics.median(taken.pop("product"))
        labels = [
            [each.predict(*one).label for one in zip(*patterns, strict=True)]
            for each in classifiers.values()
        ]
        same = sum(a == b for a, b in zip(*labels, strict=True)) / batch
        floor_ms = needed / per_s * 1e3
        found = [_row(way, taken, batch, floor_ms) for way in taken]
        last = {"way": FLOOR, "ms_a_pattern": floor_ms, "times_the_floor": 1.0}
        rows += [row | {"same_label": same} for row in found]
        rows.append(dict.fromkeys(rows[-1]) | {"batch": batch} | last)
    return [row | {"million_multiply_adds": needed / 1e6} for row in rows]


def _ways(
    classifiers: dict[str, Classifier], patterns: Patterns
) -> dict[str, Callable[[int], object]]:
    """What is timed, each called with the number of the round."""
    grid = classifiers[ONNX].grid
    x = np.stack(
        [network_input(*one, grid=grid) for one in zip(*patterns, strict=True)]
    )
    # One pattern goes as the agent sends it: (n,), not (1, n).
    sent = tuple(each[0] for each in patterns) if len(x) == 1 else patterns
    rng = np.random.default_rng(1)
    left, right = (rng.random((_PRODUCT, _PRODUCT), np.float32) for _ in range(2))
    out = np.empty_like(left)

    def predict(classifier: Classifier, _: int) -> object:
        return classifier.predict(*sent)

    def run(classifier: Classifier, _: int) -> object:
        return classifier.outputs(x)

    def product(_: int) -> object:
        return np.matmul(left, right, out=out)

    each = classifiers.items()
    return {
        **{f"{name}, predict": partial(predict, one) for name, one in each},
        **{f"{name}, network": partial(run, one) for name, one in each},
        "product": product,
    }


def _row(
    way: str, taken: dict[str, list[float]], batch: int, floor_ms: float
) -> dict[str, Any]:
    peer = f"{TORCH}, {way.rpartition(', ')[2]}"
    ms = median_ms(taken[way], batch)
    return {
        "batch": batch,
        "way": way,
        "ms_a_pattern": ms,
        "fastest_ms": min(taken[way]) / batch * 1e3,
        "faster_than_torch": ratio(taken[peer], taken[way]),
        "times_the_floor": ms / floor_ms,
    }


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.option("--batch", whole(1, 4096), [1, 16, 64], "patterns of a call")
    parser.option("--repeats", REPEATS, 25, "rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with steps("network", 1) as told:
        told.begin(f"both backends, {options.repeats} rounds")
        rows = measure(options.batch, repeats=options.repeats)
    if options.json:
        show_json(rows)
    else:
        show_table(rows, "The network, one thread", _ASKED)


if __name__ == "__main__":
    main()

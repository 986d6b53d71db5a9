"""Labels that the review queue saves: `python benchmarks/review_queue.py`.

In simulated beamtimes (seeded; see `labelled_beamtime`) somebody labels frames, all of
them rightly: five that `ringwatch.agent.labels.review` puts first, then the next five,
or any. After each label a head on the frozen embeddings learns from all so far
(multinomial logistic regression with a ridge, or the nearest mean), and is scored on
runs of the same beamtime that nobody could label. The curves are medians over
beamtimes, that of random order over several orders of each: accuracy over frames, and
over kinds of sample (each kind alike, so that the rare ones count). The table says how
many labels the queue needs for what random order reaches with 20 to 100.

The weights of the queue were chosen on beamtimes of other seeds, with one frame a run.

For example: `python benchmarks/review_queue.py --seeds 5 --plot curve.png --json`, or
`--runs 400 250 --frames 1`, where no frame is nearly another one's copy.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import COUNT, EDGE, Parser, end_in_one_line, steps

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy reads once.
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.labels.review import review
from ringwatch.benchmarks.embedding_heads import HEADS, Head
from ringwatch.benchmarks.labelled_beamtime import Frames, draw_beamtime
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.models.classifier import Classifier

__all__ = ["curves", "learn_by", "main", "saved"]

SEED = 20261123
SEEDS = 5
RUNS = 40, 25
FRAMES = 10
RANDOM_ORDERS = 5
AT_ONCE = 5
MOST = 100
ORDERS = "queue", "random"
ASKED = 0.5
_ASKED = "Asked: at most half the labels of random order."
_AT = 20, 40, 60, 80, 100

Order = Literal["queue", "random"]
Floats = NDArray[np.float64]


def learn_by(
    order: Order, head: str, choice: Frames, test: Frames, seed: int, most: int = MOST
) -> Floats:
    """Accuracy after each label: (2, most), over frames and over kinds.

    Parameters
    ----------
    order : {'queue', 'random'}
    head : str
        One of ``HEADS``.
    choice, test : Frames
        To choose from, and to score by.
    seed : int
        Of the random order.
    most : int
        Labels in the end.
    """
    shuffled = np.random.default_rng(seed).permutation(len(choice.truth))
    labelled = np.empty(0, np.int64)
    learnt: Head | None = None
    found = []
    while len(labelled) < min(most, len(choice.truth)):
        if order == "random":
            new = shuffled[len(labelled) :][:AT_ONCE]
        else:
            new = _head_of_queue(choice, labelled, learnt)
        for each in new:
            labelled = np.append(labelled, each)
            learnt = Head(head, choice.embedding[labelled], choice.truth[labelled])
            found.append(_score(learnt, test))
    return np.array(found[:most]).T


def _score(learnt: Head, test: Frames) -> tuple[float, float]:
    right = learnt.guess(test.embedding) == test.truth
    of_kind = [right[test.truth == kind].mean() for kind in np.unique(test.truth)]
    return float(right.mean()), float(np.mean(of_kind))


def curves(
    beamtimes: Sequence[tuple[Frames, Frames]], head: str, most: int = MOST
) -> dict[str, Floats]:
    """Accuracy of each beamtime after each label, (beamtimes, 2, most), by order.

    That of random order is the median of some orders.
    """
    by_queue = [learn_by("queue", head, *each, seed=0, most=most) for each in beamtimes]
    at_random = [
        np.median(
            [
                learn_by("random", head, *each, seed=SEED + i, most=most)
                for i in range(RANDOM_ORDERS)
            ],
            axis=0,
        )
        for each in beamtimes
    ]
    return {"queue": np.stack(by_queue), "random": np.stack(at_random)}


def saved(queue: Floats, random: Floats, at: int) -> tuple[float, int | None]:
    """What random order reaches with so many labels, and how many the queue needs.

    Parameters
    ----------
    queue, random : ndarray, (n,)
        Accuracy after each label.
    at : int
        Labels.

    Returns
    -------
    (float, int or None)
        Accuracy, the best so far; None where the queue never reaches it.
    """
    reached = float(random[:at].max())
    enough = np.flatnonzero(queue >= reached - 1e-9)
    return reached, int(enough[0] + 1) if len(enough) else None


def _head_of_queue(
    choice: Frames, labelled: NDArray[np.int64], learnt: Head | None
) -> NDArray[np.int64]:
    left = np.setdiff1d(np.arange(len(choice.truth)), labelled)
    x = choice.embedding[left]
    likely = choice.probabilities[left] if learnt is None else learnt.probabilities(x)
    picks = review(
        x,
        likely,
        choice.novelty[left],
        labelled=choice.embedding[labelled],
        most=AT_ONCE,
    )
    return left[[pick.place for pick in picks]]


def _rows(head: str, found: dict[str, Floats]) -> list[dict[str, Any]]:
    """A row for each question and number of labels."""
    rows = []
    for i, over in enumerate(("frames", "kinds")):
        middle = {order: np.median(found[order][:, i], axis=0) for order in ORDERS}
        for at in _AT:
            if at > len(middle["random"]):
                continue
            reached, needed = saved(middle["queue"], middle["random"], at)
            each = [
                saved(q, r, at)[1]
                for q, r in zip(
                    found["queue"][:, i], found["random"][:, i], strict=True
                )
            ]
            ratios = [np.inf if n is None else n / at for n in each]
            rows.append(
                {
                    "head": head,
                    "over": over,
                    "random_labels": at,
                    "random": reached,
                    "queue": float(middle["queue"][at - 1]),
                    "queue_labels": needed,
                    "ratio": None if needed is None else needed / at,
                    "worst": None if np.isinf(max(ratios)) else max(ratios),
                    "within_half": sum(ratio <= ASKED for ratio in ratios),
                    "of": len(ratios),
                }
            )
    return rows


def _draw(found: dict[str, Floats], path: Path) -> None:
    """Accuracy against labels: the median line, and all beamtimes between."""
    # Imported here: a table needs no figure.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for i, (axis, title) in enumerate(
        zip(axes, ("every frame alike", "every kind of sample alike"), strict=True)
    ):
        for order, colour in zip(ORDERS, ("#1b6ca8", "#b04a1c"), strict=True):
            values = found[order][:, i]
            labels = np.arange(1, values.shape[1] + 1)
            axis.plot(labels, np.median(values, axis=0), color=colour, label=order)
            axis.fill_between(
                labels, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15
            )
        axis.set(title=title, xlabel="labels")
    axes[0].set(ylabel="accuracy on other runs", ylim=(0, 1))
    axes[0].legend(loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or with --json the rows and curves."""
    parser = Parser(__doc__)
    parser.option("--seeds", COUNT, SEEDS, "beamtimes")
    parser.add_argument("--seed", type=int, default=SEED, help="of all that is drawn")
    parser.option("--runs", COUNT, list(RUNS), "runs to choose from, and to score on")
    parser.option("--frames", COUNT, FRAMES, "of each run")
    parser.option("--edge", EDGE, 512, "pixels of the detector")
    parser.option("--most", COUNT, MOST, "labels")
    parser.add_argument("--plot", type=Path, help="curves of the first head, as PNG")
    parser.add_argument("--json", action="store_true", help="print an object")
    asked = parser.parse_args(arguments)
    if len(asked.runs) != 2:
        parser.error("--runs takes two numbers: to choose from, and to score on")
    classifier = Classifier.load(backend="onnx")
    beamtimes = []
    with steps("review queue", asked.seeds) as told:
        for i in range(asked.seeds):
            told.begin(f"beamtime {i + 1}")
            runs, seed = tuple(asked.runs), asked.seed + i
            beamtimes.append(
                draw_beamtime(classifier, runs, asked.frames, seed, edge=asked.edge)
            )
    found = {head: curves(beamtimes, head, asked.most) for head in HEADS}
    rows = [row for head in HEADS for row in _rows(head, found[head])]
    if asked.plot:
        _draw(found[HEADS[0]], asked.plot)
    if asked.json:
        medians = {
            head: {order: np.median(of[order], axis=0).tolist() for order in ORDERS}
            for head, of in found.items()
        }
        show_json({"figures": rows, "curves": medians})
        return
    show_table(rows, "Labels that the review queue saves", _ASKED)


if __name__ == "__main__":
    main()

"""What a change of the recipe is worth: `python benchmarks/networks.py`.

Each variant trains for the same processor time from scratch, with its own learning-rate
schedule, and is scored on random crystals that nobody trained on and, where files are
named, on the development part ``choose`` of real structures and measured patterns.
One seed each: differences of a point are noise.

For example: `python benchmarks/networks.py --only transformer convnext --minutes 2`, or
with `--structures S.parquet --patterns P.parquet`.
"""

from __future__ import annotations

from ringwatch.benchmarks.command import Number, Parser, end_in_one_line, steps

if __name__ == "__main__":
    end_in_one_line()

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import ringwatch.models
from ringwatch.models.architecture import Stage
from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.crystals.prototype_sources import (
    aflow_prototypes,
    training_prototypes,
)
from ringwatch.models.evaluation.datasets import Facts
from ringwatch.models.evaluation.scoring import InputSet, evaluation_sets, quick_scores
from ringwatch.models.network import Network
from ringwatch.models.training.recipe import Recipe, read_recipe
from ringwatch.models.training.trainer import Trainer

RECIPE = Path(next(iter(ringwatch.models.__path__))) / "recipes" / "second.toml"
COMMON = {"hours": 1.0, "samples": 0, "warm_up": 0.05, "decay": 0.95}

Change = Mapping[str, Mapping[str, Any]]

_STEM = (Stage(32, 15, 4, 0), Stage(64, 7, 4, 1))
VARIANTS: dict[str, Change] = {
    "second": {},
    # the dense head, and what it is made from
    "no head blocks": {"network": {"head_blocks": 0}},
    "first network": {
        "network": {
            "head_blocks": 0,
            "hidden": 512,
            "stages": (
                *_STEM,
                Stage(96, 5, 2, 1),
                Stage(128, 5, 2, 1),
                Stage(192, 5, 1, 0),
            ),
        }
    },
    # the families; a ResNet-10 after Schopmans et al. (2023), with our flattened head
    "resnet10": {
        "network": {
            "block_kernel": 3,
            "hidden": 512,
            "head_blocks": 0,
            "stages": (
                Stage(64, 7, 4, 1),
                Stage(128, 3, 2, 1),
                Stage(256, 3, 2, 1),
                Stage(512, 3, 2, 1),
                Stage(64, 1, 1, 0),
            ),
        }
    },
    "convnext": {
        "network": {
            "family": "convnext",
            "block_kernel": 7,
            "stages": (Stage(32, 1, 8, 1), Stage(96, 1, 4, 2), Stage(128, 1, 2, 2)),
        }
    },
    "transformer": {
        "network": {"family": "transformer", "stages": (Stage(128, 1, 64, 3),)}
    },
    # the grid
    "4096 bins": {
        "network": {
            "n_bins": 4096,
            "stages": (
                Stage(32, 31, 8, 0),
                Stage(64, 7, 4, 1),
                Stage(96, 5, 2, 1),
                Stage(128, 5, 2, 1),
                Stage(96, 5, 1, 0),
            ),
        }
    },
    # the crystals
    "no prototypes": {"crystals": {"prototype_share": 0.0}},
    "30 % prototypes": {"crystals": {"prototype_share": 0.3}},
    "90 % prototypes": {"crystals": {"prototype_share": 0.9}},
    "natural classes": {"crystals": {"class_balance": 0.0}},
    "balanced classes": {"crystals": {"class_balance": 1.0}},
    # the loss
    "class loss alone": {"training": {"group_loss": 0.0, "system_loss": 0.0}},
    "with lattice loss": {"training": {"lattice_loss": 0.3}},
    "twice the rate": {"training": {"learning_rate": 4e-3}},
    "half the rate": {"training": {"learning_rate": 1e-3}},
}


def varied(recipe: Recipe, change: Change, minutes: float) -> Recipe:
    """Apply a variant and the common short schedule to a recipe."""
    budget: dict[str, Any] = {**COMMON, "hours": minutes / 60, "clean_until": 1.0}
    return dataclasses.replace(
        recipe,
        crystals=dataclasses.replace(recipe.crystals, **change.get("crystals", {})),
        network=dataclasses.replace(recipe.network, **change.get("network", {})),
        training=dataclasses.replace(
            recipe.training, **budget, **change.get("training", {})
        ),
    )


def random_sets(trainer: Trainer, count: int) -> dict[str, InputSet]:
    """Random crystals of one seed for all variants, clean and disturbed."""
    peaks = CrystalGenerator(seed=987_654_321, class_balance=0.5).peaks(0, count)
    alone = tuple(Facts(cluster=str(i)) for i in range(count))
    return {
        name: InputSet(
            trainer.disturbances.patterns(peaks, 0, clean), peaks.space_group, alone
        )
        for name, clean in (("random, clean", 1.0), ("random, disturbed", 0.0))
    }


def run(name: str, recipe: Recipe, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one variant and score it."""
    pool = None
    if recipe.crystals.prototype_share:
        source = arguments.structures
        pool = training_prototypes(source) if source else aflow_prototypes()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            recipe, Path(folder), prototypes=pool, clock=time.process_time
        )
        while trainer.progress < 1:
            trainer.step()
    sets = random_sets(trainer, 2048)
    if arguments.structures or arguments.patterns:
        sets |= evaluation_sets(
            arguments.structures, arguments.patterns, grid=recipe.grid
        )
    network = trainer.averaged_network()
    weights = sum(p.numel() for p in network.parameters())
    found = quick_scores(
        lambda x: logits(network, x),
        sets,
        training_prior=trainer.crystals.space_group_prior,
    )
    scores = {
        key: {
            "top1": round(s.class_top1.percent, 1),
            "top5": round(s.class_top5.percent, 1),
            "nll": round(s.nll, 3),
        }
        for key, s in found.items()
    }
    return {"name": name, "weights": weights, "samples": trainer.samples, **scores}


@torch.no_grad()
def logits(network: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a network on the CPU."""
    found: NDArray[np.float32] = network(torch.from_numpy(x)).numpy()
    return found


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table: class top 1 / top 5 in percent, and the loss in nats."""
    keys = [key for key in rows[0] if isinstance(rows[0][key], dict)]
    table = Table("variant", "weights", "samples", *keys, box=SIMPLE)
    for row in rows:
        cells = ["{top1} / {top5}  {nll}".format(**row[key]) for key in keys]
        weights, samples = f"{row['weights'] / 1e6:.1f} M", f"{row['samples']:,}"
        table.add_row(row["name"], weights, samples, *cells)
    Console(width=160).print(table)


def main() -> None:
    """Train and score the variants one after the other."""
    parser = Parser(__doc__)
    minutes = Number(least=0.01, most=10_000)
    parser.option("--minutes", minutes, 8.0, "of each variant")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--structures", type=Path)
    parser.add_argument("--patterns", type=Path)
    parser.add_argument("--json", type=Path, help="append one line a variant")
    arguments = parser.parse_args()
    recipe = read_recipe(RECIPE)
    rows = []
    with steps("networks", len(arguments.only)) as told:
        for name in arguments.only:
            told.begin(name)
            changed = varied(recipe, VARIANTS[name], arguments.minutes)
            rows.append(run(name, changed, arguments))
            if arguments.json:
                with arguments.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
            show(rows[-1:])
    show(rows)


if __name__ == "__main__":
    main()

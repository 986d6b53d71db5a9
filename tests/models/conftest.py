"""Tables that evaluation reads, made by hand, and a network that learned nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ringwatch.models.architecture import NetworkConfig, Stage
from ringwatch.models.crystals import natural_prior, training_prior
from ringwatch.models.network import Network
from ringwatch.models.training.recipe import Recipe
from ringwatch.models.weight_files import WeightsFile, write_weights

CONFIG = NetworkConfig(
    stages=(Stage(8, 7, 8, 1), Stage(16, 5, 4, 0)), hidden=32, n_bins=512
)


@pytest.fixture(scope="session")
def structure_row():
    """Make a row of NiAl, changed as asked for."""

    def make(**change):
        row = {
            "space_group": 221,
            "a": 2.88,
            "b": 2.88,
            "c": 2.88,
            "alpha": 90.0,
            "beta": 90.0,
            "gamma": 90.0,
            "site_element": ["Ni", "Al"],
            "site_occ": [1.0, 1.0],
            "site_frac": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5],
        }
        return {**row, **change}

    return make


@pytest.fixture(scope="session")
def pattern_row():
    """Make a row of one line at 44.36 degrees, changed as asked for."""

    def make(**change):
        two_theta = np.arange(10, 90, 0.05)
        y = np.exp(-(((two_theta - 44.36) / 0.1) ** 2)) + 0.01
        row = {
            "x": two_theta.tolist(),
            "intensity": y.tolist(),
            "x_unit": "2theta_deg",
            "wavelength_A": "1.5406+1.5444",
            "space_group": 221.0,
            "usable_for_sg_scoring": 1,
        }
        return {**row, **change}

    return make


@pytest.fixture(scope="session")
def write_table():
    """Write rows to a Parquet file and give its path."""

    def write(path, rows):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A small network that learned nothing."""
    torch.manual_seed(0)
    tensors = {n: v.numpy() for n, v in Network(CONFIG).learned().items()}
    tensors["prior.training"] = training_prior(0.5)[1:].astype(np.float32)
    tensors["prior.natural"] = natural_prior()[1:].astype(np.float32)
    recipe = Recipe(network=CONFIG)
    card = {
        "network": CONFIG.to_dict(),
        "training": {
            "samples": 10,
            "seconds": 60.0,
            "recipe": recipe.to_dict(),
            "identity": recipe.identity,
        },
        "temperature": 1.0,
        "coverage": {"stated": 0.9, "threshold": 0.9},
        "unsure_below": 0.5,
        "scores": {},
    }
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(path, WeightsFile(tensors, card))
    return path


@pytest.fixture(scope="session")
def small_tables(tmp_path_factory, structure_row, pattern_row, write_table):
    """Eight structures of four types and six patterns of three groups."""
    folder = tmp_path_factory.mktemp("tables")
    structures = [
        structure_row(
            a=3 + 0.2 * k,
            b=3 + 0.2 * k,
            c=(3 + 0.2 * k) * (1.2 if k % 4 == 3 else 1),
            space_group=(225, 221, 225, 123)[k % 4],
            structure_type=f"type {k // 2}",
            formula=f"X{k}",
        )
        for k in range(8)
    ]
    patterns = [pattern_row(group=f"g{k // 2}") for k in range(6)]
    patterns.append(pattern_row(x_unit="tof", group="g0"))
    return (
        write_table(folder / "structures.parquet", structures),
        write_table(folder / "patterns.parquet", patterns),
    )

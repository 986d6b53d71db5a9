"""Recipes that cannot be: one line that names table, key, value and expectation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ringwatch.models
from ringwatch.models.training.recipe import (
    Recipe,
    RecipeError,
    parse_recipe,
    read_recipe,
)

RECIPES = Path(ringwatch.models.__path__[0]) / "recipes"
STAGE = "[[network.stages]]\nchannels = 8\nkernel = 7\nstride = 16\nblocks = 0\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nlearning_rate = -1\n", "[training] learning_rate = -1: must be"),
        (
            '[training]\nlearning_rate = "fast"\n',
            "[training] learning_rate = 'fast': one number is needed",
        ),
        ("[training]\nlearning_rate = nan\n", "[training] learning_rate = nan: one"),
        ("[training]\nsamples = 1.5\n", "[training] samples = 1.5: a whole number"),
        ("[training]\nbatch = true\n", "[training] batch = True: a whole number"),
        ("[training]\nbatch = 0\n", "[training] batch = 0: must be positive"),
        ("[training]\nweight_decay = -1\n", "[training] weight_decay = -1: must not"),
        ("[training]\naverage = 1\n", "[training] average = 1: must lie in 0..1"),
        ("[training]\nwarm_up = 0.2\n", "[training] decay = 0.94: must not exceed"),
        (
            '[training]\nclean_share = ["a", 1]\n',
            "[training] clean_share = ['a', 1]: a pair of numbers is needed",
        ),
        ("[training]\nepochs = 3\n", "[training] epochs: unknown key; known: hours, "),
        ("[crystals]\njoint = 2\n", "[crystals] joint = 2: a share is in 0..1"),
        ("[crystals]\nseed = -2\n", "[crystals] seed = -2: must lie in 0..2^63 - 1"),
        ("[crystals]\nseed = [1]\n", "[crystals] seed = [1]: a whole number"),
        ("crystals = 3\n", "[crystals] = 3: a table of settings is needed"),
        ("network = 0\n", "[network] = 0: a table of settings is needed"),
        ("[disturbances]\nstrain = 'x'\n", "[disturbances] strain = 'x': one number"),
        (
            "[disturbances]\nwidth = [2.0, 1.0]\n",
            "[disturbances] width = (2.0, 1.0): 0 <= low <= high",
        ),
        (f"[network]\nq_min = 7\n{STAGE}", "[network] q_min = 7: 0 < q_min < q_max"),
        (f"[network]\nn_bins = 100\n{STAGE}", "[network] n_bins = 100 must divide"),
        (f"[network]\nn_bins = 0\n{STAGE}", "[network] n_bins = 0: must be 16 or"),
        (f"[network]\nblock_kernel = 4\n{STAGE}", "[network] block_kernel = 4: must"),
        (f"[network]\nfamily = 'x'\n{STAGE}", "[network] family = 'x': one of ("),
        (f"[network]\nfamily = []\n{STAGE}", "[network] family = []: one of ("),
        (f"[network]\nwidth = 1\n{STAGE}", "[network] width: unknown key; known: sta"),
        ("[network]\nstages = 3\n", "[network] stages = 3: one [[network.stages]]"),
        ("[network]\nstages = [3]\n", "[network.stages 1] = 3: a table of settings"),
        (
            STAGE.replace("kernel = 7", "kernel = 6"),
            "[network.stages 1] kernel = 6: must be odd",
        ),
        (
            STAGE.replace("stride = 16\n", ""),
            "[network.stages 1] stride: missing; a whole number is needed",
        ),
        (
            STAGE.replace("stride = 16", "stride = 0"),
            "[network.stages 1] stride = 0: must be 1 or more",
        ),
    ],
)
def test_a_bad_value_is_named_in_one_line(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {words}")
    assert "\n" not in message
    assert "__init__" not in message


def test_a_recipe_is_the_same_after_json_and_keeps_its_identity():
    second = read_recipe(RECIPES / "second.toml")
    again = parse_recipe(json.loads(json.dumps(second.to_dict())))
    assert again == second
    assert again.identity == second.identity == "7a2a33026ea77be3"


def test_defaults_fill_in(tmp_path):
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert read_recipe(empty) == Recipe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training\n", "no TOML"),
        ("[trainings]\nhours = 1\n", "unknown tables"),
        ("[training]\nepochs = 3\n", "epochs"),
        ("[training]\nhours = -1\n", "must be positive"),
        ("[training]\nclean_share = 0.5\n", "two shares"),
        ("[training]\nclean_share = [1.0, 3.0]\n", "two shares"),
        ("[disturbances]\nwidth = [2.0, 1.0]\n", "width"),
        ("[disturbances]\nimpurity_height = 0.1\n", "a pair"),
        ("[disturbances]\nwidth = [0.1, 0.2, 0.3]\n", "a pair"),
        ("[disturbances]\nstrain = [0.1, 0.2]\n", "one number"),
        ("[network]\nhidden = 3\n", "stages"),
    ],
)
def test_bad_recipes_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        read_recipe(path)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml"):
        read_recipe(tmp_path / "none.toml")

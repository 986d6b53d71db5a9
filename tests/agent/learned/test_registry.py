"""Heads on disk: in shadow, in force, back; and files that are not what they say."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.head_file import read_head, write_head
from ringwatch.agent.learned.registry import Registry
from ringwatch.models.class_heads import ClassHead

from .taught_heads import Q, ceo2_flag, rings


def test_a_head_goes_from_shadow_to_force_and_back(tmp_path: Path) -> None:
    head, card = ceo2_flag()
    registry = Registry(tmp_path / "heads")
    assert registry.heads().identity == ""
    first = registry.shadow("ceria", head, card, "ada")
    assert [h.digest for h in registry.heads().shadow] == [first.digest]
    in_shadow = registry.heads().identity
    registry.promote("ceria", "bob", although_unsure=True)
    assert [h.digest for h in registry.heads().force] == [first.digest]
    assert registry.heads().shadow == ()
    assert registry.heads().identity not in {"", in_shadow}
    second = registry.shadow("ceria", head, card | {"by": "eve"}, "eve")
    registry.promote("ceria", "eve", although_unsure=True)
    assert registry.heads().force[0].digest == second.digest != first.digest
    assert registry.roll_back("ceria", "ada") == first.digest
    assert registry.heads().force[0].digest == first.digest
    assert registry.roll_back("ceria", "ada") == ""
    assert registry.heads().identity == ""
    taken = [(step.by, step.step) for step in registry.steps()]
    assert taken == [
        ("ada", "shadow"), ("bob", "promote"), ("eve", "shadow"), ("eve", "promote"),
        ("ada", "roll_back"), ("ada", "roll_back"),
    ]  # fmt: skip
    with pytest.raises(LearnedError, match="nothing to roll back"):
        registry.roll_back("ceria", "ada")


def test_a_file_gives_the_same_scores_and_its_hash_is_its_name(tmp_path: Path) -> None:
    head, card = ceo2_flag()
    kept = write_head(tmp_path, "ceria", head, card)
    again = write_head(tmp_path, "ceria", head, card)
    assert kept.digest == again.digest
    assert len(list(tmp_path.iterdir())) == 1
    read = read_head(tmp_path, kept.digest)
    pattern = (20.0 + 300 * rings([2.0, 3.0]))[None]
    assert read.model.score(Q, pattern) == head.score(Q, pattern)  # type: ignore[union-attr]
    assert read.card["recall_added"] == card["recall_added"]


def test_without_a_measured_rate_nothing_is_switched_on(tmp_path: Path) -> None:
    head, card = ceo2_flag()
    registry = Registry(tmp_path)
    unmeasured = {k: v for k, v in card.items() if k != "false_alarms"}
    registry.shadow("ceria", head, unmeasured, "ada")
    with pytest.raises(LearnedError, match="never measured"):
        registry.promote("ceria", "ada")
    often = {"frames": 3600, "hours": 0.1, "alarms": 2, "per_hour": 20.0}
    registry.shadow("ceria", head, card | {"false_alarms": often}, "ada")
    with pytest.raises(LearnedError, match="20 an hour"):
        registry.promote("ceria", "ada")
    assert registry.heads().force == ()


def test_what_was_hardly_measured_is_switched_on_only_knowingly(tmp_path: Path) -> None:
    head, card = ceo2_flag()
    registry = Registry(tmp_path)
    registry.shadow("ceria", head, card, "ada")  # no alarm in five seconds of frames
    with pytest.raises(LearnedError, match="--although-unsure"):
        registry.promote("ceria", "ada")
    assert registry.heads().force == ()
    registry.promote("ceria", "ada", although_unsure=True)
    assert registry.steps()[-1].although_unsure
    counts = {"frames": 36_000, "hours": 1.0, "alarms": 0, "per_hour": 0.0}
    registry.shadow(
        "ceria", head, card | {"false_alarms": counts | {"upper_95": 3.0}}, "ada"
    )
    registry.promote("ceria", "ada", although_unsure=True)
    assert not registry.steps()[-1].although_unsure  # it was not needed


@pytest.mark.parametrize("left", [10, 1])
def test_a_torn_step_costs_no_other(
    tmp_path: Path, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path)
    first = registry.shadow("ceria", *ceo2_flag(), "ada")
    path = tmp_path / "steps.jsonl"
    with path.open("ab") as file:
        file.write(path.read_bytes()[:-left])  # killed within the write
    whole = 1 if left > 1 else 2
    assert len(registry.steps()) == whole
    assert ("is torn" in caplog.text) is (whole == 1)
    registry.promote("ceria", "bob", although_unsure=True)
    assert [step.step for step in registry.steps()][whole:] == ["promote"]
    assert registry.heads().force[0].digest == first.digest


def test_only_one_of_many_promotes_a_head(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.shadow("ceria", *ceo2_flag(), "ada")

    def promote(_: int) -> bool:
        try:
            Registry(tmp_path).promote("ceria", "bob", although_unsure=True)
        except LearnedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(promote, range(8))) == 1


def test_a_changed_or_foreign_file_is_refused(tmp_path: Path) -> None:
    head, card = ceo2_flag()
    registry = Registry(tmp_path)
    kept = registry.shadow("ceria", head, card, "ada")
    path = tmp_path / f"{kept.digest}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LearnedError, match="was changed"):
        registry.heads()
    path.unlink()
    with pytest.raises(LearnedError, match="no head at"):
        registry.heads()
    with pytest.raises(LearnedError, match="no SHA-256"):
        read_head(tmp_path, "../../etc/passwd")


@pytest.mark.parametrize("name", ["", "Ceria", "a b", "x" * 41, "../x", "9lives"])
def test_names_become_fields(tmp_path: Path, name: str) -> None:
    with pytest.raises(LearnedError, match="is no name"):
        Registry(tmp_path).shadow(name, *ceo2_flag(), "ada")


def test_steps_that_are_none_are_told(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    (tmp_path / "steps.jsonl").write_text(json.dumps({"time": 1.0}) + "\n")
    with pytest.raises(LearnedError, match="no step"):
        registry.steps()
    with pytest.raises(LearnedError, match="no name"):
        registry.shadow("ceria", *ceo2_flag(), "")


def test_classes_of_another_network_are_not_asked(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(10, 64)) / 8.0
    head = ClassHead.fit(x, ["hydrate"] * 10)
    card = {"model_hash": "one", **ceo2_flag()[1]}
    registry = Registry(tmp_path)
    registry.shadow("phases", head, card, "ada")
    registry.promote("phases", "ada", although_unsure=True)
    heads = registry.heads()
    assert heads.fields == {
        "taught": str,
        "taught_class": str,
        "taught_class_distance": float,
    }
    said = heads.judge(None, x[0], "one")
    assert said["taught_class"] == "hydrate"
    assert heads.judge(None, x[0], "another")["taught_class"] == ""
    assert heads.judge(None, x[0] + 3.0, "one")["taught_class"] == ""

"""Labels and stores for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.labels import Label, LabelStore

SAID = {
    "verdict": "good",
    "primary_flag": "",
    "label": "F---",
    "label_prob": 0.75,
    "analysis_id": "0" * 32,
    "model_hash": "abc",
}

Makes = Callable[..., LabelStore]


def label(index: int = 0, by: str = "ada", says: str = "correct", **more: Any) -> Label:
    """What ada says of a frame of run-1."""
    frame = {"run_uid": "run-1", "stream": "primary", "data_key": "det"}
    return Label(**(frame | SAID | {"index": index, "by": by, "says": says} | more))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of the files of labels."""
    return tmp_path / "labels"


@pytest.fixture
def container(request: pytest.FixtureRequest) -> str:
    """A container of its own for each test on the shared server."""
    return "labels-" + request.node.name.replace("[", "-").replace("]", "")


@pytest.fixture
def make_store(server: EmbeddedTiled, folder: Path, container: str) -> Iterator[Makes]:
    """Makes stores that deliver to the shared server; closed in the end."""
    made: list[LabelStore] = []

    def store(place: Path = folder, **options: Any) -> LabelStore:
        given = {"tiled": server.uri, "api_key": server.api_key, "container": container}
        made.append(LabelStore(place, **(given | options)))
        return made[-1]

    yield store
    for each in made:
        each.close(0.1)

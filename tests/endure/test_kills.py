"""The agent as a service: killed at any moment, it loses and doubles nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .conftest import FULL
from .service import Service, complete, finals, publisher, wait

FRAMES = 400 if FULL else 60
KILLS = 20 if FULL else 2
STEP_S = 0.005  # from document to document


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A Tiled server that holds a raw run, and its documents as they went by."""
    folder = tmp_path_factory.mktemp("run")
    beamline = powder_beamline(folder, detector=128, exposure_time=1e-3)
    documents: list[NamedDocument] = []
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        engine = RunEngine({})
        engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1000))
        engine.subscribe(lambda name, doc: documents.append((name, doc)))
        engine(beamline.step_scan(FRAMES))
        given = {"poni": str(beamline.poni_path), "mask": str(beamline.mask_path)}
        yield {
            "tiled": tiled,
            "folder": folder,
            "documents": documents,
            "given": given,
        }


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    stored: dict[str, Any], tmp_path: Path, seed: int, figure: Callable[..., None]
) -> None:
    rng = random.Random(seed)
    tiled, documents = stored["tiled"], stored["documents"]
    uid, container = documents[0][1]["uid"], f"killed{seed}"
    given = stored["given"] | {"tiled_container": container}
    service = Service(tmp_path, tiled, **given)
    service.begin()
    moment = rng.randrange(5, len(documents) - 5)
    with publisher(service.port) as publish:
        for step, (name, doc) in enumerate(documents):
            publish(name, doc)
            time.sleep(STEP_S)
            if step == moment:
                service.kill()
                service.begin()
        wait(complete, tiled, container, uid)
    assert service.end() == 0
    final = finals(tiled, container, uid)
    lost, doubled = FRAMES - len(final), final.total() - len(final)
    at = f"kill -9 at document {moment} of {len(documents)}"
    figure(f"{at}: frames lost, doubled", f"{lost}, {doubled}", "0, 0")
    assert final == dict.fromkeys(range(FRAMES), 1)


def test_runs_that_went_by_while_it_was_down_are_caught_up(
    stored: dict[str, Any], tmp_path: Path
) -> None:
    tiled, container = stored["tiled"], "missed"
    service = Service(tmp_path, tiled, **stored["given"], tiled_container=container)
    service.begin()
    assert service.end() == 0
    beamline = powder_beamline(stored["folder"] / "second", detector=128)
    engine = RunEngine({})
    engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1000))
    (uid,) = engine(beamline.step_scan(5))
    service.begin()
    wait(complete, tiled, container, uid)
    assert service.end() == 0
    assert finals(tiled, container, uid) == dict.fromkeys(range(5), 1)
    first = stored["documents"][0][1]["uid"]  # it was there before any agent was
    assert not complete(tiled, container, first)

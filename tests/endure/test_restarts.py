"""The service killed or told to end in a run that goes on and is stored in part."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from tiled.queries import Key

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .conftest import FULL
from .service import Service, complete, finals, publisher, wait

FRAMES = 12
STEP_S = 0.05  # from document to document
MOMENTS = {"early": 0.0, "halfway": 0.5}
CASES = [
    (how, back, moment)
    for how in ("kill", "end")
    for back in ("at once", "when the run is over")
    for moment in MOMENTS
]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Documents of a run, settings for its frames, and a Tiled server without it."""
    folder = tmp_path_factory.mktemp("scan")
    beamline = powder_beamline(folder, detector=128, exposure_time=1e-3)
    documents: list[NamedDocument] = []
    engine = RunEngine({})
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(beamline.step_scan(FRAMES))
    given = {"poni": str(beamline.poni_path), "mask": str(beamline.mask_path)}
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        yield {"tiled": tiled, "documents": documents, "given": given}


def stop_service(service: Service, how: str) -> None:
    if how == "kill":
        service.kill()
    else:
        assert service.end() == 0


def told(run: Any) -> dict[str, int]:
    """Frames announced and final, as the stop document says."""
    stop = run.metadata["stop"]
    assert sum(stop["verdicts"].values()) == FRAMES
    return dict(stop["frames"])


def counted(service: Service) -> tuple[int, int]:
    """Frames with a final verdict and frames announced, as it says at its end."""
    (told,) = re.findall(r"(\d+) of (\d+) frames", service.log.read_text())[-1:]
    return int(told[0]), int(told[1])


@pytest.mark.parametrize(
    ("how", "back", "moment"),
    CASES if FULL else [CASES[1], CASES[2], CASES[5]],
)
def test_each_frame_has_one_final_verdict(
    scan: dict[str, Any], tmp_path: Path, how: str, back: str, moment: str
) -> None:
    tiled = scan["tiled"]
    # A catalogue of its own, for the same documents are stored for each case.
    raw, container = (f"{n}_{how}_{back[3:6]}_{moment}" for n in ("raw", "analysis"))
    given = scan["given"] | {"tiled_container": container, "raw_container": raw}
    documents = scan["documents"]
    uid = documents[0][1]["uid"]
    events = [n for n, (name, _) in enumerate(documents) if name == "event"]
    last = events[int(MOMENTS[moment] * FRAMES)] - 2 * (moment == "early")
    writer = TiledWriter(tiled.catalog(raw), batch_size=1)
    service = Service(tmp_path, tiled, **given)
    service.begin()
    with publisher(service.port) as publish:
        for step, (name, doc) in enumerate(documents):
            writer(name, doc)
            publish(name, doc)
            time.sleep(STEP_S)
            if step == last:
                time.sleep(1.0)  # some verdicts are out
                stop_service(service, how)
                if back == "at once":
                    service.begin()
        if back != "at once":
            service.begin()
        wait(complete, tiled, container, uid)
    assert service.end() == 0
    assert finals(tiled, container, uid) == dict.fromkeys(range(FRAMES), 1)
    runs = list(tiled.client()[container].search(Key("raw_uid") == uid).values())
    assert [run.metadata["start"]["attempt"] for run in runs] == [1]
    assert told(runs[0]) == {"announced": FRAMES, "final": FRAMES}
    done, announced = counted(service)
    assert done <= announced


def test_told_to_end_before_it_has_caught_up(
    scan: dict[str, Any], tmp_path: Path
) -> None:
    """What is missed stays noted until it is through, however often it ends."""
    tiled, container = scan["tiled"], "caught_up"
    given = scan["given"] | {"tiled_container": container, "raw_container": "caught"}
    service = Service(tmp_path, tiled, **given)
    service.begin()
    assert service.end() == 0
    writer = TiledWriter(tiled.catalog("caught"), batch_size=1)
    for name, doc in scan["documents"]:
        writer(name, doc if name != "start" else {**doc, "time": time.time()})
    for _ in range(2):
        service.begin()
        assert service.end() == 0
    service.begin()
    uid = scan["documents"][0][1]["uid"]
    wait(complete, tiled, container, uid)
    assert service.end() == 0
    assert finals(tiled, container, uid) == dict.fromkeys(range(FRAMES), 1)

"""``ringwatch serve`` comes in the middle of a run: live verdicts all the same."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.plans.publisher import DocumentPublisher
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .derived_documents import wait_until
from .service import Service

FRAMES = 8


class Heard:
    """Verdicts that went out: what was said of each frame, and how often for good."""

    def __init__(self) -> None:
        self.provisional: set[int] = set()
        self.final: Counter[int] = Counter()
        self.runs: dict[str, str] = {}  # derived to raw
        self.stopped: list[str] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self.runs[doc["uid"]] = doc["raw_uid"]
        elif name == "stop":
            self.stopped.append(self.runs[doc["run_start"]])
        elif name == "event":
            data = doc["data"]
            if data["final"]:
                self.final[data["raw_index"]] += 1
            else:
                self.provisional.add(data["raw_index"])


def test_a_run_under_way_is_followed(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    documents: list[NamedDocument] = []
    engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(beamline.step_scan(2))
    crashed = documents[:-1]  # a run whose RunEngine never stopped it
    documents.clear()
    (uid,) = engine(beamline.step_scan(FRAMES))
    events = [n for n, (name, _) in enumerate(documents) if name == "event"]
    half = events[FRAMES // 2]
    config = tmp_path / "agent.toml"
    heard = Heard()
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        writer = TiledWriter(tiled.catalog("raw"), batch_size=1)
        for name, doc in (*documents[:half], *crashed):  # nobody listens yet
            writer(name, doc)
        config.write_text(
            f'poni = "{beamline.poni_path}"\n'
            f'mask = "{beamline.mask_path}"\n'
            'classifier = "none"\n'
            'documents = ["tcp://127.0.0.1:0"]\n'
            "documents_bind = true\n"
            'publish = "tcp://127.0.0.1:0"\n'
            f'tiled = "{tiled.uri}"\n'
            f'state = "{tmp_path}/state"\n'
        )
        with Service(config, TILED_API_KEY=tiled.api_key) as service:
            listening = ZmqSource(service.address("verdicts"), heard)
            publish = DocumentPublisher(service.address("documents"))
            with listening, closing(publish):
                assert listening.wait_connected(10)
                for name, doc in documents[half:-1]:
                    writer(name, doc)
                    publish(name, doc)
                # What was before it came, and what comes now; not said for good yet.
                assert wait_until(lambda: len(heard.provisional) == FRAMES, 90), (
                    service.log
                )
                assert not heard.final
                writer(*documents[-1])
                publish(*documents[-1])
                assert wait_until(lambda: heard.stopped == [uid], 60), service.log
                assert heard.final == Counter(range(FRAMES))
                assert set(heard.runs.values()) == {uid}
            assert service.end() == 0
        assert f"{FRAMES} of {FRAMES} frames have their final verdict" in service.log

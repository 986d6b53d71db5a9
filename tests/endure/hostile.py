"""A real agent that takes hostile things, and a good run of which they are made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.scenarios import powder_beamline

FRAMES, MOST_BYTES = 3, 1 << 24
SHAPE = (256, 256)
Change = Callable[[str, dict[str, Any]], Any]


class Watch:
    """An agent, and a good run of which hostile ones are made."""

    def __init__(self, folder: Path) -> None:
        self.outside, self.folder = folder / "outside", folder / "data"
        self.outside.mkdir()
        beamline = powder_beamline(self.folder, detector=SHAPE[0])
        self.good_run: list[NamedDocument] = []
        engine = RunEngine({})
        engine.subscribe(lambda name, doc: self.good_run.append((name, doc)))
        engine(beamline.step_scan(FRAMES))
        self.sink = MemorySink()
        self.agent = Agent(
            poni=beamline.poni_path,
            mask=beamline.mask_path,
            classifier="none",
            sinks=(self.sink,),
            data_roots=(self.folder,),
            max_frame_bytes=MOST_BYTES,
            read_timeout_s=0.0,
        )
        self._numbers = itertools.count()

    def again(self) -> list[NamedDocument]:
        """The good run with uids of its own."""
        told = [
            d["uid"] for n, d in self.good_run if n not in ("event", "stream_datum")
        ]
        number = next(self._numbers)

        def renamed(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: renamed(inner) for key, inner in value.items()}
            if isinstance(value, str):
                for uid in told:
                    value = value.replace(uid, f"{uid}-{number}")
            return value

        return [(name, renamed(doc)) for name, doc in self.good_run]

    def take(self, documents: list[NamedDocument]) -> list[dict[str, Any]]:
        """Verdicts that come of some documents."""
        before = len(self.sink.documents)
        for name, doc in documents:
            self.agent(name, doc)
        assert self.agent.wait_idle(60)
        new = self.sink.documents[before:]
        return [doc["data"] for name, doc in new if name == "event"]

    def changed(self, change: Change) -> list[NamedDocument]:
        """A run, of which ``change`` gives each document, or several."""
        documents: list[NamedDocument] = []
        for name, doc in self.again():
            changed = change(name, dict(doc))
            documents += changed if isinstance(changed, list) else [(name, changed)]
        return documents

    def take_changed(self, change: Change) -> list[dict[str, Any]]:
        """Verdicts that come of such a run."""
        return self.take(self.changed(change))

    def final_words(self, uid: str) -> list[str]:
        """Words of the final verdicts so far of some raw run."""
        told = list(self.sink.documents)
        runs = {d["uid"] for n, d in told if n == "start" and d["raw_uid"] == uid}
        streams = {
            d["uid"] for n, d in told if n == "descriptor" and d["run_start"] in runs
        }
        verdicts = [
            doc["data"]
            for name, doc in told
            if name == "event" and doc["descriptor"] in streams
        ]
        return [v["verdict"] for v in verdicts if v["final"]]

    def still_works(self) -> None:
        """The next good run gets its verdicts."""
        found = self.take(self.again())
        assert [v["verdict"] for v in found] == ["good"] * FRAMES, found
        assert all(v["final"] for v in found)


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """An agent that has judged a good run, and goes down in good order."""
    made = Watch(folder)
    made.still_works()
    yield made
    assert made.agent.close()

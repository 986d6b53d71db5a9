"""Tiled as live source beside odd runs, and beside documents that come otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sources.tiled_live import TiledSource
from ringwatch.agent.tiled_client import RUN_SPEC

from .derived_documents import wait_until

ODD_STARTS: list[Any] = [None, {}, {"time": 1.0}, {"uid": 3, "time": "now"}, [1], "x"]
ODD_UIDS = ["abc", "_____", "%%%%%%", "", "a/b/c", "x" * 300, "\x00\x01\x02\x03\x04"]


class Followed:
    """A source and the runs whose start it fed."""

    def __init__(self, server: EmbeddedTiled, **given: Any) -> None:
        self.starts: list[str] = []
        self.raw = f"odd_{uuid4().hex[:8]}"
        self.catalogue = server.catalog(self.raw)
        self.source = TiledSource(
            server.uri,
            self.feed,
            api_key=server.api_key,
            container=self.raw,
            poll_s=0.2,
            **given,
        )

    def feed(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self.starts.append(doc["uid"])

    def write(self) -> str:
        """Begin a run in Tiled; its uid."""
        uid = str(uuid4())
        TiledWriter(self.catalogue)("start", {"uid": uid, "time": time.time()})
        return uid


@pytest.fixture
def all_runs(server: EmbeddedTiled) -> Iterator[Followed]:
    followed = Followed(server)
    with followed.source:
        assert followed.source.wait_connected(30)
        yield followed


def test_odd_nodes_end_nothing(all_runs: Followed) -> None:
    for start in ODD_STARTS:
        all_runs.catalogue.create_container(metadata={"start": start}, specs=[RUN_SPEC])
    uid = all_runs.write()
    assert wait_until(lambda: all_runs.starts == [uid], 60)


def test_odd_uids_end_nothing(server: EmbeddedTiled) -> None:
    here = {"": ""}
    followed = Followed(server, comes_elsewhere=here.__contains__)
    first = followed.write()
    with followed.source as source:
        assert source.wait_connected(30)
        for uid in ODD_UIDS:
            source.follow(uid)
        source.follow(first)
        assert wait_until(lambda: followed.starts == [first], 60)
        elsewhere, second = followed.write(), followed.write()
        here[elsewhere] = ""
        source.follow(elsewhere)
        source.follow(second)
        assert wait_until(lambda: followed.starts == [first, second], 60)
        time.sleep(0.6)
    assert followed.starts == [first, second]
